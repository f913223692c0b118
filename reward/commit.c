/*
 * From a marker to an answer: the braces of a box, the rest of a line, the content of a
 * tag. Every byte behind the marker is looked at a bounded number of times.
 */
#include <string.h>
#include <strings.h>

#include "reward/doubt.h"
#include "reward/rules_types.h"

enum {
    MAX_BOXES = 24,    /* looked at before the last one */
    MAX_DIFFERENT = 4, /* boxes of different content, before it is guessing */
    MAX_LEAD = 64,     /* blanks and markup between a marker and its answer */
    MAX_WHOLE = 400,   /* bytes of a completion that is all answer */
    MAX_TAIL = 64      /* words after the last number */
};

static bool is_in(const char *set, char c) { return c != 0 && strchr(set, c) != NULL; }

static void trim(const char *text, size_t *from, size_t *to)
{
    while (*from < *to && is_in(" \t\r\n*`\"_'", text[*from]))
        (*from)++;
    while (*from < *to && is_in(" \t\r\n*`\"_", text[*to - 1])) {
        (*to)--;
        if (*to - *from > 1 && text[*to] == ' ' && text[*to - 1] == '\\')
            (*to)--; /* "\ " is a blank */
    }
}

static size_t first_digit(const char *text, size_t from, size_t to)
{
    while (from < to && !(text[from] >= '0' && text[from] <= '9'))
        from++;
    return from;
}

static bool holds_digit(const char *text, size_t from, size_t to)
{
    return from < to && first_digit(text, from, to) < to;
}

/* Reads text[from, to) as the answer; true when it has a value. */
static bool try_answer(struct reward_scratch *s, const char *text, size_t from,
                       size_t to, struct commitment *out)
{
    trim(text, &from, &to);
    out->off = from;
    out->len = to - from;
    out->reading = answer_read(s, text + from, to - from, &out->plain);
    if (out->reading == READ_TREE && s->answer.has_lead &&
        doubt_lead(text, from, first_digit(text, from, to)))
        out->reading = READ_HEDGED;
    out->reason = out->reading == READ_LIMIT ? REWARD_LIMIT : REWARD_CORRECT;
    return out->reading == READ_PLAIN || out->reading == READ_TREE;
}

/* The brace that closes the one at `open`; `to` when it is missing. */
static size_t closing_brace(const char *text, size_t open, size_t to)
{
    int64_t depth = 0;
    for (size_t i = open; i < to; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '{')
            depth++;
        else if (text[i] == '}' && --depth == 0)
            return i;
    }
    return to;
}

/* What a box holds: braces, or the digits after a blank. *end: behind it */
static bool box_content(const char *text, const struct rules_match *m, size_t to,
                        size_t *from, size_t *until, size_t *end)
{
    *from = m->end;
    if (text[m->end] == '{') {
        *until = closing_brace(text, m->end, to);
        *from = m->end + 1;
        *end = *until + 1;
        return *until < to;
    }
    for (*until = *from; *until < to && is_in("0123456789.,/", text[*until]);)
        (*until)++;
    *end = *until;
    return true;
}

static bool is_same_text(const char *text, size_t a, size_t a_len, size_t b,
                         size_t b_len)
{
    return a_len == b_len && memcmp(text + a, text + b, a_len) == 0;
}

/* \phantom{2}, ?, ___: where the question leaves room for the answer */
static bool is_placeholder(const char *text, size_t from, size_t to)
{
    while (from < to && is_in(" ?_.$", text[from]))
        from++;
    return from == to || (to - from > 8 && memcmp(text + from, "\\phantom", 8) == 0);
}

/* "... is not \boxed{8}" */
static bool is_negated(const char *text, size_t from, size_t at)
{
    while (at > from && is_in(" $\\([{*", text[at - 1]))
        at--;
    return (at - from > 3 && strncasecmp(text + at - 4, " not", 4) == 0) ||
           (at - from > 3 && strncasecmp(text + at - 3, "n't", 3) == 0);
}

