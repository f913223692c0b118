/*
 * The elementary functions against libm, frequencies against published values, and the
 * table against long double.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "core/mem.h"
#include "core/rng.h"
#include "model/rope.h"

static double random_in(double low, double high, uint32_t i)
{
    uint32_t w[4];
    rng_block(w, 1, RNG_TEST, i, 0, 0, 0);
    return low + (high - low) * ((double)w[0] * 0x1p-32 + (double)w[1] * 0x1p-64);
}

/* Units in the last place of the result, against a wider reference. */
static double ulps(double got, long double want)
{
    const double unit = nextafter(fabs((double)want), (double)INFINITY) -
                        fabs((double)want);
    return (double)(fabsl((long double)got - want) / (long double)unit);
}

static void test_sincos(void **state)
{
    (void)state;
    double worst = 0.0;
    const double scales[] = {0.8, 10.0, 1e3, 1e5, 1e7, 2147483648.0};
    for (int s = 0; s < 6; s++)
        for (uint32_t i = 0; i < 50000; i++) {
            const double x = random_in(-scales[s], scales[s], i);
            double sn, cs;
            rope_sincos(x, &sn, &cs);
            worst = fmax(worst, ulps(sn, sinl((long double)x)));
            worst = fmax(worst, ulps(cs, cosl((long double)x)));
        }
    print_message("sin, cos: at worst %.3f units in the last place\n", worst);
    assert_true(worst < 1.0);
}

/* Near multiples of pi/2 the reduced angle loses all leading digits. */
static void test_sincos_near_multiples(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int64_t n = 1; n < 200000; n += 7) {
        const double x = (double)n * 1.5707963267948966;
        double sn, cs;
        rope_sincos(x, &sn, &cs);
        worst = fmax(worst, ulps(sn, sinl((long double)x)));
        worst = fmax(worst, ulps(cs, cosl((long double)x)));
    }
    assert_true(worst < 1.0);
    double sn, cs;
    rope_sincos(0.0, &sn, &cs);
    assert_true(sn == 0.0 && cs == 1.0);
}

static void test_log_and_pow(void **state)
{
    (void)state;
    double worst_log = 0.0, worst_pow = 0.0;
    for (uint32_t i = 0; i < 5000; i++) {
        const double x = exp(random_in(-20.0, 20.0, i));
        const double base = exp(random_in(0.1, 16.0, i + 10000));
        const double power = random_in(-1.0, 1.0, i + 20000);
        worst_log = fmax(worst_log, ulps(rope_log(x), logl((long double)x)));
        worst_pow = fmax(worst_pow, ulps(rope_pow(base, power),
                                         powl((long double)base, (long double)power)));
    }
    print_message("log, pow: at worst %.3f and %.3f units\n", worst_log, worst_pow);
    assert_true(worst_log < 0.51 && worst_pow < 0.51);
    assert_true(rope_pow(1e4, -0.5) == 0.01);
    assert_true(rope_pow(4.0, 0.5) == 2.0);
    assert_true(rope_pow(2.0, -1.0) == 0.5);
    assert_true(rope_log(1.0) == 0.0);
}

static void check_frequencies(const struct rope_params *r, const double *want,
                              double scale_want)
{
    static const int at[] = {0, 5, 10, 15, 20, 25, 31};
    double inv[32], scale;
    rope_frequencies(r, inv, &scale);
    for (int i = 0; i < 7; i++)
        assert_true(fabs(inv[at[i]] - want[i]) <= 6e-8 * want[i]);
    assert_true(fabs(scale - scale_want) < 5e-9);
}

/* specs "architectures" 0.3: gpt-oss, DeepSeek-V3, Kimi-K2, to the printed digits */
static void test_yarn_vectors(void **state)
{
    (void)state;
    const struct rope_params oss = {.type = ROPE_YARN,
                                    .theta = 150000.0,
                                    .factor = 32.0,
                                    .beta_fast = 32.0,
                                    .beta_slow = 1.0,
                                    .original_max_pos = 4096,
                                    .rot = 64};
    check_frequencies(&oss,
                      (const double[]){1, .15532299, .019335001, .0010526021,
                                       1.8188337e-05, 2.8250668e-06, 3.0235114e-07},
                      1.34657359);
    const struct rope_params deepseek = {.type = ROPE_YARN,
                                         .theta = 10000.0,
                                         .factor = 40.0,
                                         .beta_fast = 32.0,
                                         .beta_slow = 1.0,
                                         .mscale = 1.0,
                                         .mscale_all_dim = 1.0,
                                         .original_max_pos = 4096,
                                         .is_truncated = true,
                                         .rot = 64};
    check_frequencies(&deepseek,
                      (const double[]){1, .23713737, .056234133, .008334509,
                                       7.9056942e-04, 1.8747355e-05, 3.3338036e-06},
                      1.0);
    struct rope_params kimi = deepseek;
    kimi.theta = 50000.0;
    kimi.factor = 32.0;
    kimi.beta_fast = 1.0;
    check_frequencies(&kimi,
                      (const double[]){1, .18441062, .034007278, .0062713034,
                                       3.6140468e-05, 6.6646862e-06, 8.7644129e-07},
                      1.0);
}

