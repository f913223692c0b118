/*
 * The GSM8K form. Every "####" of the completion is read, in order: one without a
 * number after it counts for nothing unless it is the last; the numbers of the others
 * must all have one value. A number's line, up to the next marker, must hold no other
 * value, so that no list of guesses is paid. Each byte is looked at a bounded number of
 * times.
 *
 * A completion cut by the length limit right after its number is not an answer either:
 * nobody knows which digits would have followed.
 */
#include "reward/reward.h"

#include <stdint.h>
#include <string.h>

#include "reward/number.h"

enum { MARKER_LEN = 4, MAX_RESTATED = 16 };

struct reward_rules {
    struct number_rules *number;
};

struct reward_scratch {
    struct number_scratch *number;
};

struct reward_gold {
    struct rational value;
    char *text;
};

/* What a completion has shown so far. */
struct search {
    const struct reward_rules *rules;
    struct reward_scratch *scratch;
    const char *text;
    size_t len;
    bool has_number;
    struct number first, last;
};

static const char *const reason_names[REWARD_N_REASONS] = {
#define X(id, name) [id] = name,
    REWARD_REASON_LIST(X)
#undef X
};

const char *reward_reason_name(enum reward_reason r)
{
    CHECK(r >= 0 && r < REWARD_N_REASONS, "reason %d", (int)r);
    return reason_names[r];
}

int reward_rules_create(struct reward_rules **out)
{
    struct number_rules *number;
    TRY(number_rules_create(&number, true));
    struct reward_rules *const r = mem_alloc(sizeof(*r));
    r->number = number;
    *out = r;
    return STATUS_OK;
}

void reward_rules_free(struct reward_rules *r)
{
    if (r == NULL)
        return;
    number_rules_free(r->number);
    mem_free(r);
}

int reward_scratch_create(struct reward_scratch **out, const struct reward_rules *r)
{
    struct number_scratch *number;
    TRY(number_scratch_create(&number, r->number));
    struct reward_scratch *const s = mem_alloc(sizeof(*s));
    s->number = number;
    *out = s;
    return STATUS_OK;
}

void reward_scratch_free(struct reward_scratch *s)
{
    if (s == NULL)
        return;
    number_scratch_free(s->number);
    mem_free(s);
}

/* The end of the next run of at least four '#' at or after `off`, and in *run_out where
 * it begins; len + 1 if there is none. A longer run is one marker: a fifth '#' must not
 * hide a second answer. */