/* Several boxes side by side are one list: from the first of them to the end of the
 * last. Boxes in prose before them are steps, but many different ones are guesses. */
bool commit_box(struct reward_scratch *s, int i, const char *text, size_t from,
                size_t to, struct commitment *out)
{
    struct rules_match m[MAX_BOXES];
    const int n = rules_last_few(s, i, text, from, to, m, MAX_BOXES);
    size_t start, until, end;
    *out = (struct commitment){.reason = REWARD_UNCLOSED, .is_final = true};
    if (n == 0 || !box_content(text, &m[0], to, &start, &until, &end))
        return n > 0;
    size_t list_from = start, list_to = until, first = m[0].start;
    bool is_list = false, is_open_run = true, is_joined = true, is_left_open = false;
    int n_different = 1;
    for (int k = 1; k < n; k++) {
        size_t a, b, after;
        const bool is_closed = box_content(text, &m[k], to, &a, &b, &after);
        is_left_open |= !is_closed && is_open_run && a == first;
        if (!is_closed || after > first)
            continue; /* left open, or around the one behind it */
        if (is_placeholder(text, a, b)) {
            is_open_run = false;
            continue;
        }
        const int gap = is_open_run ? rules_gap(s, text, after, first) : 0;
        is_joined &= !is_open_run || gap != 0 || first - after > MAX_LEAD ||
                     !doubt_holds(text, after, first, doubt_is_alternative);
        const bool is_same = is_same_text(text, a, b - a, start, until - start);
        is_open_run &= gap != 0;
        n_different += !is_same;
        if (is_open_run && !(is_same && !is_list)) {
            list_from = m[k].start;
            list_to = end;
            is_list = true;
            is_joined &= gap == 1;
        }
        first = m[k].start;
    }
    if (!try_answer(s, text, list_from, list_to, out) && out->reading == READ_TEXT &&
        out->len == 0)
        out->reason = REWARD_UNPARSED;
    if (is_left_open) /* \boxed{\boxed{5} */
        out->reason = REWARD_UNCLOSED;
    else if (!is_joined || is_negated(text, from, m[0].start) ||
             (n_different > MAX_DIFFERENT && !is_list))
        out->reason = REWARD_AMBIGUOUS;
    return true;
}

static void commit_tag(struct reward_scratch *s, const char *text, size_t to,
                       const struct rules_match *m, struct commitment *out)
{
    static const char *const closers[] = {"</answer>", "<|end_of_box|>"};
    out->reason = REWARD_UNCLOSED;
    for (size_t i = m->end; i < to; i++) {
        const char *const lt = memchr(text + i, '<', to - i);
        if (lt == NULL)
            return;
        i = (size_t)(lt - text);
        for (int64_t k = 0; k < ARRAY_LEN(closers); k++) {
            const size_t n = strlen(closers[k]);
            if (to - i >= n && strncasecmp(lt, closers[k], n) == 0) {
                (void)try_answer(s, text, m->end, i, out);
                return;
            }
        }
    }
}

/* The end of the sentence that begins at `from`: a stop before a blank or the end, an
 * exclamation mark at the end, "</" or "<|" */
static size_t sentence_end(const char *text, size_t from, size_t line)
{
    for (size_t i = from; i < line; i++) {
        const bool is_last = i + 1 == line || is_in("\r*\"", text[i + 1]);
        if (is_in(".?!", text[i]) &&
            (is_last || (text[i] != '!' && is_in(" \t$)", text[i + 1]))))
            return i;
        if (text[i] == '<' && !is_last && is_in("/|", text[i + 1]))
            return i;
        if (line - i >= 3 && memcmp(text + i, "\xE3\x80\x82", 3) == 0)
            return i;
    }
    return line;
}

struct delimiter {
    const char *open, *close;
};
static const struct delimiter delimiters[] = {
    {"$$", "$$"}, {"$", "$"}, {"\\(", "\\)"}, {"\\[", "\\]"}};

