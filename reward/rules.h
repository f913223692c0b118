/*
 * The rules of extraction as data, and the PCRE2 machinery under them.
 *
 * A rule's pattern matches a marker; `commit` says what the marker commits to. Patterns
 * are bounded and free of nested quantifiers; match, depth and heap limits are the
 * second line of defence, and a limit hit reads as "no match". No UTF mode: any bytes
 * go through, \d is 0-9. The last match is looked for in windows from the end, so
 * floods of markers cost what the last window costs.
 */
#ifndef REWARD_RULES_H
#define REWARD_RULES_H

#include "reward/reward.h"

enum commit {
    COMMIT_BOX,   /* the braces after the match, by counting */
    COMMIT_TAG,   /* up to the closing tag */
    COMMIT_LINE,  /* what follows, up to the end of the sentence or line */
    COMMIT_CODE,  /* the whole completion, as a program */
    COMMIT_GROUP, /* group 1 */
    COMMIT_WHOLE, /* the whole completion, if it is one short line */
    COMMIT_NUMBER /* the number that the match ends with */
};
struct rule {
    const char *name, *pattern; /* pattern NULL: none is needed */
    enum commit commit;
    bool is_marker; /* a form that was asked for, not a last resort */
};
enum { RULES_MAX = 12 };

struct rules_match {
    size_t start, end;             /* of the match */
    size_t group_start, group_end; /* of group 1; equal where there is none */
};

enum { RULES_BOX = -1 }; /* the box, whether or not the style has it */
/* The last match of the i-th rule in text[from, to). */
bool rules_last(struct reward_scratch *s, int i, const char *text, size_t from,
                size_t to, struct rules_match *out);
/* The last matches of the i-th rule within a window before `to`, newest first. */
int rules_last_few(struct reward_scratch *s, int i, const char *text, size_t from,
                   size_t to, struct rules_match *out, int max);
/* What of the text counts: after the last think block, before an end token or a new
 * question; false: a think block is left open. */
bool rules_region(struct reward_scratch *s, const char *text, size_t len, size_t *from,
                  size_t *to);
/* Whether what stands between two boxes joins them: 0 prose, 1 a list, 2 nothing but
 * blanks and mathematics' delimiters */
int rules_gap(struct reward_scratch *s, const char *text, size_t from, size_t to);

#endif
