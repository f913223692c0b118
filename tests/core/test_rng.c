/*
 * Philox against Random123's published known answers, and the draws against what their
 * contract states: ranges, moments, uniformity, permutations.
 */
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "tests/core/tmp_dir.h"

struct known_answer {
    uint32_t counter[4], key[2], out[4];
};

/* Random123 1.09, tests/kat_vectors, the three lines "philox4x32 10" */
static const struct known_answer known_answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}},
    {{0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF},
     {0xFFFFFFFF, 0xFFFFFFFF},
     {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}},
    {{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
     {0xA4093822, 0x299F31D0},
     {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}},
};

static void test_known_answers(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(known_answers); i++) {
        const struct known_answer *const k = &known_answers[i];
        uint32_t out[4];
        philox4x32_10(out, k->counter, k->key);
        assert_memory_equal(out, k->out, sizeof(out));
        uint32_t in_place[4];
        memcpy(in_place, k->counter, sizeof(in_place));
        philox4x32_10(in_place, in_place, k->key);
        assert_memory_equal(in_place, k->out, sizeof(out));
    }
}

static void test_block_key(void **state)
{
    (void)state;
    const uint64_t seed = 0x0123456789ABCDEFu;
    const uint32_t key[2] = {0x89ABCDEF, 0x01234567u ^ 3u * 0x9E3779B9u};
    const uint32_t counter[4] = {1, 2, 3, 4};
    uint32_t want[4], got[4];
    philox4x32_10(want, counter, key);
    rng_block(got, seed, RNG_INIT, 1, 2, 3, 4);
    assert_memory_equal(got, want, sizeof(got));
    rng_block(got, seed, RNG_ORDER, 1, 2, 3, 4);
    assert_memory_not_equal(got, want, sizeof(got));
}

static void test_uniform(void **state)
{
    (void)state;
    enum { N = 200000, BINS = 16 };
    double sum = 0.0, sum_sq = 0.0;
    int64_t bins[BINS] = {0};
    for (uint32_t i = 0; i < N; i++) {
        const float u = rng_uniform(7, RNG_TEST, i, 1, 2, 3);
        uint32_t w[4];
        rng_block(w, 7, RNG_TEST, i, 1, 2, 3);
        assert_true(u >= 0.0f && u < 1.0f);
        assert_int_equal((uint32_t)(u * 0x1p24f), w[0] >> 8);
        sum += (double)u;
        sum_sq += (double)u * (double)u;
        bins[(int)(u * BINS)]++;
    }
    /* five standard deviations: sqrt(1/12 / N), and of u^2 sqrt(4/45 / N) */
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(fabs(sum_sq / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    double chi2 = 0.0;
    for (int i = 0; i < BINS; i++)
        chi2 += pow((double)bins[i] - (double)N / BINS, 2) / ((double)N / BINS);
    assert_true(chi2 < 45.0); /* 15 degrees of freedom: p = 1e-4 */
}

static void test_normal(void **state)
{
    (void)state;
    enum { N = 200000 };
    double m1 = 0.0, m2 = 0.0, m3 = 0.0, m4 = 0.0;
    for (uint32_t i = 0; i < N; i++) {
        const double x = (double)rng_normal(11, RNG_TEST, i, 0, 0, 0);
        assert_true(isfinite(x) && fabs(x) < 6.7); /* sqrt(2 ln 2^32) = 6.66 */
        m1 += x / N;
        m2 += x * x / N;
        m3 += x * x * x / N;
        m4 += x * x * x * x / N;
    }
    /* five standard deviations: sqrt of 1, 2, 15, 96 over N */
    assert_true(fabs(m1) < 5 * sqrt(1.0 / N));
    assert_true(fabs(m2 - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m3) < 5 * sqrt(15.0 / N));
    assert_true(fabs(m4 - 3) < 5 * sqrt(96.0 / N));
}

static void test_below(void **state)
{
    (void)state;
    static const uint32_t limits[] = {1, 2, 3, 7, 10, 100, 1431655766u, 0x80000000u};
    enum { N = 60000 };
    for (int64_t j = 0; j < ARRAY_LEN(limits); j++) {
        const uint32_t n = limits[j];
        double mean = 0.0;
        int64_t low_third = 0;
        for (uint32_t i = 0; i < N; i++) {
            const uint32_t x = rng_below(5, RNG_TEST, n, i, 9, 8, 7);
            assert_true(x < n);
            mean += (double)x / N;
            low_third += x < n / 3;
        }
        const double expected = ((double)n - 1) / 2;
        const double deviation = sqrt(((double)n * (double)n - 1) / 12 / N);
        assert_true(fabs(mean - expected) <= 5 * deviation);
        const double p = (double)(n / 3) / (double)n;
        assert_true(fabs((double)low_third / N - p) <= 5 * sqrt(p * (1 - p) / N));
    }
}

/* For n just above 2^32 / 3 about a third of all words is rejected, so a hundredth of
 * the draws needs a second block. */
static void test_below_second_block(void **state)
{
    (void)state;
    const uint32_t n = 1431655766u, n_rejected = (0u - n) % n;
    int n_second = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t w[4];
        rng_block(w, 5, RNG_TEST, i, 0, 0, 0);
        bool is_second = true;
        for (int k = 0; k < 4; k++)
            is_second = is_second && (uint32_t)((uint64_t)w[k] * n) < n_rejected;
        if (!is_second)
            continue;
        n_second++;
        const uint32_t x = rng_below(5, RNG_TEST, n, i, 0, 0, 0);
        uint32_t key[2] = {5, RNG_TEST * 0x9E3779B9u}, next[4];
        philox4x32_10(next, w, key);
        if ((uint32_t)((uint64_t)next[0] * n) >= n_rejected)
            assert_int_equal(x, (uint32_t)((uint64_t)next[0] * n >> 32));
    }
    assert_in_range(n_second, 150, 350); /* 20000 / 81 = 247 */
}

static void check_permutation(uint64_t seed, uint32_t epoch, int64_t n)
{
    unsigned char *const seen = mem_alloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = rng_permute(seed, epoch, n, i);
        assert_true(j >= 0 && j < n);
        assert_int_equal(seen[j], 0);
        seen[j] = 1;
    }
    mem_free(seen);
}

