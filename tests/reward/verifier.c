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

enum reward_reason verifier_verdict(const struct verifier *v, const char *gold,
                                    const char *text, enum reward_kind kind)
{
    struct reward_gold *const g = verifier_gold(v, gold);
    const struct reward_input in = {.text = text, .len = strlen(text), .kind = kind};
    struct reward_result r;
    reward_score(&r, v->scratch, &in, g);
    reward_gold_free(g);
    return r.reason;
}

void verifier_check(const struct verifier_pair *pairs, int64_t n, enum reward_kind kind)
{
    struct verifier v;
    int n_bad = 0;
    verifier_init(&v, NULL);
    for (int64_t i = 0; i < n; i++) {
        const enum reward_reason r = verifier_verdict(&v, pairs[i].gold, pairs[i].text,
                                                      kind);
        if ((r == REWARD_CORRECT) != pairs[i].is_paid) {
            print_error("gold <%s> text <%s>: %s\n", pairs[i].gold, pairs[i].text,
                        reward_reason_name(r));
            n_bad++;
        }
    }
    verifier_release(&v);
    assert_int_equal(n_bad, 0);
}
