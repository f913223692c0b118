/*
 * Batches: page lists and slots of groups, checked against the rule that they must
 * obey - every position a sequence sees lies where its pages say, written once, by the
 * right row - and by hand for one group.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/rng.h"
#include "cpu/cpu.h"
#include "model/batch.h"

enum { MAX_ROWS = 2000, MAX_PAGES = 256 };
static const struct batch_limits roomy = {
    .n_rows = MAX_ROWS, .n_seqs = 64, .n_groups = 16, .n_pages = 400, .n_dst = 5000};

static struct backend cpu;

static int setup(void **state)
{
    (void)state;
    return cpu_backend_init(&cpu, CPU_ISA_PORTABLE, 1);
}

static int teardown(void **state)
{
    (void)state;
    cpu_backend_release(&cpu);
    return 0;
}

static void fill(int32_t *ids, int64_t n, int32_t from)
{
    for (int64_t i = 0; i < n; i++)
        ids[i] = from + (int32_t)i;
}

/* Prompt of 70: pages 0 and 1. Completions of 3, 0 and 60 rows: private pages 2, and 3
 * and 4; the one without rows has none. */
static void test_one_group(void **state)
{
    (void)state;
    int32_t ids[70];
    struct batch t;
    assert_int_equal(batch_init(&t, &cpu, &roomy), 0);
    fill(ids, 70, 1000);
    assert_int_equal(batch_add_prompt(&t, ids, 70), 0);
    assert_int_equal(batch_add_completion(&t, ids, 3), 70);
    assert_int_equal(batch_add_completion(&t, NULL, 0), 73);
    assert_int_equal(batch_add_completion(&t, ids + 3, 60), 73);
    batch_upload(&t);
    static const int32_t row_off[] = {0, 70, 73, 73, 133}, page_off[] = {0, 2, 4, 4, 7};
    static const int32_t pages[] = {0, 1, 0, 2, 0, 3, 4}, first_pos[] = {0, 70, 70, 70};
    static const int32_t group_off[] = {0, 4};
    assert_int_equal(t.n_rows, 133);
    assert_int_equal(t.n_own_pages, 5);
    /* the device arrays are what kernels read */
    assert_memory_equal(t.dev.row_off, row_off, sizeof(row_off));
    assert_memory_equal(t.dev.page_off, page_off, sizeof(page_off));
    assert_memory_equal(t.dev.pages, pages, sizeof(pages));
    assert_memory_equal(t.dev.first_pos, first_pos, sizeof(first_pos));
    assert_memory_equal(t.dev.group_off, group_off, sizeof(group_off));
    for (int32_t r = 0; r < 133; r++) {
        const int32_t pos = r < 70 ? r : r < 73 ? r : r - 3;
        const int32_t *const dst = t.dev.dst + t.dev.dst_off[r];
        const bool is_copied = r >= 64 && r < 70;
        assert_int_equal(t.dev.pos[r], pos);
        assert_int_equal(t.dev.ids[r], r < 70 ? 1000 + r : 1000 + r - 70);
        assert_int_equal(t.dev.dst_off[r + 1] - t.dev.dst_off[r], is_copied ? 3 : 1);
        const int32_t page = r < 64 ? 0 : r < 70 ? 1 : r < 73 ? 2 : pos < 128 ? 3 : 4;
        assert_int_equal(dst[0], page * KV_BLOCK + pos % KV_BLOCK);
        if (is_copied) {
            assert_int_equal(dst[1], 2 * KV_BLOCK + pos % KV_BLOCK);
            assert_int_equal(dst[2], 3 * KV_BLOCK + pos % KV_BLOCK);
        }
    }
    const struct attn_batch a = batch_attention(&t);
    assert_int_equal(a.n_rows, 133);
    assert_int_equal(a.n_seqs, 4);
    assert_int_equal(a.n_groups, 1);
    assert_ptr_equal(a.pages, t.dev.pages);
    batch_release(&t);
}

