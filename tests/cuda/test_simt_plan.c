/*
 * How exact products are cut into blocks: the grid covers every row and column whatever
 * the offsets are, and large tiles are taken only where they fill the device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/status.h"
#include "cuda/simt_plan.h"

static uint64_t rng = 7;

static int64_t below(int64_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((rng >> 33) % (uint64_t)n);
}

/* Tiles that the rows of random experts need, as the kernel counts them */
static int64_t tiles_needed(const struct simt_shape *s, enum simt_tile t)
{
    int64_t rows[600] = {0}, n = 0;
    const int64_t used = 1 + below(s->n_mats);
    for (int64_t r = 0; r < s->m; r++)
        rows[below(used)]++;
    for (int64_t e = 0; e < s->n_mats; e++)
        n += simt_ceil(rows[e], simt_tile_rows(t));
    return n;
}

static void test_covers(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        const struct simt_shape s = {.form = (enum simt_form)below(3),
                                     .n_mats = i % 2 ? 1 : 1 + below(600),
                                     .n = 1 + below(3000),
                                     .k = 1 + below(3000),
                                     .m = 1 + below(2000)};
        for (int t = SIMT_128X128; t <= SIMT_16X32; t++) {
            const enum simt_tile tile = (enum simt_tile)t;
            const int64_t cols = simt_col_blocks(&s, tile) * simt_tile_cols(tile);
            const int64_t rows = simt_row_blocks(&s, tile);
            assert_true(cols >= simt_cols(&s));
            assert_true(cols - simt_tile_cols(tile) < simt_cols(&s));
            if (s.form == SIMT_DW)
                assert_true(rows * simt_tile_rows(tile) >= s.n);
            else
                assert_true(rows >= tiles_needed(&s, tile));
        }
    }
}

static void test_choice(void **state)
{
    (void)state;
    struct simt_shape s = {.form = SIMT_FWD, .n_mats = 1, .n = 4096, .k = 1024};
    const enum simt_tile want[] = {SIMT_16X32, SIMT_16X32, SIMT_64X64, SIMT_64X64,
                                   SIMT_128X128};
    const int64_t rows[] = {1, 16, 17, 64, 4096};
    for (int64_t i = 0; i < ARRAY_LEN(rows); i++) {
        s.m = rows[i];
        assert_int_equal(simt_choose(&s, 132), want[i]);
    }
    s.n = 256; /* 64 large tiles leave half of the device idle */
    assert_int_equal(simt_choose(&s, 132), SIMT_64X64);
    s.form = SIMT_DW;
    s.m = 1;
    s.n = s.k = 64;
    assert_int_equal(simt_choose(&s, 132), SIMT_64X64);
    s.n_mats = 64;
    s.n = s.k = 1024;
    assert_int_equal(simt_choose(&s, 132), SIMT_128X128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_covers),
                                       cmocka_unit_test(test_choice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
