/*
 * What of the tensor-core products can be checked without a GPU: plans stay within the
 * device, tiles cover every output element once, and a whole wgmma tile is walked on
 * paper - TMA's swizzled writes, the matrix descriptors' reads, the accumulators'
 * places - and compared with plain products.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/status.h"
#include "cuda/gemm_tensor_tile.h"

enum { MAX_MATS = 256, N_FORMS = 3, N_PLANS = GEMM_N_TILES + 1 };

/* sm_80, sm_86 (the smallest shared memory), H100 and a small Hopper */
static const struct gemm_device devices[] = {
    {8, 0, 108, 166912}, {8, 6, 84, 101376}, {9, 0, 132, 232448}, {9, 0, 7, 232448}};
static const struct gemm_device hopper = {9, 0, 132, 232448};

static const struct gemm_shape shapes[] = {
    {1, 8, 8, 1},           {1, 64, 64, 64},        {1, 264, 72, 129},
    {1, 99584, 1024, 2048}, {4, 264, 200, 777},     {16, 4096, 1024, 48000},
    {16, 1024, 2048, 128},  {64, 256, 256, 3001},   {256, 72, 136, 3333},
    {256, 64, 128, 100},    {4, 64, 64, 0},         {1, 7, 5, 3},
    {8, 100, 99, 500},      {3, 100, 64, 300, 104}, {GEMM_MAX_MATS, 64, 64, 5000},
};

static uint64_t rng_state = 20240607;

static uint32_t random_bits(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33);
}

static void test_plans_fit_the_device(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(devices) * ARRAY_LEN(shapes) * N_FORMS; i++) {
        const struct gemm_device *const d = &devices[i / N_FORMS % ARRAY_LEN(devices)];
        const struct gemm_shape *const s = &shapes[i / N_FORMS / ARRAY_LEN(devices)];
        for (int aligned = 0; aligned < 2; aligned++) {
            struct gemm_plan p, again;
            gemm_plan_choose(&p, (enum gemm_form)(i % N_FORMS), s, d, aligned != 0);
            gemm_plan_choose(&again, (enum gemm_form)(i % N_FORMS), s, d, aligned != 0);
            assert_memory_equal(&p, &again, sizeof(p));
            const bool may_wgmma = aligned && d->cc_major == 9 &&
                                   gemm_plan_fits_wgmma(p.form, s) &&
                                   !gemm_plan_is_narrow(p.form, s);
            assert_int_equal(p.kernel == GEMM_KERNEL_WGMMA, may_wgmma);
            assert_true((p.smem_bytes + 1024) * p.blocks_per_sm <=
                        d->smem_bytes + 1024);
            assert_true(p.n_stages >= 3 && p.n_stages <= 8);
            assert_true(p.grid <= (int64_t)d->n_sms * p.blocks_per_sm);
            assert_int_equal(p.grid == 0, s->m == 0);
            assert_true(p.n_threads <= 1024 && p.n_threads % 128 == 0);
        }
    }
}

static void test_large_products_take_large_tiles(void **state)
{
    (void)state;
    const struct gemm_shape experts = {16, 4096, 1024, 48000};
    const struct gemm_shape decode = {1, 3072, 1024, 64};
    struct gemm_plan p;
    gemm_plan_choose(&p, GEMM_FORM_FWD, &experts, &hopper, true);
    assert_true(p.tile_m == 128 && p.tile_n == 256);
    assert_int_equal(p.grid, hopper.n_sms);
    gemm_plan_choose(&p, GEMM_FORM_FWD, &decode, &hopper, true);
    assert_true(p.tile_m == 64 && p.tile_n == 64 && p.grid == 48);
    /* one round of lower tiles instead of half a round of the largest */
    const struct gemm_shape head = {1, 99584, 1024, 2048};
    gemm_plan_choose(&p, GEMM_FORM_DX, &head, &hopper, true);
    assert_true(p.tile_m == 64 && p.tile_n == 256 && p.grid == 128);
}