static void test_permute_all_sizes(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 600; n++)
        check_permutation(42, (uint32_t)n, n);
    static const int64_t larger[] = {1023, 1024, 1025, 4095, 4097, 65537, 100003};
    for (int64_t i = 0; i < ARRAY_LEN(larger); i++)
        check_permutation(1, 0, larger[i]);
}

/* Every element is equally often first, and epochs and seeds differ. */
static void test_permute_mixes(void **state)
{
    (void)state;
    enum { N = 5, ROUNDS = 20000 };
    int64_t place[N][N] = {{0}};
    for (uint32_t epoch = 0; epoch < ROUNDS; epoch++)
        for (int i = 0; i < N; i++)
            place[i][rng_permute(3, epoch, N, i)]++;
    const double mean = (double)ROUNDS / N;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            assert_true(fabs((double)place[i][j] - mean) <
                        5 * sqrt(mean * (1 - 1.0 / N)));
    int64_t n_same = 0, n_neighbours = 0;
    const int64_t n = 10000;
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = rng_permute(3, 0, n, i);
        n_same += j == rng_permute(3, 1, n, i);
        n_same += j == rng_permute(4, 0, n, i);
        n_neighbours += i > 0 && llabs(j - rng_permute(3, 0, n, i - 1)) == 1;
    }
    /* both are Poisson of mean 2 in a random permutation */
    assert_true(n_same < 14);
    assert_true(n_neighbours < 14);
}

static void test_permute_huge(void **state)
{
    (void)state;
    const int64_t sizes[] = {(int64_t)1 << 40, ((int64_t)1 << 40) + 1, INT64_MAX};
    for (int64_t k = 0; k < ARRAY_LEN(sizes); k++)
        for (int64_t i = 0; i < 1000; i++) {
            const int64_t a = rng_permute(1, 2, sizes[k], i);
            const int64_t b = rng_permute(1, 2, sizes[k], sizes[k] - 1 - i);
            assert_true(a >= 0 && a < sizes[k] && b >= 0 && b < sizes[k] && a != b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_block_key),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_below_second_block),
        cmocka_unit_test(test_permute_all_sizes),
        cmocka_unit_test(test_permute_mixes),
        cmocka_unit_test(test_permute_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