/* Mathematics set off by delimiters at `from`: its inside; false: none */
static bool delimited(const char *text, size_t from, size_t to, size_t *inner,
                      size_t *inner_end, size_t *after)
{
    for (int64_t k = 0; k < ARRAY_LEN(delimiters); k++) {
        const size_t n = strlen(delimiters[k].open);
        if (to - from < n || memcmp(text + from, delimiters[k].open, n) != 0)
            continue;
        const size_t room = to - from - n < TOKEN_MAX_BYTES ? to - from - n
                                                            : TOKEN_MAX_BYTES;
        const char *const close = memmem(text + from + n, room, delimiters[k].close, n);
        if (close == NULL)
            return false;
        *inner = from + n;
        *inner_end = (size_t)(close - text);
        *after = *inner_end + n;
        return *inner_end > *inner;
    }
    return false;
}

/* Whether what follows goes on with the list: ", 5", "or $6$" */
static bool goes_on(struct reward_scratch *s, const char *text, size_t after,
                    size_t line)
{
    size_t i = after;
    while (i < line && is_in(" \t*", text[i]))
        i++;
    size_t word = i;
    while (word < line && is_in("andorANDOR,;", text[word]))
        word++;
    const bool is_separator = word > i && rules_gap(s, text, i, word) == 1;
    while (word < line && is_in(" \t*", text[word]))
        word++;
    return is_separator && word < line && is_in("0123456789$\\-(", text[word]);
}

/* ", since ..." and the like end an answer; other clauses only without numbers */
static bool try_clause(struct reward_scratch *s, const char *text, size_t from,
                       size_t end, struct commitment *out)
{
    const size_t room = end - from < TOKEN_MAX_BYTES ? end - from : TOKEN_MAX_BYTES;
    if (pcre2_match(s->rules->clause, (PCRE2_SPTR)(text + from), room, 0, 0, s->match,
                    s->limits) <= 0)
        return false;
    const PCRE2_SIZE *const ends = pcre2_get_ovector_pointer(s->match);
    const size_t cut = from + ends[0], rest = from + ends[1];
    const char *const word = text + cut;
    const bool is_reason = memmem(word, rest - cut, "because", 7) != NULL ||
                           memmem(word, rest - cut, "since", 5) != NULL ||
                           memmem(word, rest - cut, "as", 2) != NULL;
    if (!is_reason && (holds_digit(text, rest, end) || doubt_after(text, cut, end)))
        return false;
    struct commitment c = *out;
    if (!try_answer(s, text, from, cut, &c))
        return false;
    *out = c;
    return true;
}

/* "She has 8 apples": words, one number, words */
static bool try_prose(struct reward_scratch *s, const char *text, size_t from,
                      size_t end, struct commitment *out)
{
    size_t first = first_digit(text, from, end);
    while (first > from && is_in("$.-", text[first - 1]))
        first--;
    struct commitment c = *out;
    if (first == end || first == from || text[first - 1] != ' ' ||
        end - from > MAX_WHOLE || doubt_holds(text, from, first, token_is_hedge) ||
        doubt_before(text, from, first) || doubt_after(text, first, end) ||
        !try_answer(s, text, first, end, &c))
        return false;
    if (c.reading == READ_TREE && s->answer.at[s->answer.root].kind != NODE_NUM)
        return false;
    *out = c;
    return true;
}

/* "1000 dollars, which is much": a list only by its comma */
static bool is_prose_list(const struct reward_scratch *s, const struct commitment *c)
{
    const struct expr *const e = &s->answer;
    if (c->reading != READ_TREE || e->at[e->root].kind != NODE_LIST)
        return false;
    const int first = e->at[e->root].child;
    return e->at[first].kind != NODE_WORDS &&
           (e->has_lead || e->at[e->at[first].next].kind == NODE_WORDS);
}

