/*
 * Weights of every aggregation on one mini-batch, and counts of 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "core/status.h"
#include "grpo/aggregate.h"

static const struct aggregate_counts counts = {.n_tokens = 28.0,
                                               .n_seqs = 8.0,
                                               .seq_tokens = 5.0,
                                               .micro_tokens = 14.0,
                                               .micro_seqs = 4.0,
                                               .constant = 512.0,
                                               .width = 7.0};

static void test_weights(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double want;
    } cases[] = {
        {"token_mean", 1.0 / 28.0},
        {"sequence_mean", 1.0 / 40.0},
        {"token_sum", 1.0},
        {"sequence_sum", 1.0 / 8.0},
        {"constant", 1.0 / 4096.0},
        {"padded", 1.0 / 56.0},
        {"micro_token_mean", 1.0 / 28.0},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct aggregate_kind *const k = aggregate_kind_at(i);
        assert_string_equal(k->name, cases[i].name);
        assert_true(fabs(k->fn(&counts) - cases[i].want) <= 1e-16);
    }
    assert_null(aggregate_kind_at(ARRAY_LEN(cases)));
    struct aggregate_counts c = counts;
    c.eps = 0.5;
    assert_true(fabs(aggregate_kind_at(1)->fn(&c) - 1.0 / 44.0) <= 1e-16);
}

static void test_empty(void **state)
{
    (void)state;
    const struct aggregate_counts none = {.constant = 1.0};
    for (int64_t i = 0; aggregate_kind_at(i) != NULL; i++)
        assert_true(isfinite(aggregate_kind_at(i)->fn(&none)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
