/*
 * Patterns of tokenizer.json are written for Oniguruma. They are rewritten for PCRE2
 * where the two differ, and refused by name where a rewrite is not known to be exact:
 * - \s and \S are spelled out (PCRE2's include U+180E);
 * - \p{Han} and other scripts get "sc:" (PCRE2 would read script extensions);
 * - ^ and $ are per line, lines end at \n;
 * - \w and \W are spelled out, \b and \B are looks around for \w;
 * - [X&&[^Y]] becomes a look-ahead and a class;
 * - refused: other nested classes and &&, {n,m}+ (possessive in one, repeated in the
 * other), {n}? (lazy in one, optional in the other), {,n}, options other than (?i: ...
 * ), and in that what folds to several characters.
 */
#include <string.h>
#include <strings.h>

#include "model/tokenizer_private.h"

/* White_Space, 25 code points */
static const char space_class[] =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
    "\\x{202f}\\x{205f}\\x{3000}";
/* Oniguruma's \w: letters, marks, decimal and letter numbers, connectors, the letters
 * among the symbols, and the Latin-1 digits that are none of these */
static const char word_class[] =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
    "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
/* what a backslash may stand before with the same meaning in both */
static const char plain_escapes[] = "nrtfaedDxAzZ";

struct rewriter {
    const char *start, *p, *end; /* the pattern, and what is left of it */
    struct buf *out;
    bool is_class; /* inside [...] */
};

static bool starts(const struct rewriter *r, const char *what)
{
    const size_t n = strlen(what);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, what, n) == 0;
}

static void take(struct rewriter *r, size_t n)
{
    buf_append(r->out, r->p, n);
    r->p += n;
}

/* Scripts that the stand-ins of unicode_shadow.c do not keep apart: those with new
 * characters that no older one of the same class and length stands for, and those whose
 * characters stand for others. */
static bool is_blurred(const char *name, size_t n)
{
    static const char *const scripts[] = {
        "arabic",  "arab", "myanmar",  "mymr", "devanagari",
        "deva",    "egyp", "cyrillic", "cyrl", "egyptianhieroglyphs",
        "linearb", "linb", "osmanya",  "osma", "pahawhhmong",
        "hmng",    "dsrt", "deseret",  "perm", "oldpermic",
        "yezidi",  "yezi", "brahmi",   "brah", "oldpersian",
        "xpeo",    "zyyy", "common",
    };
    char plain[32] = "";
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < sizeof(plain); i++)
        if (name[i] != '_' && name[i] != ' ' && name[i] != '-')
            plain[k++] = name[i];
    for (int64_t i = 0; i < ARRAY_LEN(scripts); i++)
        if (strcasecmp(plain, scripts[i]) == 0)
            return true;
    return false;
}

/* \p{...} or \P{...}; what it is about in *what. */
static int rewrite_property(struct rewriter *r, const char **what)
{
    const char *const close = memchr(r->p, '}', (size_t)(r->end - r->p));
    *what = "a property without {}";
    if (r->end - r->p < 4 || r->p[2] != '{' || close == NULL)
        return ERR_INPUT;
    const bool is_negated = r->p[3] == '^';
    const char *const name = r->p + 3 + is_negated;
    const size_t n = (size_t)(close - name);
    *what = "a script that Unicode 14 and 16 bound differently";
    if (is_blurred(name, n))
        return ERR_INPUT;
    buf_append(r->out, r->p, 3 + (size_t)is_negated);
    if (n > 2)
        buf_puts(r->out, "sc:");
    buf_append(r->out, name, n + 1);
    r->p = close + 1;
    return STATUS_OK;
}

/* \\s, \\S, \\w, \\W */
static int rewrite_class(struct rewriter *r, char c, const char **what)
{
    const bool is_negated = c == 'S' || c == 'W';
    if (is_negated && r->is_class) {
        *what = "a negated class inside [...]";
        return ERR_INPUT;
    }
    if (!r->is_class)
        buf_puts(r->out, is_negated ? "[^" : "[");
    buf_puts(r->out, c == 's' || c == 'S' ? space_class : word_class);
    if (!r->is_class)
        buf_puts(r->out, "]");
    r->p += 2;
    return STATUS_OK;
}

static int rewrite_escape(struct rewriter *r, const char **what)
{
    const char c = r->p + 1 < r->end ? r->p[1] : '\0';
    *what = "this escape";
    if (c == 'p' || c == 'P')
        return rewrite_property(r, what);
    if (c != '\0' && strchr("sSwW", c) != NULL)
        return rewrite_class(r, c, what);
    if ((c == 'b' || c == 'B') && !r->is_class) {
        const bool is_border = c == 'b';
        buf_printf(r->out, "(?:(?<=[%s])(?%c[%s])|(?<![%s])(?%c[%s]))", word_class,
                   is_border ? '!' : '=', word_class, word_class, is_border ? '=' : '!',
                   word_class);
        r->p += 2;
        return STATUS_OK;
    }
    if (c == 'u' && r->end - r->p >= 6) {
        buf_printf(r->out, "\\x{%.4s}", r->p + 2);
        r->p += 6;
        return STATUS_OK;
    }
    const bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                          (c >= 'a' && c <= 'z');
    if (c == '\0' || (is_alnum && strchr(plain_escapes, c) == NULL))
        return ERR_INPUT;
    take(r, 2);
    return STATUS_OK;
}

