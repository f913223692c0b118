#include "tests/reward/verifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void verifier_init(struct verifier *v, const struct reward_options *o)
{
    if (reward_rules_create(&v->rules, o) != 0 ||
        reward_scratch_create(&v->scratch, v->rules) != 0)
        fail_msg("%s", status_message());
}

void verifier_release(struct verifier *v)
{
    reward_scratch_free(v->scratch);
    reward_rules_free(v->rules);
}

struct reward_gold *verifier_gold(const struct verifier *v, const char *text)
{
    struct reward_gold *g = NULL;
    if (reward_gold_create(&g, v->scratch, text, strlen(text)) != 0)
        fail_msg("%s", status_message());
    return g;
}

struct reward_result verifier_score(const struct verifier *v, const char *text,
                                    size_t len, bool is_truncated, const char *gold)
{
    struct reward_gold *const g = verifier_gold(v, gold);
    const struct reward_input in = {
        .text = text, .len = len, .is_truncated = is_truncated};
    struct reward_result r;
    memset(&r, 0xA5, sizeof(r));
    reward_score(&r, v->scratch, &in, g);
    reward_gold_free(g);
    assert_int_equal(r.is_correct, r.reason == REWARD_CORRECT);
    assert_true(r.answer_off + r.answer_len <= len);
    assert_non_null(r.rule);
    if (r.has_form)
        assert_true(r.reason == REWARD_CORRECT || r.reason == REWARD_WRONG);
    return r;
}