/* "So, 18": no value yet */
static bool holds_words(const struct expr *e)
{
    const struct node *const root = &e->at[e->root];
    bool is_found = root->kind == NODE_WORDS;
    for (int k = root->kind == NODE_LIST ? root->child : -1; k >= 0; k = e->at[k].next)
        is_found |= e->at[k].kind == NODE_WORDS;
    return is_found;
}

/* The rest of a line as prose: a sentence, its first clause, or its only number. */
static void commit_sentence(struct reward_scratch *s, const char *text, size_t from,
                            size_t end, struct commitment *out)
{
    const bool has_value = try_answer(s, text, from, end, out);
    if (out->reading == READ_LIMIT || (has_value && !is_prose_list(s, out)))
        return;
    if (try_clause(s, text, from, end, out) || try_prose(s, text, from, end, out))
        return;
    (void)try_answer(s, text, from, end, out); /* the scratch holds another reading */
}

/* Blanks and markup, and a label: "#### Answer: 8" */
static size_t skip_lead(const char *text, size_t from, size_t to, bool *is_quoted)
{
    const size_t start = from;
    while (from < to && from - start < MAX_LEAD &&
           (is_in(" \t\r\n*_`\"':=", text[from]) ||
            (text[from] == '>' && from > 0 && text[from - 1] == '\n'))) {
        *is_quoted = is_in("\"'", text[from]);
        from++;
    }
    return from;
}

static size_t skip_label(const char *text, size_t from, size_t to, bool *is_quoted)
{
    static const char *const labels[] = {"the answer is", "the final answer is",
                                         "final answer", "answer"};
    for (int64_t i = 0; i < ARRAY_LEN(labels); i++) {
        const size_t n = strlen(labels[i]);
        if (to - from > n && strncasecmp(text + from, labels[i], n) == 0 &&
            is_in(" :*", text[from + n]))
            return skip_lead(text, from + n, to, is_quoted);
    }
    return from;
}

/* The end of a number or null in JSON. */
static size_t json_end(const char *text, size_t from, size_t line)
{
    while (from < line && !is_in(",}] \t\r", text[from]))
        from++;
    return from;
}

static bool is_json_literal(const char *text, size_t from, size_t line)
{
    const size_t end = json_end(text, from, line), n = end - from;
    const char *const at = text + from;
    return (n == 4 && (memcmp(at, "null", 4) == 0 || memcmp(at, "true", 4) == 0)) ||
           (n == 5 && memcmp(at, "false", 5) == 0) ||
           (n > 0 && is_in("-0123456789", *at) && end < line);
}

static void commit_line(struct reward_scratch *s, const char *text, size_t to,
                        const struct rules_match *m, bool is_whole_line,
                        struct commitment *out)
{
    bool is_quoted = false;
    size_t from = skip_lead(text, m->end, to, &is_quoted);
    from = skip_label(text, from, to, &is_quoted);
    const char *const newline = memchr(text + from, '\n', to - from);
    const size_t line = newline == NULL ? to : (size_t)(newline - text);
    const char *const quote = is_quoted
                                  ? memchr(text + from, text[from - 1], line - from)
                                  : NULL;
    const bool is_json = memchr(text + m->start, '"', m->end - m->start) != NULL;
    if (from == to || (is_json && (text[from] == '}' || text[from] == ']'))) {
        out->reason = REWARD_UNPARSED; /* nothing, or the empty string */
        return;
    }
    if (is_json && quote == NULL && is_json_literal(text, from, line)) {
        (void)try_answer(s, text, from, json_end(text, from, line), out);
        return;
    }
    if (quote != NULL) {
        size_t end = (size_t)(quote - text);
        while (end - from > 2 && memcmp(text + end - 2, "\\n", 2) == 0)
            end -= 2; /* a line's end, as JSON spells it */
        commit_sentence(s, text, from, end, out);
        return;
    }
    size_t inner, inner_end, after;
    if (delimited(text, from, to, &inner, &inner_end, &after)) {
        const bool is_list = goes_on(s, text, after, line);
        if (!is_list && try_answer(s, text, inner, inner_end, out) &&
            (!is_whole_line || !holds_digit(text, after, line > after ? line : after)))
            return;
    }
    size_t end = sentence_end(text, from, line);
    const size_t stop = end;
    if (memchr(text + from, '{', end - from) == NULL) /* the end of a JSON object */
        while (end > from && is_in("}, \r", text[end - 1]))
            end--;
    commit_sentence(s, text, from, end, out);
    if ((is_whole_line && holds_digit(text, stop, line)) ||
        (stop < line && text[stop] == '?'))
        out->reason = REWARD_AMBIGUOUS;
}