static int rewrite_in_class(struct rewriter *r, const char **what)
{
    *what = "a class inside a class";
    if (*r->p == '[')
        return ERR_INPUT;
    *what = "an intersection of classes";
    if (starts(r, "&&"))
        return ERR_INPUT;
    if (*r->p == ']')
        r->is_class = false;
    take(r, 1);
    return STATUS_OK;
}

/* Whether the group (?i: that begins at r->p has what folds to or from several
 * characters: Oniguruma then matches these, too (ss and U+00DF). Only ASCII is known to
 * be safe. */
static bool has_wide_fold(const struct rewriter *r)
{
    static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};
    int depth = 0;
    for (const char *p = r->p; p < r->end; p++) {
        depth += (*p == '(') - (*p == ')');
        if (depth == 0)
            break;
        if ((unsigned char)*p >= 0x80)
            return true;
        for (int64_t i = 0; i < ARRAY_LEN(pairs); i++)
            if (r->end - p >= 2 && strncasecmp(p, pairs[i], 2) == 0)
                return true;
    }
    return false;
}

/* {n}? with one number, at r->p's '}' */
static bool is_optional_count(const struct rewriter *r, const char *start)
{
    const char *p = r->p - 1;
    while (p > start && *p >= '0' && *p <= '9')
        p--;
    return starts(r, "}?") && p >= start && *p == '{' && p + 1 < r->p;
}

static int rewrite_all(struct rewriter *r, const char **what);

/* The end of a class's plain members from p on: at '[', ']', "&&" or the end. */
static const char *members_end(const char *p, const char *end)
{
    while (p < end && *p != '[' && *p != ']' &&
           !(end - p >= 2 && p[0] == '&' && p[1] == '&'))
        p += *p == '\\' && end - p >= 2 ? 2 : 1;
    return p;
}

/* Members alone, as those of a class. */
static int rewrite_members(struct rewriter *r, const char *from, const char *to,
                           const char **what)
{
    const struct rewriter all = *r;
    r->p = from;
    r->end = to;
    r->is_class = true;
    buf_puts(r->out, "[");
    const int status = rewrite_all(r, what);
    buf_puts(r->out, "]");
    r->is_class = false;
    if (status == STATUS_OK)
        r->p = all.p;
    r->end = all.end;
    return status;
}

/* [X&&[^Y]], which PCRE2 10.42 lacks, is X where Y is not ahead. *is_one false: there
 * is another class at r->p. */
static int rewrite_intersection(struct rewriter *r, bool *is_one, const char **what)
{
    const char *const x = r->p + 1, *const x_end = members_end(x, r->end);
    const size_t left = (size_t)(r->end - x_end);
    *is_one = false;
    if (x == x_end || *x == '^' || left < 6 || memcmp(x_end, "&&[^", 4) != 0)
        return STATUS_OK;
    const char *const y = x_end + 4, *const y_end = members_end(y, r->end);
    if (y == y_end || r->end - y_end < 2 || y_end[0] != ']' || y_end[1] != ']')
        return STATUS_OK;
    *is_one = true;
    buf_puts(r->out, "(?:(?!");
    TRY(rewrite_members(r, y, y_end, what));
    buf_puts(r->out, ")");
    TRY(rewrite_members(r, x, x_end, what));
    buf_puts(r->out, ")");
    r->p = y_end + 2;
    return STATUS_OK;
}

static int rewrite_outside(struct rewriter *r, const char **what)
{
    bool is_intersection = false;
    if (*r->p == '[')
        TRY(rewrite_intersection(r, &is_intersection, what));
    if (is_intersection)
        return STATUS_OK;
    static const char *const groups[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    *what = "a case-insensitive group that may match several characters as one";
    if (starts(r, "(?i:") && has_wide_fold(r))
        return ERR_INPUT;
    if (starts(r, "(?")) {
        for (int64_t i = 0; i < ARRAY_LEN(groups); i++)
            if (starts(r, groups[i])) {
                take(r, strlen(groups[i]));
                return STATUS_OK;
            }
        *what = "this kind of group";
        return ERR_INPUT;
    }
    *what = "this repetition";
    if (starts(r, "}+") || starts(r, "{,") || is_optional_count(r, r->start))
        return ERR_INPUT;
    if (*r->p == '[') {
        r->is_class = true;
        take(r, starts(r, "[^") ? 2 : 1);
        if (r->p < r->end && *r->p == ']')
            buf_puts(r->out, "\\");
        if (r->p < r->end && *r->p == ']')
            take(r, 1);
        return STATUS_OK;
    }
    take(r, 1);
    return STATUS_OK;
}

static int rewrite_all(struct rewriter *r, const char **what)
{
    while (r->p < r->end)
        TRY(*r->p == '\\' ? rewrite_escape(r, what)
            : r->is_class ? rewrite_in_class(r, what)
                          : rewrite_outside(r, what));
    return STATUS_OK;
}

int pattern_rewrite(struct buf *out, const char *pattern, size_t len, const char *where)
{
    struct rewriter r = {
        .start = pattern, .p = pattern, .end = pattern + len, .out = out};
    const char *what = "";
    if (rewrite_all(&r, &what) == STATUS_OK)
        return STATUS_OK;
    return ERR(ERR_INPUT,
               "%s: the pattern \"%s\" has %s at \"%.12s\", which is not supported",
               where, pattern, what, r.p);
}