/* Which row wrote each slot; -1: none. Fails where two did. */
static void writers(const struct batch *t, int32_t *row_of)
{
    memset(row_of, 0xff, (size_t)(MAX_PAGES * KV_BLOCK) * sizeof(*row_of));
    for (int32_t r = 0; r < t->n_rows; r++)
        for (int32_t i = t->host.dst_off[r]; i < t->host.dst_off[r + 1]; i++) {
            const int32_t slot = t->host.dst[i];
            assert_in_range(slot, 0, MAX_PAGES * KV_BLOCK - 1);
            assert_int_equal(row_of[slot], -1);
            row_of[slot] = r;
        }
}

/* Every position that sequence s can see, from the group's prompt (rows from `prompt`)
 * or its own rows */
static void check_sequence(const struct batch *t, int64_t s, int32_t prompt,
                           const int32_t *row_of)
{
    const struct batch_arrays *const h = &t->host;
    const int32_t n = h->row_off[s + 1] - h->row_off[s], first = h->first_pos[s];
    if (n == 0)
        return;
    assert_int_equal(h->page_off[s + 1] - h->page_off[s],
                     (first + n + KV_BLOCK - 1) / KV_BLOCK);
    for (int32_t pos = 0; pos < first + n; pos++) {
        const int32_t page = h->pages[h->page_off[s] + pos / KV_BLOCK];
        const int32_t row = row_of[page * KV_BLOCK + pos % KV_BLOCK];
        assert_int_equal(row, pos < first ? prompt + pos : h->row_off[s] + pos - first);
        assert_int_equal(h->pos[row], pos);
    }
}

static void check_batch(const struct batch *t)
{
    static int32_t row_of[MAX_PAGES * KV_BLOCK];
    int32_t owner[MAX_PAGES];
    memset(owner, 0xff, sizeof(owner));
    writers(t, row_of);
    assert_int_equal(t->host.group_off[t->n_groups], t->n_seqs);
    for (int32_t g = 0; g < t->n_groups; g++)
        for (int32_t s = t->host.group_off[g]; s < t->host.group_off[g + 1]; s++) {
            check_sequence(t, s, t->host.row_off[t->host.group_off[g]], row_of);
            for (int32_t i = t->host.page_off[s]; i < t->host.page_off[s + 1]; i++) {
                int32_t *const of = &owner[t->host.pages[i]];
                assert_true(*of == -1 || *of == g); /* groups share no page */
                *of = g;
            }
        }
}

/* Random groups, with the edges of a page among the lengths; the cost announced is an
 * upper limit of what a group takes, exact but for copies and empty completions. */
static void test_random_groups(void **state)
{
    (void)state;
    static const int64_t edge[] = {1, 63, 64, 65, 127, 128, 129};
    struct batch t;
    assert_int_equal(batch_init(&t, &cpu, &roomy), 0);
    static int32_t ids[400];
    for (uint32_t trial = 0; trial < 300; trial++) {
        batch_reset(&t);
        const uint32_t n_groups = 1 + rng_below(1, RNG_TEST, 3, trial, 0, 0, 0);
        for (uint32_t g = 0; g < n_groups; g++) {
            int64_t n_rows[4];
            const uint32_t n = rng_below(1, RNG_TEST, 5, trial, g, 1, 0);
            const int64_t n_prompt =
                trial % 2 == 0
                    ? edge[rng_below(1, RNG_TEST, 7, trial, g, 2, 0)]
                    : 1 + (int64_t)rng_below(1, RNG_TEST, 150, trial, g, 2, 0);
            for (uint32_t i = 0; i < n; i++)
                n_rows[i] = (int64_t)rng_below(1, RNG_TEST, 90, trial, g, 3, i) % 80;
            const struct batch_limits cost = batch_group_cost(n_prompt, n_rows, n);
            const struct batch before = t;
            assert_true(batch_fits(&t, &cost));
            batch_add_prompt(&t, ids, n_prompt);
            for (uint32_t i = 0; i < n; i++)
                batch_add_completion(&t, ids, n_rows[i]);
            batch_upload(&t);
            assert_int_equal(t.n_rows - before.n_rows, cost.n_rows);
            assert_int_equal(t.n_seqs - before.n_seqs, cost.n_seqs);
            assert_int_equal(t.n_groups - before.n_groups, 1);
            assert_true(t.n_pages - before.n_pages <= cost.n_pages);
            assert_true(t.n_dst - before.n_dst <= cost.n_dst);
        }
        check_batch(&t);
    }
    batch_release(&t);
}

