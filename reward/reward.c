/*
 * The score of a completion: rules in their order, the answer of the first that
 * commits, and the verdict of the comparison. Plain decimals never reach the parser.
 */
#include "reward/reward.h"

#include <string.h>

#include "reward/code.h"
#include "reward/rules_types.h"

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

static enum reading reading_of(enum expr_status status)
{
    switch (status) {
    case EXPR_OK:
        return READ_TREE;
    case EXPR_NONE:
        break;
    case EXPR_HEDGED:
        return READ_HEDGED;
    case EXPR_LIMIT:
        return READ_LIMIT;
    }
    return READ_TEXT;
}

static enum reading read_tree(struct reward_scratch *s, const char *text, size_t len)
{
    pool_clear(&s->pool);
    if (tokens_read(&s->answer_tokens, text, len) != TOKENS_OK)
        return READ_LIMIT;
    const enum expr_status status = expr_parse(&s->answer, &s->answer_tokens);
    const struct tokens *const t = &s->answer_tokens;
    if (status != EXPR_NONE || t->at[0].kind != TOKEN_BEGIN ||
        t->at[t->n - 1].kind != TOKEN_FINISH)
        return reading_of(status);
    tokens_flatten(&s->answer_tokens);
    if (expr_parse(&s->answer, &s->answer_tokens) == EXPR_OK)
        return READ_TREE;
    pool_clear(&s->pool);
    return tokens_read(&s->answer_tokens, text, len) == TOKENS_OK ? READ_TEXT
                                                                  : READ_LIMIT;
}

/* "~12" and "12?"; "~12~" has the spaces of LaTeX around it */
static bool is_guess(const char *text, size_t len)
{
    const char last = len < 2 ? 0 : text[len - 1];
    if (last != '?' && (last == 0 || last == '~' || text[0] != '~'))
        return false;
    while (len > 0 && !(text[len - 1] >= '0' && text[len - 1] <= '9'))
        len--;
    return len > 0;
}

enum reading answer_read(struct reward_scratch *s, const char *text, size_t len,
                         struct plain *plain)
{
    if (is_guess(text, len)) {
        s->answer_tokens.n = 0;
        return READ_HEDGED;
    }
    return plain_read(plain, text, len) ? READ_PLAIN : read_tree(s, text, len);
}

static enum reward_reason reason_of(enum eval_verdict verdict)
{
    return verdict == EVAL_SAME        ? REWARD_CORRECT
           : verdict == EVAL_LIMIT     ? REWARD_LIMIT
           : verdict == EVAL_UNDEFINED ? REWARD_UNPARSED
                                       : REWARD_WRONG;
}

static bool is_several(const struct expr *e)
{
    const int kind = e->at[e->root].kind;
    return kind == NODE_LIST || kind == NODE_SET || kind == NODE_UNION ||
           kind == NODE_TUPLE || (kind < NODE_BASE && expr_has_sign(e, e->root));
}

/* One accepted answer against the one in the scratch. */
static enum reward_reason compare_answer(struct reward_scratch *s,
                                         const struct answer *a, enum reading reading)
{
    if (tokens_read(&s->gold_tokens, a->text, a->len) != TOKENS_OK)
        return REWARD_LIMIT;
    const bool is_reduced = s->rules->policy.fractions == FRACTIONS_REDUCED;
    if (!is_reduced && s->answer_tokens.n > 0 &&
        tokens_equal(&s->pool, &s->gold_tokens, &s->answer_tokens))
        return REWARD_CORRECT;
    if (reading == READ_HEDGED)
        return REWARD_AMBIGUOUS;
    if (reading != READ_TREE)
        return REWARD_UNPARSED;
    /* a gold that is a sentence is text */
    if (expr_parse(&s->gold, &s->gold_tokens) != EXPR_OK || s->gold.has_lead)
        return REWARD_WRONG;
    const enum reward_reason reason = reason_of(
        compare_trees(&s->pool, &s->rules->policy, &s->gold, &s->answer));
    /* several answers where one was asked for */
    return reason == REWARD_WRONG && is_several(&s->answer) && !is_several(&s->gold)
               ? REWARD_AMBIGUOUS
               : reason;
}

