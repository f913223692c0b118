/*
 * What of the attention's launches can be checked without a GPU: every tile of every
 * sequence has one block, pages are dealt out within their room, and the search for
 * common pages finds what a comparison one by one finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/ops.h"
#include "core/status.h"
#include "cuda/attention_plan.h"

static uint64_t rng_state = 20261126;

static int32_t below(int32_t n)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((rng_state >> 33) % (uint32_t)n);
}

/* Each (head, tile) of a sequence once; within a head the last tile first */
static void test_places(void **state)
{
    (void)state;
    for (int32_t n_tiles = 1; n_tiles < 20; n_tiles++)
        for (int32_t n_heads = 1; n_heads <= 8; n_heads++)
            for (int32_t i = 0; i < n_tiles * n_heads; i++) {
                const struct attn_place p = attn_place_of(i, n_tiles);
                assert_int_equal(p.head * n_tiles + n_tiles - 1 - p.tile, i);
                assert_in_range(p.head, 0, n_heads - 1);
                assert_in_range(p.tile, 0, n_tiles - 1);
            }
}

/* No batch has more tiles than blocks are launched for. */
static void test_blocks(void **state)
{
    (void)state;
    static const int32_t tiles[] = {64, 128};
    for (int i = 0; i < 2000; i++) {
        const int32_t n_seqs = 1 + below(9), per_kv = 1 + below(8), n_kv = 1 + below(4);
        const int32_t tile = tiles[i % 2], most = 1 + below(i % 3 == 0 ? 2 : 300);
        int64_t n_rows = 0, n_blocks = 0;
        for (int32_t s = 0; s < n_seqs; s++) {
            const int32_t rows = below(most + 1);
            n_rows += rows;
            n_blocks += (int64_t)attn_n_tiles(rows * per_kv, tile) * n_kv;
        }
        assert_true(n_blocks <= attn_tile_blocks(n_rows, n_seqs, per_kv, n_kv, tile));
    }
    assert_int_equal(attn_n_tiles(0, 64), 0);
    assert_int_equal(attn_n_tiles(64, 64), 1);
    assert_int_equal(attn_n_tiles(65, 64), 2);
    /* one row each, as in decode: no block too many */
    assert_int_equal(attn_tile_blocks(512, 512, 1, 8, 64), 512 * 8);
}

/* Few sequences are dealt out, to no more blocks than run at once; many are not. */
static void test_deal(void **state)
{
    (void)state;
    assert_int_equal(attn_n_dealt(1, 8, 132), 33);
    assert_int_equal(attn_n_dealt(8, 8, 132), 4);
    assert_int_equal(attn_n_dealt(9, 8, 132), 1);
    assert_int_equal(attn_n_dealt(64, 8, 132), 1);
    assert_int_equal(attn_n_dealt(1, 1, 1), 1);
    for (int64_t n = 1; n < 200; n++) {
        const int32_t dealt = attn_n_dealt(n, 3, 132);
        assert_true(dealt >= 1 && (dealt == 1 || n * 3 * dealt <= 2 * 132));
    }
    assert_true(attn_is_decode(64, 64) && attn_is_decode(16, 1));
    assert_false(attn_is_decode(17, 1));
}

static void test_slots(void **state)
{
    (void)state;
    static const int64_t lines[] = {1, 8, 64, 1000, 100000};
    for (int i = 0; i < ARRAY_LEN(lines); i++) {
        const int32_t n = attn_n_slots(lines[i], 130);
        assert_in_range(n, 0, ATTN_MAX_SLOTS);
        assert_true((int64_t)n * lines[i] * 130 <= 16 << 20);
        assert_false(attn_is_dealt(n + 1, n));
        assert_false(attn_is_dealt(ATTN_MIN_SLOTS - 1, n));
        assert_int_equal(attn_is_dealt(n, n), n >= ATTN_MIN_SLOTS);
    }
    assert_int_equal(attn_n_slots(8, 130), ATTN_MAX_SLOTS); /* one sequence */
}

static void test_common_pages(void **state)
{
    (void)state;
    enum { MOST = 40 };
    int32_t a[MOST], b[MOST];
    for (int32_t n = 1; n <= MOST; n++)
        for (int32_t common = 1; common <= n; common++) {
            for (int32_t i = 0; i < n; i++) {
                a[i] = below(1000);
                b[i] = i < common ? a[i] : 1000 + below(1000);
            }
            assert_int_equal(attn_common_pages(a, b, n), common);
        }
}

/* What a line sees of a page, against each slot's key */
static void test_slots_seen(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        const int32_t first = below(300), last = first + below(200);
        const int32_t key0 = below(8) * KV_BLOCK;
        const int32_t begin = attn_slot_begin(first, key0);
        const int32_t end = attn_slot_end(last, key0, KV_BLOCK);
        for (int32_t slot = 0; slot < KV_BLOCK; slot++)
            assert_int_equal(slot >= begin && slot < end,
                             key0 + slot >= first && key0 + slot <= last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),       cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_deal),         cmocka_unit_test(test_slots),
        cmocka_unit_test(test_common_pages), cmocka_unit_test(test_slots_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