/* Whether its sentence takes back what stands at [m->start, m->end), up to `end`. */
static bool is_doubtful(const char *text, const struct rules_match *m, size_t end,
                        size_t to)
{
    size_t begin = m->start;
    while (begin > 0 && m->start - begin < MAX_LEAD && !is_in("\n.;", text[begin - 1]))
        begin--;
    return doubt_before(text, begin, m->start) || doubt_after(text, m->end, end) ||
           (end < to && text[end] == '?');
}

/* The end of the sentence behind a match, no farther than words matter. */
static size_t tail_end(const char *text, const struct rules_match *m, size_t to)
{
    size_t end = m->end;
    while (end < to && end - m->end < MAX_TAIL && !is_in("\n*$", text[end]))
        end++;
    end = sentence_end(text, m->start, end);
    return end < m->end ? m->end : end;
}

/* The last number with the words that follow it. */
static void commit_number(struct reward_scratch *s, const char *text, size_t to,
                          const struct rules_match *m, struct commitment *out)
{
    const size_t end = tail_end(text, m, to);
    if (m->end + 1 < to && is_in("])}", text[m->end]) && is_in("])}", text[m->end + 1]))
        return; /* deep in brackets: an index, not an answer */
    if (is_doubtful(text, m, end, to)) {
        out->reason = REWARD_AMBIGUOUS;
        out->reading = READ_HEDGED;
        return;
    }
    const bool has_value = try_answer(s, text, m->start, end, out);
    if ((has_value && !is_prose_list(s, out)) ||
        try_clause(s, text, m->start, end, out))
        return;
    if (m->end == to || is_in(" \t\n*$)],;.", text[m->end]))
        (void)try_answer(s, text, m->start, m->end, out);
}

void commit_read(struct reward_scratch *s, const struct rule *rule, int i,
                 const char *text, size_t from, size_t to, const struct rules_match *m,
                 struct commitment *out)
{
    *out = (struct commitment){.reason = REWARD_UNPARSED, .is_final = true};
    switch (rule->commit) {
    case COMMIT_BOX:
        (void)commit_box(s, i, text, from, to, out);
        break;
    case COMMIT_TAG:
        commit_tag(s, text, to, m, out);
        break;
    case COMMIT_LINE:
        commit_line(s, text, to, m, rule->pattern[0] != '(', out);
        break;
    case COMMIT_GROUP:
        (void)try_answer(s, text, m->group_start, m->group_end, out);
        if (!rule->is_marker && is_doubtful(text, m, tail_end(text, m, to), to)) {
            out->reason = REWARD_AMBIGUOUS;
            out->reading = READ_HEDGED;
        }
        break;
    case COMMIT_NUMBER:
        commit_number(s, text, to, m, out);
        break;
    case COMMIT_WHOLE:
    case COMMIT_CODE:
        trim(text, &from, &to);
        out->reading = READ_TEXT;
        if (to - from <= MAX_WHOLE && memchr(text + from, '\n', to - from) == NULL)
            (void)try_answer(s, text, from, to, out);
        break;
    }
    const bool has_value = out->reading == READ_PLAIN ||
                           (out->reading == READ_TREE && !holds_words(&s->answer)) ||
                           (out->reading == READ_HEDGED &&
                            is_in("0123456789$-.", text[out->off]));
    out->is_final = rule->is_marker || has_value || out->reading == READ_LIMIT;
}