/* Each limit alone refuses a group that is larger by one. */
static void test_fits(void **state)
{
    (void)state;
    static const int64_t n_rows[] = {10, 60};
    const struct batch_limits cost = batch_group_cost(70, n_rows, 2);
    struct batch t = {.max = cost};
    assert_int_equal(cost.n_rows, 140);
    assert_int_equal(cost.n_seqs, 3);
    assert_int_equal(cost.n_groups, 1);
    assert_int_equal(cost.n_pages, 2 + 2 + 3);
    assert_int_equal(cost.n_dst, 140 + 2 * 6);
    assert_true(batch_fits(&t, &cost));
    int64_t *const limits[] = {&t.max.n_rows, &t.max.n_seqs, &t.max.n_groups,
                               &t.max.n_pages, &t.max.n_dst};
    for (int i = 0; i < 5; i++) {
        --*limits[i];
        assert_false(batch_fits(&t, &cost));
        ++*limits[i];
    }
    /* a batch of exactly these limits takes the group */
    int32_t ids[70] = {0};
    assert_int_equal(batch_init(&t, &cpu, &cost), 0);
    batch_add_prompt(&t, ids, 70);
    batch_add_completion(&t, ids, 10);
    batch_add_completion(&t, ids, 60);
    batch_upload(&t);
    check_batch(&t);
    assert_false(batch_fits(&t, &cost));
    batch_reset(&t);
    assert_true(batch_fits(&t, &cost));
    batch_release(&t);
}

/* Decoding: the caller's pages, one row far into the sequence, next to an own group */
static void test_caller_pages(void **state)
{
    (void)state;
    static const int32_t pages[] = {9, 4, 17};
    int32_t ids[80];
    struct batch t;
    fill(ids, 80, 0);
    assert_int_equal(batch_init(&t, &cpu, &roomy), 0);
    assert_int_equal(batch_add_rows(&t, ids, 1, 130, pages), 0);
    assert_int_equal(batch_add_rows(&t, ids, 70, 0, pages), 1);
    assert_int_equal(batch_add_rows(&t, ids, 2, 63, pages), 71);
    batch_upload(&t);
    static const int32_t list[] = {9, 4, 17, 9, 4, 9, 4}, page_off[] = {0, 3, 5, 7};
    static const int32_t group_off[] = {0, 1, 2, 3}, first_pos[] = {130, 0, 63};
    assert_memory_equal(t.dev.pages, list, sizeof(list));
    assert_memory_equal(t.dev.page_off, page_off, sizeof(page_off));
    assert_memory_equal(t.dev.group_off, group_off, sizeof(group_off));
    assert_memory_equal(t.dev.first_pos, first_pos, sizeof(first_pos));
    assert_int_equal(t.n_own_pages, 0);
    assert_int_equal(t.dev.dst[0], 17 * KV_BLOCK + 2);
    assert_int_equal(t.dev.dst[1 + 64], 4 * KV_BLOCK);
    assert_int_equal(t.dev.dst[71], 9 * KV_BLOCK + 63);
    assert_int_equal(t.dev.dst[72], 4 * KV_BLOCK);
    for (int32_t r = 0; r <= t.n_rows; r++)
        assert_int_equal(t.dev.dst_off[r], r);
    batch_release(&t);
}

/* Memory that cannot be had is an error that leaves nothing behind. */
static void test_too_large(void **state)
{
    (void)state;
    const struct batch_limits huge = {.n_rows = (int64_t)1 << 56,
                                      .n_seqs = 1,
                                      .n_groups = 1,
                                      .n_pages = 1,
                                      .n_dst = 1};
    struct batch t;
    assert_int_equal(batch_init(&t, &cpu, &huge), ERR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_group), cmocka_unit_test(test_random_groups),
        cmocka_unit_test(test_fits),      cmocka_unit_test(test_caller_pages),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