/* The verdict on the answer that a commitment has read. */
enum reward_reason answer_decide(struct reward_scratch *s, const char *text,
                                 const struct commitment *c,
                                 const struct reward_gold *gold)
{
    bool is_all_plain = c->reading == READ_PLAIN;
    for (int64_t i = 0; i < gold->n; i++) {
        const struct answer *const a = &gold->at[i];
        if (c->reading == READ_PLAIN && a->is_plain &&
            plain_equal(&c->plain, &a->plain))
            return REWARD_CORRECT;
        is_all_plain &= a->is_plain;
    }
    if (is_all_plain && s->rules->policy.rounding == ROUNDING_EXACT)
        return REWARD_WRONG;
    const enum reading reading = c->reading == READ_PLAIN
                                     ? read_tree(s, text + c->off, c->len)
                                     : c->reading;
    if (reading == READ_LIMIT)
        return REWARD_LIMIT;
    enum reward_reason reason = REWARD_WRONG;
    const int64_t mark = s->pool.n;
    for (int64_t i = 0; i < gold->n; i++) {
        s->pool.n = mark;
        reason = compare_answer(s, &gold->at[i], reading);
        if (reason == REWARD_CORRECT)
            break;
    }
    return reason;
}

static void settle(struct reward_result *out, enum reward_reason reason,
                   const struct rule *rule, const struct commitment *c,
                   const char *text)
{
    const bool has_answer = c->reason == REWARD_CORRECT && c->len > 0 &&
                            reason != REWARD_AMBIGUOUS;
    *out = (struct reward_result){
        .reason = reason,
        .is_correct = reason == REWARD_CORRECT,
        .has_form = rule->is_marker &&
                    (reason == REWARD_CORRECT || reason == REWARD_WRONG),
        .rule = rule->name,
        .answer_off = has_answer ? c->off : 0,
        .answer_len = has_answer ? c->len : 0,
        .value = text + (has_answer ? c->off : 0),
        .value_len = has_answer ? c->len : 0,
    };
}

/* A single "A" or "I" with nothing after it may be the word, cut off. */
static bool may_go_on(const char *text, size_t len, const struct commitment *c)
{
    return c->len == 1 && c->off + 1 == len && c->off > 0 && text[c->off - 1] == ' ' &&
           (text[c->off] == 'A' || text[c->off] == 'I');
}

/* Rule i on text[from, to); false: it does not apply. */
static bool apply(struct reward_scratch *s, int i, const struct reward_input *in,
                  size_t from, size_t to, const struct reward_gold *gold,
                  struct reward_result *out)
{
    const struct rule *const rule = &s->rules->rule[i];
    struct rules_match m = {0};
    struct commitment c;
    if (rule->pattern != NULL && !rules_last(s, i, in->text, from, to, &m))
        return false;
    commit_read(s, rule, i, in->text, from, to, &m, &c);
    enum reward_reason reason = c.reason;
    const bool is_cut = in->is_truncated && c.off + c.len == in->len;
    if (reason == REWARD_CORRECT)
        reason = answer_decide(s, in->text, &c, gold);
    if (reason == REWARD_CORRECT && rule->commit == COMMIT_LINE &&
        may_go_on(in->text, in->len, &c))
        reason = REWARD_AMBIGUOUS;
    const bool is_early = reason == REWARD_UNPARSED && c.len == 0;
    if (in->is_truncated && (is_cut || is_early || reason == REWARD_UNCLOSED)) {
        reason = REWARD_TRUNCATED;
        c.reason = REWARD_TRUNCATED;
    }
    if (!c.is_final && reason != REWARD_CORRECT)
        return false;
    settle(out, reason, rule, &c, in->text);
    return true;
}