static size_t next_marker(const char *text, size_t len, size_t off, size_t *run_out)
{
    while (off < len) {
        const char *const hash = memchr(text + off, '#', len - off);
        if (hash == NULL)
            break;
        const size_t start = (size_t)(hash - text);
        off = start;
        while (off < len && text[off] == '#')
            off++;
        if (off - start >= MARKER_LEN) {
            *run_out = start;
            return off;
        }
    }
    *run_out = len;
    return len + 1;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Whether text[off, end) holds a number other than `value`. The same value written
 * again ("18 = 18.00") is allowed a few times. */
static bool has_other_number(const struct search *s, size_t off, size_t end,
                             const struct rational *value)
{
    int n_restated = 0;
    for (size_t i = off; i < end && s->text[i] != '\n' && s->text[i] != '\r'; i++) {
        if (!is_digit(s->text[i]))
            continue;
        size_t start = i;
        while (start > off && memchr(".$-+", s->text[start - 1], 4) != NULL)
            start--;
        struct number n;
        if (++n_restated > MAX_RESTATED ||
            number_parse(&n, s->rules->number, s->scratch->number, s->text, end,
                         start) != NUMBER_OK ||
            !rational_equal(&n.value, value))
            return true;
        i = n.off + n.len - 1;
    }
    return false;
}

/* The marker whose number would begin at `off`; `end` is where the next marker starts.
 * REWARD_CORRECT stands for "one number, in s->last". */
static enum reward_reason read_marker(struct search *s, size_t off, size_t end)
{
    switch (number_parse(&s->last, s->rules->number, s->scratch->number, s->text, end,
                         off)) {
    case NUMBER_NONE:
        return REWARD_NO_NUMBER;
    case NUMBER_PART:
        return REWARD_AMBIGUOUS;
    case NUMBER_LIMIT:
        return REWARD_LIMIT;
    case NUMBER_OK:
        break;
    }
    if (has_other_number(s, s->last.off + s->last.len, end, &s->last.value))
        return REWARD_AMBIGUOUS;
    return REWARD_CORRECT;
}

/* All markers; REWARD_CORRECT when they agree on one number. */
static enum reward_reason search_answer(struct search *s)
{
    enum reward_reason reason = REWARD_NO_MARKER;
    size_t run, next_run;
    size_t at = next_marker(s->text, s->len, 0, &run);
    for (; at <= s->len; at = next_marker(s->text, s->len, at, &run)) {
        (void)next_marker(s->text, s->len, at, &next_run);
        reason = read_marker(s, at, next_run);
        if (reason == REWARD_NO_NUMBER)
            continue;
        if (reason != REWARD_CORRECT)
            return reason;
        if (s->has_number && !rational_equal(&s->first.value, &s->last.value))
            return REWARD_AMBIGUOUS;
        if (!s->has_number)
            s->first = s->last;
        s->has_number = true;
    }
    return reason;
}

void reward_score(struct reward_result *out, const struct reward_rules *r,
                  struct reward_scratch *scratch, const char *text, size_t len,
                  bool is_truncated, const struct reward_gold *gold)
{
    struct search s;
    s.rules = r;
    s.scratch = scratch;
    s.text = text;
    s.len = len;
    s.has_number = false;
    enum reward_reason reason = search_answer(&s);
    const bool has_answer = reason == REWARD_CORRECT;
    const bool is_cut = has_answer && is_truncated && s.last.off + s.last.len == len;
    const bool is_early = reason == REWARD_NO_MARKER || reason == REWARD_NO_NUMBER;
    if (is_truncated && (is_cut || is_early))
        reason = REWARD_TRUNCATED;
    else if (has_answer && !rational_equal(&s.last.value, &gold->value))
        reason = REWARD_WRONG;
    *out = (struct reward_result){
        .reason = reason,
        .is_correct = reason == REWARD_CORRECT,
        .has_form = reason == REWARD_CORRECT || reason == REWARD_WRONG,
        .answer_off = has_answer ? s.last.off : 0,
        .answer_len = has_answer ? s.last.len : 0,
    };
}

/* Where the number of a gold begins: after the last marker, or at the start. */
static size_t gold_start(const char *text, size_t len, bool *has_marker)
{
    size_t start = 0, run;
    *has_marker = false;
    for (size_t at = next_marker(text, len, 0, &run); at <= len;
         at = next_marker(text, len, at, &run)) {
        start = at;
        *has_marker = true;
    }
    return start;
}

static bool is_only_end(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (memchr(" \t\r\n.", text[i], 5) == NULL)
            return false;
    return true;
}

/* A plain integer, as nearly all golds are, needs no pattern: compiling one per gold
 * would take most of the time of loading a data set. */
static bool plain_integer(struct rational *out, const char *text, size_t len)
{
    while (len > 0 && memchr(" \t\r\n", *text, 4) != NULL) {
        text++;
        len--;
    }
    while (len > 0 && memchr(" \t\r\n", text[len - 1], 4) != NULL)
        len--;
    const bool is_negative = len > 0 && *text == '-';
    const struct rational_digits none = {"", 0};
    const struct rational_digits digits = {text + is_negative, len - is_negative};
    for (size_t i = 0; i < digits.len; i++)
        if (!is_digit(digits.text[i]))
            return false;
    return digits.len > 0 &&
           rational_set(out, is_negative, digits, none, none) == RATIONAL_OK;
}

/* Any other number, by the grammar of answers: the patterns are compiled per gold, some
 * microseconds at load, so that the grammar has no second home. */
static int gold_parse(struct rational *out, const char *text, size_t len, size_t start,
                      bool has_marker)
{
    struct reward_rules rules;
    struct reward_scratch scratch;
    TRY(number_rules_create(&rules.number, false));
    int status = number_scratch_create(&scratch.number, rules.number);
    if (status == STATUS_OK) {
        struct search s = {
            .rules = &rules, .scratch = &scratch, .text = text, .len = len};
        bool is_good = read_marker(&s, start, len) == REWARD_CORRECT;
        if (is_good && !has_marker) {
            const size_t end = s.last.off + s.last.len;
            is_good = is_only_end(text + end, len - end);
        }
        number_scratch_free(scratch.number);
        const size_t shown = len - start > 80 ? 80 : len - start;
        if (is_good)
            *out = s.last.value;
        else
            status = ERR(ERR_INPUT,
                         "gold \"%.*s\" is not one number; expected a form such as 18, "
                         "1,080, -3, $5.50, 25%% or 1/2, alone or after \"####\"",
                         (int)shown, text + start);
    }
    number_rules_free(rules.number);
    return status;
}

int reward_gold_create(struct reward_gold **out, const char *text, size_t len)
{
    bool has_marker;
    const size_t start = gold_start(text, len, &has_marker);
    struct rational value;
    if (!plain_integer(&value, text + start, len - start))
        TRY(gold_parse(&value, text, len, start, has_marker));
    struct buf normal = {0};
    rational_print(&value, &normal);
    struct reward_gold *const g = mem_alloc(sizeof(*g));
    g->value = value;
    g->text = mem_strdup(normal.data);
    buf_release(&normal);
    *out = g;
    return STATUS_OK;
}

void reward_gold_free(struct reward_gold *g)
{
    if (g == NULL)
        return;
    mem_free(g->text);
    mem_free(g);
}

const char *reward_gold_text(const struct reward_gold *g) { return g->text; }