static void test_default_and_linear(void **state)
{
    (void)state;
    struct rope_params r = {.type = ROPE_DEFAULT, .theta = 1e6, .rot = 128};
    double inv[64], scale;
    rope_frequencies(&r, inv, &scale);
    for (int j = 0; j < 64; j++)
        assert_true(ulps(inv[j], powl(1e6L, -2.0L * j / 128.0L)) < 0.51);
    assert_true(scale == 1.0 && inv[32] == 1e-3);
    r.type = ROPE_LINEAR;
    r.factor = 4.0;
    double slow[64];
    rope_frequencies(&r, slow, &scale);
    for (int j = 0; j < 64; j++)
        assert_true(slow[j] == inv[j] / 4.0);
}

/* The definition, branch by branch, on the three sides of the blend. */
static void test_llama3(void **state)
{
    (void)state;
    const struct rope_params r = {.type = ROPE_LLAMA3,
                                  .theta = 5e5,
                                  .factor = 8.0,
                                  .low_freq_factor = 1.0,
                                  .high_freq_factor = 4.0,
                                  .original_max_pos = 8192,
                                  .rot = 128};
    double inv[64], scale;
    rope_frequencies(&r, inv, &scale);
    int n_kept = 0, n_scaled = 0, n_blended = 0;
    for (int j = 0; j < 64; j++) {
        const double plain = pow(5e5, -2.0 * j / 128.0);
        const double length = 2.0 * 3.14159265358979323846 / plain;
        double want = plain;
        if (length > 8192.0) {
            want = plain / 8.0;
            n_scaled++;
        } else if (length < 2048.0) {
            n_kept++;
        } else {
            const double smooth = (8192.0 / length - 1.0) / 3.0;
            want = (1.0 - smooth) * plain / 8.0 + smooth * plain;
            n_blended++;
        }
        assert_true(fabs(inv[j] - want) <= 1e-14 * want);
    }
    assert_true(n_kept > 0 && n_scaled > 0 && n_blended > 0);
}

static void test_table(void **state)
{
    (void)state;
    const struct hparams hp = {.rope = {.type = ROPE_DEFAULT, .theta = 1e4, .rot = 32}};
    enum { N_POS = 5000, HALF = 16 };
    float *const c = mem_alloc(N_POS * HALF * sizeof(float));
    float *const s = mem_alloc(N_POS * HALF * sizeof(float));
    hparams_rope_table(&hp, c, s, N_POS);
    for (int pos = 0; pos < N_POS; pos++)
        for (int j = 0; j < HALF; j++) {
            const long double angle = (long double)pos * powl(1e4L, -2.0L * j / 32.0L);
            const float *const at[] = {c + pos * HALF + j, s + pos * HALF + j};
            /* half a unit of fp32, and the rounding of the angle in double */
            assert_true(fabsl((long double)*at[0] - cosl(angle)) < 6.1e-8L);
            assert_true(fabsl((long double)*at[1] - sinl(angle)) < 6.1e-8L);
        }
    for (int j = 0; j < HALF; j++)
        assert_true(c[j] == 1.0f && s[j] == 0.0f);
    mem_free(c);
    mem_free(s);
}

/* YaRN's factor multiplies both. */
static void test_table_is_scaled(void **state)
{
    (void)state;
    struct hparams hp = {.rope = {.type = ROPE_YARN,
                                  .theta = 1e4,
                                  .factor = 4.0,
                                  .beta_fast = 32.0,
                                  .beta_slow = 1.0,
                                  .original_max_pos = 64,
                                  .rot = 4}};
    float c[2][4], s[2][4];
    hparams_rope_table(&hp, c[0], s[0], 2);
    hp.rope.attention_factor = 1.0;
    hparams_rope_table(&hp, c[1], s[1], 2);
    const double scale = 0.1 * log(4.0) + 1.0;
    for (int i = 0; i < 4; i++) {
        assert_true(fabs((double)c[0][i] - scale * (double)c[1][i]) < 2e-7);
        assert_true(fabs((double)s[0][i] - scale * (double)s[1][i]) < 2e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sincos),
        cmocka_unit_test(test_sincos_near_multiples),
        cmocka_unit_test(test_log_and_pow),
        cmocka_unit_test(test_yarn_vectors),
        cmocka_unit_test(test_default_and_linear),
        cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_table_is_scaled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
