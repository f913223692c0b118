/*
 * The functions of cpu/vmath.h against libm in double: every 997th float, the edges,
 * and NaN. The portable build runs here; the ops' tests compare the three.
 */
#include "cpu/vmath.h"
#include "tests/cpu/op_check.h"

static double ulp_of(double x)
{
    const double a = fabs(x) < (double)FLT_MIN ? (double)FLT_MIN : fabs(x);
    int e;
    frexp(a, &e);
    return ldexp(1.0, e - 24);
}

static float float_at(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static void test_exp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 0; i < UINT64_C(1) << 32; i += 997 * 2) {
        const float x = float_at((uint32_t)i);
        if (!(fabsf(x) < 110))
            continue;
        const double want = exp((double)x), got = (double)vm_exp(x);
        if (want > (double)FLT_MAX) {
            assert_true(isinf(got) || fabs(got / want - 1) < 1e-6);
            continue;
        }
        const double error = fabs(got - want) / ulp_of(want);
        worst = error > worst ? error : worst;
    }
    print_message("exp: %.3f ulp\n", worst);
    assert_true(worst <= tol_exp_ulp);
}

static void test_exp_edges(void **state)
{
    (void)state;
    assert_true(vm_exp(0.0f) == 1.0f && vm_exp(-0.0f) == 1.0f);
    assert_true(vm_exp(-INFINITY) == 0.0f && !signbit(vm_exp(-INFINITY)));
    assert_true(vm_exp(-104.0f) == 0.0f && vm_exp(-1e30f) == 0.0f);
    assert_true(vm_exp(-103.9f) == 0x1p-149f); /* the smallest subnormal */
    assert_true(vm_exp(88.72283f) < INFINITY && vm_exp(88.7229f) == INFINITY);
    assert_true(vm_exp(INFINITY) == INFINITY && vm_exp(FLT_MAX) == INFINITY);
    assert_true(isnan(vm_exp(NAN)) && isnan(vm_exp(-NAN)));
    for (int l = 0; l < V16; l++) { /* a NaN lane does not reach its neighbours */
        float x[V16] = {0}, y[V16];
        x[l] = NAN;
        v16_store(y, v16_exp(v16_load(x)));
        for (int i = 0; i < V16; i++)
            assert_true(i == l ? isnan(y[i]) : y[i] == 1.0f);
    }
}

/* Never decreasing over neighbouring floats around the places where n changes */
static void test_exp_monotonic(void **state)
{
    (void)state;
    for (int n = -140; n <= 126; n++) {
        float x = (float)(((double)n + 0.5) * 0.69314718055994531);
        for (int i = 0; i < 50; i++)
            x = nextafterf(x, -INFINITY);
        float last = vm_exp(x);
        for (int i = 0; i < 100; i++) {
            x = nextafterf(x, INFINITY);
            assert_true(vm_exp(x) >= last);
            last = vm_exp(x);
        }
    }
}

static void test_log(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 1; i < 0x7f800000; i += 997) {
        const float x = float_at((uint32_t)i);
        const double want = log((double)x);
        const double error = fabs((double)vm_log(x) - want) / ulp_of(want);
        worst = error > worst ? error : worst;
    }
    print_message("log: %.3f ulp\n", worst);
    assert_true(worst <= tol_log_ulp);
    assert_true(vm_log(1.0f) == 0.0f && !signbit(vm_log(1.0f)));
    assert_true(vm_log(0.0f) == -INFINITY && vm_log(-0.0f) == -INFINITY);
    assert_true(vm_log(INFINITY) == INFINITY);
    assert_true(isnan(vm_log(-1.0f)) && isnan(vm_log(NAN)));
    assert_true(isnan(vm_log(-INFINITY)) && isnan(vm_log(-0x1p-149f)));
}

/* The scalar forms of core/fmath.h are lane 0 of the vectors', bit for bit. */
static void test_scalar(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < UINT64_C(1) << 32; i += 997 * 4) {
        const float x = float_at((uint32_t)i);
        float sigmoid[V16];
        v16_store(sigmoid, v16_sigmoid(v16_set1(x)));
        const float got[] = {f_exp(x), f_log(x), f_sigmoid(x)};
        const float want[] = {vm_exp(x), vm_log(x), sigmoid[0]};
        for (int k = 0; k < 3; k++)
            if (!isnan(got[k]) || !isnan(want[k]))
                op_assert_bits(&got[k], &want[k], 1,
                               k == 0   ? "exp"
                               : k == 1 ? "log"
                                        : "sigmoid");
    }
}

static void test_sigmoid(void **state)
{
    (void)state;
    for (int i = -3000; i <= 3000; i++) {
        const float x = (float)i * 0.03f;
        float y[V16];
        v16_store(y, v16_sigmoid(v16_set1(x)));
        const double want = 1 / (1 + exp(-(double)x));
        /* exp 2 u, the sum and the quotient u each; below -88.7 exp(-x) is inf */
        const double limit = tol_steps(4, want) + (double)FLT_MIN;
        op_assert_close((double)y[0], want, limit, "sigmoid", i);
    }
    assert_true(vm_rsqrt(4.0f) == 0.5f && isinf(vm_rsqrt(0.0f)));
}

static void test_keep(void **state)
{
    (void)state;
    for (int n = 0; n <= V16; n++) {
        float y[V16];
        v16_store(y, v16_keep(v16_set1(NAN), n, 3.0f));
        for (int i = 0; i < V16; i++)
            assert_true(i < n ? isnan(y[i]) : y[i] == 3.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OP_TEST(test_exp),    OP_TEST(test_exp_edges), OP_TEST(test_exp_monotonic),
        OP_TEST(test_log),    OP_TEST(test_sigmoid),   OP_TEST(test_keep),
        OP_TEST(test_scalar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