/* every variant of a shape: the wgmma tiles, then mma */
static bool plan_number(struct gemm_plan *p, int i, enum gemm_form form,
                        const struct gemm_shape *s)
{
    if (i < GEMM_N_TILES && !gemm_plan_fits_wgmma(form, s))
        return false;
    if (i < GEMM_N_TILES)
        gemm_plan_wgmma(p, form, s, &hopper, (enum gemm_wgmma_tile)i);
    else
        gemm_plan_mma(p, form, s, &hopper);
    return true;
}

static void random_groups(int32_t *off, const struct gemm_shape *s)
{
    int64_t at = 0;
    for (int64_t e = 0; e < s->n_mats; e++) {
        off[e] = (int32_t)at;
        const int64_t some = random_bits() % (uint32_t)(3 * s->m / s->n_mats + 1);
        at += random_bits() % 3 == 0 ? 0 : some > s->m - at ? s->m - at : some;
    }
    off[s->n_mats] = (int32_t)s->m; /* the last takes what is left */
}

static void fill_base(int32_t *base, const struct gemm_space *space, const int32_t *off)
{
    base[0] = 0;
    for (int32_t e = 0; e < space->n_mats; e++)
        base[e + 1] = base[e] + gemm_tiles_of(space, off[e + 1] - off[e]);
}

/* Marks the tile's cells: the output cut into cells of one row by tile_n columns. */
static void mark_tile(uint8_t *seen, const struct gemm_space *space,
                      const struct gemm_tile *tile, const int32_t *off)
{
    const bool is_dw = space->form == GEMM_FORM_DW;
    const int64_t n_cells = gemm_ceil_div(gemm_cols(space), space->tile_n);
    const int64_t base_row = is_dw ? tile->mat * space->n : 0;
    assert_int_equal(tile->col0 % space->tile_n, 0);
    assert_true(tile->col0 < gemm_cols(space) && tile->row0 < tile->row_end);
    assert_int_equal(tile->row_end, is_dw ? space->n : off[tile->mat + 1]);
    assert_true(tile->row0 >= (is_dw ? 0 : off[tile->mat]));
    assert_int_equal(tile->red0, is_dw ? off[tile->mat] : 0);
    assert_int_equal(tile->red_end, is_dw                          ? off[tile->mat + 1]
                                    : space->form == GEMM_FORM_FWD ? space->k
                                                                   : space->n);
    for (int64_t r = tile->row0; r < tile->row0 + space->tile_m && r < tile->row_end;
         r++)
        seen[(base_row + r) * n_cells + tile->col0 / space->tile_n]++;
}

static void check_cover(const struct gemm_shape *s, const struct gemm_plan *p)
{
    const bool is_dw = p->form == GEMM_FORM_DW;
    const struct gemm_space space = {
        p->form, (int32_t)s->n_mats, p->tile_m, p->tile_n, p->tile_k, s->n, s->k, s->m};
    static int32_t off[GEMM_MAX_MATS + 1], base[GEMM_MAX_MATS + 1];
    random_groups(off, s);
    fill_base(base, &space, off);
    assert_true(base[s->n_mats] <= p->max_tiles);
    const int64_t n_rows = is_dw ? s->n_mats * s->n : s->m;
    const int64_t n_cells = gemm_ceil_div(gemm_cols(&space), p->tile_n);
    uint8_t *const seen = calloc((size_t)(n_rows * n_cells) + 1, 1);
    assert_non_null(seen);
    for (int32_t t = 0; t < base[s->n_mats]; t++) {
        const struct gemm_tile tile = gemm_tile_at(&space, base, off, t);
        mark_tile(seen, &space, &tile, off);
        const int32_t n_steps = gemm_steps(&space, &tile);
        assert_true(n_steps > 0);
        assert_true(tile.red0 + (int64_t)n_steps * p->tile_k >= tile.red_end);
        assert_true(tile.red0 + (int64_t)(n_steps - 1) * p->tile_k < tile.red_end);
    }
    for (int64_t i = 0; i < n_rows * n_cells; i++) {
        const int64_t mat = i / n_cells / s->n;
        const bool has_rows = !is_dw || off[mat + 1] > off[mat];
        assert_int_equal(seen[i], has_rows ? 1 : 0);
    }
    free(seen);
}

