/*
 * Answers that are programs. A float carries the rounding of IEEE doubles: it equals a
 * gold within 2^-48 of the gold (16 units in the last place, a few operations' worth),
 * so 3.3000000000000003 is 3.3, and 99999999999.0 is not 100000000000. A gold of zero
 * wants zero.
 */
#include <string.h>

#include "reward/code.h"
#include "reward/rules_types.h"

enum { NOISE_BITS = 48 };

static bool exact_value(struct reward_scratch *s, const char *text, size_t len,
                        struct rat *out)
{
    const bool is_read = tokens_read(&s->gold_tokens, text, len) == TOKENS_OK &&
                         expr_parse(&s->gold, &s->gold_tokens) == EXPR_OK;
    const struct term t = term_of(&s->gold, s->gold.root);
    return is_read && eval_exact(&s->pool, &t, out);
}

/* |value - gold| 2^48 <= |gold| */
static bool is_near(struct reward_scratch *s, const struct code_value *v,
                    const struct answer *a)
{
    struct pool *const p = &s->pool;
    struct rat value, gold;
    pool_clear(p);
    if (!exact_value(s, v->text, v->len, &value) ||
        !exact_value(s, a->text, a->len, &gold))
        return false;
    struct rat off = rat_add(p, value, rat_neg(gold));
    off.sign = off.sign != 0;
    gold.sign = gold.sign != 0;
    off = rat_mul(p, off, rat_pow(p, rat_int(p, 2), NOISE_BITS));
    return rat_compare(p, off, gold) <= 0 && !p->is_over;
}

static enum reward_reason verdict_of(struct reward_scratch *s,
                                     const struct code_value *v,
                                     const struct reward_gold *gold)
{
    if (v->status != CODE_VALUE)
        return v->status == CODE_LIMIT   ? REWARD_LIMIT
               : v->status == CODE_FAULT ? REWARD_CODE_FAULT
                                         : REWARD_UNSUPPORTED_CODE;
    struct commitment c = {.reason = REWARD_CORRECT, .len = v->len};
    c.reading = answer_read(s, v->text, v->len, &c.plain);
    enum reward_reason reason = answer_decide(s, v->text, &c, gold);
    for (int64_t i = 0; i < gold->n && v->is_float && reason == REWARD_WRONG; i++)
        if (is_near(s, v, &gold->at[i]))
            reason = REWARD_CORRECT;
    return reason;
}

bool program_score(struct reward_scratch *s, const char *text, size_t from, size_t to,
                   const struct reward_gold *gold, struct program *out)
{
    struct code_value v;
    code_eval(&v, text + from, to - from);
    if (v.status == CODE_NONE)
        return false;
    s->program_len = v.len < REWARD_MAX_VALUE ? v.len : REWARD_MAX_VALUE;
    memcpy(s->program, v.text, s->program_len);
    *out = (struct program){
        .from = from + v.from, .to = from + v.to, .verdict = verdict_of(s, &v, gold)};
    return true;
}
