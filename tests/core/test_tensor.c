/*
 * Dtype conversions for every 16-bit pattern and, for narrowing, every neighbourhood of
 * every pattern, against an oracle in integer and double arithmetic; the packed
 * weight's addressing against its definition.
 */
#include "core/tensor.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "core/status.h"
#include "tests/core/tmp_dir.h"

enum { N_PATTERNS = 65536 };

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}

static float float_of(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof(v));
    return v;
}

struct format {
    enum dtype dtype;
    int mantissa_bits, exponent_bits;
};
static const struct format formats[] = {{DTYPE_BF16, 7, 8}, {DTYPE_F16, 10, 5}};

/* The value of a pattern by the definition of its fields; NaN for NaNs. */
static double value_of(const struct format *f, uint32_t h)
{
    const int bias = (1 << (f->exponent_bits - 1)) - 1;
    const int top = (1 << f->exponent_bits) - 1;
    const int exponent = (int)(h >> f->mantissa_bits) & top;
    const double fraction = ldexp((double)(h & ((1u << f->mantissa_bits) - 1)),
                                  -f->mantissa_bits);
    double v;
    if (exponent == top)
        v = fraction == 0.0 ? (double)INFINITY : (double)NAN;
    else if (exponent == 0)
        v = ldexp(fraction, 1 - bias);
    else
        v = ldexp(1.0 + fraction, exponent - bias);
    return (h & 0x8000) != 0 ? -v : v;
}

/* The nearest pattern to v, ties to the even one, found by bisection over the positive
 * patterns, which ascend with their value. */
static uint32_t nearest_pattern(const struct format *f, float v)
{
    const uint32_t inf = ((1u << f->exponent_bits) - 1) << f->mantissa_bits;
    const uint32_t sign = bits_of(v) >> 31 << 15;
    const double a = fabs((double)v);
    uint32_t low = 0, high = inf - 1; /* the largest finite one */
    while (low < high) {
        const uint32_t middle = (low + high + 1) / 2;
        if (value_of(f, middle) <= a)
            low = middle;
        else
            high = middle - 1;
    }
    /* past the largest finite value the next one would be this, if it existed */
    const double below = value_of(f, low);
    const double above = low == inf - 1 ? 2 * below - value_of(f, low - 1)
                                        : value_of(f, low + 1);
    if (isinf(a) || a - below > above - a || (a - below == above - a && low % 2 == 1))
        low++;
    return sign | low;
}

static void check_narrow(const struct format *f, float v)
{
    uint16_t got[1];
    dtype_put(got, f->dtype, 0, v);
    if (isnan(v)) {
        const uint32_t inf = ((1u << f->exponent_bits) - 1) << f->mantissa_bits;
        const uint32_t quiet = inf | 1u << (f->mantissa_bits - 1);
        assert_int_equal(got[0] & quiet, quiet);
        assert_int_equal(got[0] >> 15, bits_of(v) >> 31);
        return;
    }
    const uint32_t want = nearest_pattern(f, v);
    if (got[0] != want)
        fail_msg("%s of %a (%08x): %04x, expected %04x", dtype_name(f->dtype),
                 (double)v, bits_of(v), got[0], want);
}

static void test_widen_every_pattern(void **state)
{
    (void)state;
    uint16_t *const h = mem_alloc(N_PATTERNS * sizeof(*h));
    float *const v = mem_alloc(N_PATTERNS * sizeof(*v));
    for (uint32_t i = 0; i < N_PATTERNS; i++)
        h[i] = (uint16_t)i;
    for (int64_t k = 0; k < ARRAY_LEN(formats); k++) {
        dtype_widen(v, h, formats[k].dtype, N_PATTERNS);
        for (uint32_t i = 0; i < N_PATTERNS; i++) {
            const double want = value_of(&formats[k], i);
            if (isnan(want))
                assert_true(isnan(v[i]));
            else
                assert_true((double)v[i] == want);
            assert_int_equal(bits_of(v[i]) >> 31, i >> 15); /* -0 and NaN too */
            const float one = dtype_get(h, formats[k].dtype, i);
            assert_memory_equal(&one, &v[i], sizeof(one));
        }
    }
    mem_free(h);
    mem_free(v);
}

static void test_round_trip(void **state)
{
    (void)state;
    uint16_t *const h = mem_alloc(N_PATTERNS * sizeof(*h));
    uint16_t *const back = mem_alloc(N_PATTERNS * sizeof(*back));
    float *const v = mem_alloc(N_PATTERNS * sizeof(*v));
    for (uint32_t i = 0; i < N_PATTERNS; i++)
        h[i] = (uint16_t)i;
    for (int64_t k = 0; k < ARRAY_LEN(formats); k++) {
        const uint32_t quiet = 1u << (formats[k].mantissa_bits - 1);
        dtype_widen(v, h, formats[k].dtype, N_PATTERNS);
        dtype_narrow(back, formats[k].dtype, v, N_PATTERNS);
        for (uint32_t i = 0; i < N_PATTERNS; i++)
            assert_int_equal(back[i], isnan(v[i]) ? i | quiet : i);
    }
    mem_free(h);
    mem_free(back);
    mem_free(v);
}

/* Around every pattern and every midpoint between neighbours: exact, one below, one
 * above. Those are the only places where rounding can change. */
