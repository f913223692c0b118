/*
 * Old log-probs and their source: recomputed on the weights that sampled they are the
 * recorded bits; on others they are those of the weights at the step's start, and stay
 * through its updates. Verification of records against any weights.
 */
#include "tests/grpo/learner_case.h"

static struct comm *self;

static int setup(void **state)
{
    (void)state;
    return comm_world_create(&self, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    comm_free(self);
    return 0;
}

static const char *const recomputed[CASE_WORDS] = {"grpo.old_logp=learner"};

static void test_on_policy(void **state)
{
    (void)state;
    struct learner_case a, b;
    struct learner_report r;
    case_start(&a, self, 1, DTYPE_BF16, 41, NULL);
    case_start(&b, self, 1, DTYPE_BF16, 41, recomputed);
    assert_int_equal(learner_begin(a.l, &a.g), 0);
    assert_int_equal(learner_begin(b.l, &b.g), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(case_update(&a, i == 0, &r), 0);
        assert_int_equal(case_update(&b, i == 0, &r), 0);
        assert_true(case_is_same(&a, &b));
    }
    case_stop(&a);
    case_stop(&b);
}

/* Records of another policy: the first ratio is exactly 1 all the same, and the
 * difference from the records is reported. Unknown records (NaN) are left out. */
static void test_elsewhere(void **state)
{
    (void)state;
    struct learner_case x;
    struct learner_report r;
    case_start(&x, self, 1, DTYPE_BF16, 41, recomputed);
    for (int64_t i = 0; i < CASE_P * CASE_G * CASE_NEW; i++)
        x.g.logp[i] = i % 3 == 0 ? NAN : x.g.logp[i] - 0.5f;
    x.g.is_unrouted = true;
    memset(x.g.routes, 0xff, 64);
    assert_int_equal(learner_begin(x.l, &x.g), 0);
    assert_int_equal(case_update(&x, false, &r), 0);
    assert_true(r.sums.kl_old == 0.0 && r.sums.ratio == r.sums.n_tokens);
    assert_true(fabs(r.behaviour_diff_max - 0.5) <= 1e-5);
    assert_int_equal(r.n_route_diffs, 0);
    assert_int_equal(case_update(&x, false, &r), 0);
    assert_true(r.sums.kl_old > 0.0); /* the step's start, not this update's */
    case_stop(&x);
}

static void test_verify(void **state)
{
    (void)state;
    struct learner_case x;
    struct learner_report r;
    struct model before;
    case_start(&x, self, 1, DTYPE_BF16, 41, NULL);
    const size_t bytes = (size_t)x.s.w.table.n_elems * sizeof(uint16_t);
    void *const copy = mem_alloc(bytes);
    memcpy(copy, x.s.w.data, bytes);
    assert_int_equal(model_init(&before, &x.s.b, &x.s.w.hp, copy, DTYPE_BF16,
                                SMALL_MAX_POS, x.s.w.hp.n_vocab),
                     0);
    assert_int_equal(learner_verify(x.l, &x.g, &x.s.m), 0);
    assert_int_equal(case_update(&x, true, &r), 0);
    assert_int_equal(learner_verify(x.l, &x.g, &before), 0);
    assert_int_equal(learner_verify(x.l, &x.g, &x.s.m), ERR_NUMERIC);
    /* one changed bit, one changed expert */
    float *const logp = groups_logp(&x.g, 2, 1) + 2;
    const float honest = *logp;
    *logp = nextafterf(honest, 0.0f);
    assert_int_equal(learner_verify(x.l, &x.g, &before), ERR_NUMERIC);
    *logp = honest;
    groups_routes(&x.g, 1, 0)[0]++;
    assert_int_equal(learner_verify(x.l, &x.g, &before), ERR_NUMERIC);
    assert_non_null(strstr(status_message(), "1 routes differ"));
    model_release(&before);
    mem_free(copy);
    case_stop(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_policy),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_verify),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