static void test_tiles_cover_the_output_once(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(shapes) * N_FORMS * N_PLANS; i++) {
        struct gemm_plan p;
        const struct gemm_shape *const s = &shapes[i / N_FORMS / N_PLANS];
        if (plan_number(&p, (int)(i % N_PLANS), (enum gemm_form)(i / N_PLANS % N_FORMS),
                        s))
            check_cover(s, &p);
    }
}

/* TMA with 128-byte swizzle: bits 4-6 of the address are exclusive-ored with bits 7-9
 */
static int32_t swizzled(int32_t address) { return address ^ (address >> 7 & 7) << 4; }

/* A box of 64 columns by n_lines lines of a (height, width) matrix, zeros outside */
static void tma_box(uint16_t *smem, int32_t at, const uint16_t *p, int64_t height,
                    int64_t width, int64_t x, int64_t y, int32_t n_lines)
{
    for (int32_t line = 0; line < n_lines; line++)
        for (int32_t c = 0; c < 64; c++) {
            const bool inside = y + line < height && x + c < width;
            smem[swizzled(at + line * 128 + c * 2) / 2] =
                inside ? p[(y + line) * width + x + c] : 0;
        }
}

/* What wgmma reads as element (row, step < 16) through a descriptor: rows in groups of
 * 8 lines (K-major) or steps in groups of 8 lines and rows in blocks of 64 (MN-major);
 * the swizzle acts on the address. */
static uint16_t wgmma_element(const uint16_t *smem, uint64_t d, bool mn_major, int row,
                              int step)
{
    const int32_t start = (int32_t)(d & 0x3fff) << 4;
    const int32_t leading = (int32_t)(d >> 16 & 0x3fff) << 4;
    const int32_t stride = (int32_t)(d >> 32 & 0x3fff) << 4;
    assert_int_equal(d >> 62, 1);
    const int32_t at = mn_major ? row / 64 * leading + step / 8 * stride +
                                      step % 8 * 128 + row % 64 * 2
                                : row / 8 * stride + row % 8 * 128 + step * 2;
    return smem[swizzled(start + at) / 2];
}

static uint16_t plain_element(const uint16_t *p, bool mn_major, int64_t width,
                              int64_t row, int64_t step)
{
    return mn_major ? p[step * width + row] : p[row * width + step];
}

/* An operand of 128 rows and 64 steps, written by TMA, read through the descriptor. */
static void check_operand(bool mn_major)
{
    enum { ROWS = 128, STEPS = 64, BASE = 3 * 1024 };
    static uint16_t smem[BASE / 2 + ROWS * STEPS], p[ROWS * STEPS];
    for (int i = 0; i < ROWS * STEPS; i++)
        p[i] = (uint16_t)i;
    if (mn_major)
        for (int block = 0; block < ROWS / 64; block++)
            tma_box(smem, BASE + block * 64 * 128, p, STEPS, ROWS, 64 * block, 0,
                    STEPS);
    else
        tma_box(smem, BASE, p, ROWS, STEPS, 0, 0, ROWS);
    for (int row = 0; row < ROWS; row++)
        for (int step = 0; step < STEPS; step++) {
            const uint64_t d = gemm_descriptor(BASE, mn_major) +
                               (uint64_t)(step / 16) * gemm_descriptor_step(mn_major);
            const uint16_t want = plain_element(p, mn_major, mn_major ? ROWS : STEPS,
                                                row, step);
            assert_int_equal(wgmma_element(smem, d, mn_major, row, step % 16), want);
            const int32_t at = mn_major ? gemm_smem_mn_major(row, step)
                                        : gemm_smem_k_major(row, step);
            assert_int_equal(smem[(BASE + at) / 2], want);
        }
}