/* A program declares its value, unless a marker stands behind it, or one of the rules
 * of more trust before it. What it is written in has no markers. */
static bool apply_program(struct reward_scratch *s, int code,
                          const struct reward_input *in, size_t from, size_t to,
                          const struct reward_gold *gold, struct reward_result *out)
{
    const struct reward_rules *const rules = s->rules;
    struct program p;
    if (!program_score(s, in->text, from, to, gold, &p))
        return false;
    for (int i = 0; i < rules->n && rules->rule[i].is_marker; i++)
        if (i != code && apply(s, i, in, p.to, to, gold, out))
            return true;
    for (int i = 0; i < code; i++)
        if (apply(s, i, in, from, p.from, gold, out))
            return true;
    const struct commitment whole = {.reason = REWARD_CORRECT};
    const bool is_cut = in->is_truncated && p.to == in->len &&
                        strchr(">`", in->text[p.to - 1]) == NULL;
    settle(out, is_cut ? REWARD_TRUNCATED : p.verdict, &rules->rule[code], &whole,
           in->text);
    out->value = s->program;
    out->value_len = is_cut ? 0 : s->program_len;
    return true;
}

static const struct rule no_rule = {"none", NULL, COMMIT_WHOLE, false};
static const struct commitment no_answer;

/* Rules in their order; those of last resort, behind the markers, never read a
 * program. */
static bool apply_rules(struct reward_scratch *s, const struct reward_input *in,
                        size_t from, size_t to, const struct reward_gold *gold,
                        struct reward_result *out)
{
    const struct reward_rules *const rules = s->rules;
    int n_markers = 0;
    for (int i = 0; i < rules->n && rules->rule[i].is_marker; i++, n_markers++)
        if (rules->rule[i].commit == COMMIT_CODE &&
            apply_program(s, i, in, from, to, gold, out))
            return true;
    for (int i = 0; i < n_markers; i++)
        if (rules->rule[i].commit != COMMIT_CODE &&
            apply(s, i, in, from, to, gold, out))
            return true;
    if (in->is_truncated || n_markers == rules->n)
        return false;
    if (code_is_in(in->text + from, to - from)) {
        settle(out, REWARD_UNSUPPORTED_CODE, &no_rule, &no_answer, in->text);
        return true;
    }
    for (int i = n_markers; i < rules->n; i++)
        if (apply(s, i, in, from, to, gold, out))
            return true;
    return false;
}

static void score_answer(struct reward_result *out, struct reward_scratch *s,
                         const struct reward_input *in, const struct reward_gold *gold)
{
    static const struct rule alone = {"alone", NULL, COMMIT_WHOLE, true};
    struct commitment c = {.reason = REWARD_CORRECT, .len = in->len};
    c.reading = answer_read(s, in->text, in->len, &c.plain);
    settle(out, in->len == 0 ? REWARD_UNPARSED : answer_decide(s, in->text, &c, gold),
           &alone, &c, in->text);
}

void reward_score(struct reward_result *out, struct reward_scratch *s,
                  const struct reward_input *in, const struct reward_gold *gold)
{
    size_t from, to;
    pool_reset(&s->pool);
    if (in->kind == REWARD_ANSWER)
        score_answer(out, s, in, gold);
    else if (!rules_region(s, in->text, in->len, &from, &to))
        settle(out, in->is_truncated ? REWARD_TRUNCATED : REWARD_UNCLOSED, &no_rule,
               &no_answer, in->text);
    else if (!apply_rules(s, in, from, to, gold, out))
        settle(out, in->is_truncated ? REWARD_TRUNCATED : REWARD_NO_MARKER, &no_rule,
               &no_answer, in->text);
}

int64_t reward_work(const struct reward_scratch *s)
{
    return s->n_scanned + s->pool.n_total;
}