static void test_narrow_every_neighbourhood(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(formats); k++)
        for (uint32_t i = 0; i < N_PATTERNS; i++) {
            uint16_t h = (uint16_t)i;
            const float v = dtype_get(&h, formats[k].dtype, 0);
            h++;
            const float next = dtype_get(&h, formats[k].dtype, 0);
            const float middle = (float)(((double)v + (double)next) / 2);
            const float near[] = {v, middle};
            for (int64_t j = 0; j < ARRAY_LEN(near); j++) {
                check_narrow(&formats[k], near[j]);
                check_narrow(&formats[k], nextafterf(near[j], INFINITY));
                check_narrow(&formats[k], nextafterf(near[j], -INFINITY));
            }
        }
}

static void test_narrow_edges(void **state)
{
    (void)state;
    static const uint32_t edges[] = {
        0x7F800000, 0xFF800000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F7FFFFF,
        0x7FC00000, 0x477FEFFF, 0x477FF000, 0x477FF001, 0x33000000, 0x33000001,
        0x32FFFFFF, 0x00000001, 0x007FFFFF, 0x80000001, 0x38800000, 0x387FFFFF,
        0x387FE000, 0x387FF000, 0x7F7F8000, 0x7F7F7FFF, 0x7FBFFFFF, 0xFF800001,
    };
    for (int64_t k = 0; k < ARRAY_LEN(formats); k++) {
        for (int64_t i = 0; i < ARRAY_LEN(edges); i++)
            check_narrow(&formats[k], float_of(edges[i]));
        for (uint32_t i = 0; i < 200000; i++) {
            uint32_t w[4];
            rng_block(w, 1, RNG_TEST, i, 0, 0, 0);
            check_narrow(&formats[k], float_of(w[0]));
        }
    }
}

/* The loops' vector bodies and tails give what the single conversions give. */
static void test_lengths(void **state)
{
    (void)state;
    enum { N = 100 };
    float v[N + 1], wide[N + 1];
    uint16_t h[N + 1];
    for (uint32_t i = 0; i < N; i++)
        v[i] = rng_normal(1, RNG_TEST, i, 1, 0, 0) * (i % 3 == 0 ? 0x1p-16f : 1.0f);
    for (int64_t k = 0; k < ARRAY_LEN(formats); k++)
        for (int64_t n = 0; n <= N; n++) {
            const enum dtype dtype = formats[k].dtype;
            h[n] = 0xABCD;
            wide[n] = 123.0f;
            dtype_narrow(h, dtype, v, n);
            dtype_widen(wide, h, dtype, n);
            for (int64_t i = 0; i < n; i++) {
                uint16_t one;
                dtype_put(&one, dtype, 0, v[i]);
                assert_int_equal(h[i], one);
                assert_true(wide[i] == dtype_get(h, dtype, i));
            }
            assert_int_equal(h[n], 0xABCD);
            assert_true(wide[n] == 123.0f);
        }
}

static void test_f32_and_names(void **state)
{
    (void)state;
    const float v[3] = {1.5f, -0.0f, float_of(0x7F800001)};
    float out[3];
    dtype_widen(out, v, DTYPE_F32, 3);
    assert_memory_equal(out, v, sizeof(v));
    dtype_narrow(out, DTYPE_F32, v, 3);
    assert_memory_equal(out, v, sizeof(v));
    dtype_put(out, DTYPE_F32, 1, 2.5f);
    assert_true(dtype_get(out, DTYPE_F32, 1) == 2.5f);
    assert_string_equal(dtype_name(DTYPE_F32), "F32");
    assert_string_equal(dtype_name(DTYPE_BF16), "BF16");
    assert_string_equal(dtype_name(DTYPE_F16), "F16");
    assert_int_equal(dtype_bytes(DTYPE_F32), 4);
    assert_int_equal(dtype_bytes(DTYPE_BF16), 2);
    assert_int_equal(dtype_bytes(DTYPE_F16), 2);
}

static void test_weight_layout(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1},  {1, 32, 3}, {2, 33, 5},
                                        {3, 64, 1}, {4, 31, 7}, {1, 100, 9}};
    for (int64_t s = 0; s < ARRAY_LEN(shapes); s++) {
        const int64_t n_mats = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        const int64_t size = weight_n_elems(WEIGHT_PACKED, n_mats, n, k);
        assert_int_equal(size, n_mats * ((n + 31) / 32) * 32 * k);
        assert_int_equal(weight_n_elems(WEIGHT_PLAIN, n_mats, n, k), n_mats * n * k);
        unsigned char *const seen = mem_alloc((size_t)size);
        for (int64_t e = 0; e < n_mats; e++)
            for (int64_t j = 0; j < n; j++)
                for (int64_t i = 0; i < k; i++) {
                    const int64_t at = weight_index(WEIGHT_PACKED, n, k, e, j, i);
                    const int64_t n_panels = (n + 31) / 32;
                    assert_int_equal(at,
                                     ((e * n_panels + j / 32) * k + i) * 32 + j % 32);
                    assert_true(at >= 0 && at < size && seen[at]++ == 0);
                    assert_int_equal(weight_index(WEIGHT_PLAIN, n, k, e, j, i),
                                     (e * n + j) * k + i);
                }
        mem_free(seen);
    }
    assert_int_equal(weight_n_elems(WEIGHT_PACKED, 0, 5, 5), 0);
    assert_int_equal(weight_n_elems(WEIGHT_PACKED, 5, 0, 5), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widen_every_pattern),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_narrow_every_neighbourhood),
        cmocka_unit_test(test_narrow_edges),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_f32_and_names),
        cmocka_unit_test(test_weight_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