static void test_descriptors_read_what_tma_wrote(void **state)
{
    (void)state;
    check_operand(false);
    check_operand(true);
}

/* the last lines of a group, cleared as whole lines, are exactly its last steps */
static void test_clearing_lines_clears_steps(void **state)
{
    (void)state;
    for (int32_t n_valid = 0; n_valid < 64; n_valid++)
        for (int32_t row = 0; row < 128; row += 5)
            for (int32_t step = 0; step < 64; step++) {
                const int32_t at = gemm_smem_mn_major(row, step) % (64 * 128);
                assert_int_equal(at >= n_valid * 128, step >= n_valid);
            }
}

static void test_accumulators_tile_the_product(void **state)
{
    (void)state;
    static const int widths[] = {64, 256};
    for (int64_t w = 0; w < ARRAY_LEN(widths); w++) {
        uint8_t seen[64 * 256] = {0};
        for (int32_t thread = 0; thread < 128; thread++)
            for (int32_t i = 0; i < widths[w] / 2; i++)
                seen[gemm_acc_row(thread, i) * widths[w] + gemm_acc_col(thread, i)]++;
        for (int i = 0; i < 64 * widths[w]; i++)
            assert_int_equal(seen[i], 1);
    }
}

/* Banks of 4 bytes: no two of these 16-byte reads of 8 lines share one. */
static void test_padded_lines_miss_each_other(void **state)
{
    (void)state;
    static const int32_t widths[] = {32, 128};
    for (int64_t w = 0; w < ARRAY_LEN(widths); w++)
        for (int32_t i = 0; i < widths[w]; i += 8) {
            uint32_t banks = 0;
            for (int32_t line = 0; line < 8; line++) {
                const int32_t at = gemm_padded(widths[w], line, i) * 2;
                assert_int_equal(at % 16, 0);
                banks |= 0xfu << at % 128 / 4;
            }
            assert_int_equal(banks, 0xffffffffu);
        }
}

/* The box that TMA stores: every element laid down once where the swizzle wants it, no
 * two of half a warp's 8-byte writes in a bank. */
static void test_boxes_hold_the_accumulators(void **state)
{
    (void)state;
    uint8_t seen[GEMM_BOX_ROWS * GEMM_BOX_COLS] = {0};
    for (int32_t k = 0; k < 8; k++)
        for (int32_t half = 0; half < 32; half += 16) {
            uint32_t banks = 0;
            for (int32_t lane = half; lane < half + 16; lane++) {
                const int32_t slot = k / 2, h = k % 2;
                const int32_t at = gemm_staging_at(lane, slot, h);
                const int32_t i = 4 * gemm_staging_pair(lane, slot) + 2 * h;
                const int32_t row = gemm_acc_row(lane, i), col = gemm_acc_col(lane, i);
                assert_int_equal(at, swizzled(row * 128 + col * 4));
                banks |= 3u << at % 128 / 4;
                seen[row * GEMM_BOX_COLS + col]++;
                seen[row * GEMM_BOX_COLS + col + 1]++;
            }
            assert_int_equal(banks, 0xffffffffu);
        }
    for (int32_t i = 0; i < GEMM_BOX_ROWS * GEMM_BOX_COLS; i++)
        assert_int_equal(seen[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_fit_the_device),
        cmocka_unit_test(test_large_products_take_large_tiles),
        cmocka_unit_test(test_tiles_cover_the_output_once),
        cmocka_unit_test(test_descriptors_read_what_tma_wrote),
        cmocka_unit_test(test_clearing_lines_clears_steps),
        cmocka_unit_test(test_accumulators_tile_the_product),
        cmocka_unit_test(test_padded_lines_miss_each_other),
        cmocka_unit_test(test_boxes_hold_the_accumulators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
