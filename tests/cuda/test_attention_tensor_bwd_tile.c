/*
 * Index maps of the attention backward on wgmma, without a GPU: tile numbers of ragged
 * sequences do not meet and are found again, images hold every element once and where
 * the matrix descriptors look, the longest work comes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cuda/attention_tensor_bwd_tile.h"

enum { MAX_SEQS = 7, MAX_TILES = 200 };

static uint64_t rng_state = 20261126;

static int32_t below(int32_t n)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((rng_state >> 33) % (uint64_t)n);
}

/* Every tile that has lines: a number of its own, below the bound, found again */
static void check_tiles(const int32_t *row_off, int64_t n_seqs, int64_t per_kv,
                        int64_t tile)
{
    bool has[MAX_TILES] = {false};
    const int64_t bound = bwd_tile_bound(row_off[n_seqs] * per_kv, n_seqs, tile);
    assert_true(bound <= MAX_TILES);
    for (int64_t s = 0; s < n_seqs; s++) {
        const int64_t n = (row_off[s + 1] - row_off[s]) * per_kv;
        for (int64_t first = 0; first < n; first += tile) {
            const int64_t base = bwd_tile_base(row_off[s] * per_kv, s, tile);
            const int64_t t = base + first / tile;
            assert_true(t >= 0 && t < bound && !has[t]);
            has[t] = true;
            assert_int_equal(bwd_tile_seq(row_off, n_seqs, per_kv, tile, t), s);
        }
    }
}

static void test_tiles(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        int32_t row_off[MAX_SEQS + 1] = {0};
        const int32_t n_seqs = 1 + below(MAX_SEQS), most = 1 + below(200);
        for (int32_t s = 0; s < n_seqs; s++)
            row_off[s + 1] = row_off[s] + (below(4) == 0 ? 0 : below(most));
        check_tiles(row_off, n_seqs, 1 + below(6), below(2) ? 64 : 128);
    }
}

/* Where wgmma reads: K-major, 8 rows of 128 swizzled bytes to an atom; the step k of 16
 * dims. MN-major: 64 dims by 8 rows to an atom, the step k of 16 rows. */
static void test_images(void **state)
{
    (void)state;
    static bool has[64 * 128 * 2];
    for (int32_t d_all = 64; d_all <= 128; d_all += 64) {
        memset(has, 0, sizeof(has));
        for (int32_t row = 0; row < 64; row++)
            for (int32_t d = 0; d < d_all; d++) {
                const int32_t at = bwd_image_at(row, d);
                assert_true(at >= 0 && at < 64 * d_all * 2 && at % 2 == 0 && !has[at]);
                has[at] = true;
                const int32_t by_dims = bwd_image_dims(d / 16) & ~127;
                const int32_t low = bwd_image_dims(d / 16) & 127;
                assert_int_equal(at, by_dims + gemm_swizzle(row, low + d % 16 * 2));
                assert_int_equal(at, bwd_image_rows(row / 16) + d / 64 * 64 * 128 +
                                         gemm_swizzle(row % 16, d % 64 * 2));
            }
    }
}

/* A thread's columns of accumulators in order, four at a time on 16 bytes; the four
 * threads that differ in their columns in different banks */
static void test_stats(void **state)
{
    (void)state;
    for (int32_t c = 0; c < 4; c++)
        for (int32_t i = 0; i < 32; i++) {
            if (i / 2 % 2 == 1) /* the other row */
                continue;
            const int32_t at = bwd_stat_at(gemm_acc_col(c, i));
            assert_int_equal(at, c * BWD_STAT_RUN + i / 4 * 2 + i % 2);
            assert_true(at < BWD_N_STATS);
            for (int32_t other = 0; other < c && i % 8 == 0; other++) {
                const int32_t gap = at - bwd_stat_at(gemm_acc_col(other, i));
                assert_true(gap % 32 >= 4 && gap % 32 <= 28 && at % 4 == 0);
            }
        }
}

static void test_buckets(void **state)
{
    (void)state;
    for (int32_t cost = 0; cost < 2000; cost++) {
        const int32_t b = bwd_bucket(cost);
        assert_true(b >= 0 && b < BWD_BUCKETS && bwd_bucket(cost + 1) <= b);
    }
    assert_true(bwd_bucket(3) < bwd_bucket(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles), cmocka_unit_test(test_images),
        cmocka_unit_test(test_stats), cmocka_unit_test(test_buckets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
