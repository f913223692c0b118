/*
 * Trajectories in a file: what is saved comes back, the same samples give the same
 * bytes whatever lies in the unused slots, and files that do not fit are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/rng.h"
#include "rollout/groups_file.h"
#include "tests/model/model_dir.h"

enum { P = 4, G = 3, MAX_PROMPT = 9, MAX_NEW = 7, WIDTH = 4 };

static uint32_t draw(uint32_t n, int64_t a, int64_t b, uint32_t c)
{
    return rng_below(4, RNG_TEST, n, (uint32_t)a, (uint32_t)b, c, 0);
}

/* junk: what the unused bytes hold */
static void fill(struct groups *g, int64_t width, int junk)
{
    assert_int_equal(groups_init(g, P, G, MAX_PROMPT, MAX_NEW, width), 0);
    memset(g->block, junk, g->block_bytes);
    for (int64_t p = 0; p < P; p++) {
        int32_t ids[MAX_PROMPT];
        const int64_t n = 1 + (int64_t)draw(MAX_PROMPT, p, 0, 1);
        for (int64_t i = 0; i < n; i++)
            ids[i] = (int32_t)draw(1000, p, i, 2);
        groups_set_prompt(g, p, 100 + p, ids, n);
        for (int64_t i = 0; i < n * width; i++)
            groups_prompt_routes(g, p)[i] = (uint16_t)draw(60000, p, i, 3);
        for (int64_t s = 0; s < G; s++) {
            struct sample_info *const info = groups_info(g, p, s);
            *info = (struct sample_info){.n_tokens = 1 +
                                                     (int32_t)draw(MAX_NEW, p, s, 4),
                                         .reward = 0.3f * (float)s,
                                         .finish = (uint8_t)(s % 3),
                                         .reason = (uint8_t)(s % REWARD_N_REASONS),
                                         .is_correct = s == 1,
                                         .has_form = s != 2};
            for (int64_t t = 0; t < info->n_tokens; t++) {
                groups_tokens(g, p, s)[t] = (int32_t)draw(5000, p, t, (uint32_t)s);
                groups_logp(g, p, s)[t] = -0.1f * (float)draw(99, p, t, 9);
                for (int64_t k = 0; k < width; k++)
                    groups_routes(g, p, s)[t * width + k] = (uint16_t)draw(60000, p, k,
                                                                           7);
            }
        }
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int64_t width = 0; width <= WIDTH; width += WIDTH) {
        struct groups a, b, c;
        struct buf x = {0}, y = {0};
        char *const dir = temp_dir();
        char *const first = io_join(dir, "a.safetensors");
        char *const second = io_join(dir, "b.safetensors");
        fill(&a, width, 0);
        fill(&b, width, 0x5a);
        assert_int_equal(groups_save(&a, first), 0);
        assert_int_equal(groups_save(&b, second), 0);
        assert_int_equal(io_read_file(&x, first, 1 << 20), 0);
        assert_int_equal(io_read_file(&y, second, 1 << 20), 0);
        assert_int_equal(x.len, y.len);
        assert_memory_equal(x.data, y.data, x.len);
        assert_int_equal(groups_init(&c, P, G, MAX_PROMPT + 5, MAX_NEW + 2, width), 0);
        assert_int_equal(groups_load(&c, first), 0);
        for (int64_t p = 0; p < P; p++) { /* as the ranks compare: the wire form */
            struct buf want = {0}, got = {0};
            groups_put(&a, p, &want);
            groups_put(&c, p, &got);
            assert_int_equal(want.len, got.len);
            assert_memory_equal(want.data, got.data, want.len);
            buf_release(&want);
            buf_release(&got);
        }
        buf_release(&x);
        buf_release(&y);
        groups_release(&a);
        groups_release(&b);
        groups_release(&c);
        mem_free(first);
        mem_free(second);
        assert_ok(io_remove_tree(dir));
        mem_free(dir);
    }
}

static void refuse(const char *path, int64_t p, int64_t s, int64_t max_prompt,
                   int64_t max_new, int64_t width)
{
    struct groups g;
    assert_int_equal(groups_init(&g, p, s, max_prompt, max_new, width), 0);
    assert_int_equal(groups_load(&g, path), ERR_INPUT);
    assert_non_null(strstr(status_message(), path));
    for (int64_t i = 0; i < p; i++)
        assert_int_equal(g.n_prompt[i], 0);
    groups_release(&g);
}

static void test_refused(void **state)
{
    (void)state;
    struct groups g;
    struct buf bytes = {0};
    char *const dir = temp_dir();
    char *const path = io_join(dir, "a.safetensors");
    fill(&g, WIDTH, 0);
    groups_info(&g, 1, 1)->n_tokens = MAX_NEW;
    g.n_prompt[2] = MAX_PROMPT;
    assert_int_equal(groups_save(&g, path), 0);
    refuse(path, P + 1, G, MAX_PROMPT, MAX_NEW, WIDTH);
    refuse(path, P, G - 1, MAX_PROMPT, MAX_NEW, WIDTH);
    refuse(path, P, G, MAX_PROMPT - 1, MAX_NEW, WIDTH);
    refuse(path, P, G, MAX_PROMPT, MAX_NEW - 1, WIDTH);
    refuse(path, P, G, MAX_PROMPT, MAX_NEW, WIDTH + 1);
    /* one byte of every place changed: refused, or read as other numbers in bounds */
    assert_int_equal(io_read_file(&bytes, path, 1 << 20), 0);
    for (size_t i = 0; i < bytes.len; i += 7) {
        const char old = bytes.data[i];
        bytes.data[i] = (char)(old ^ 0x81);
        assert_int_equal(io_write_atomic(path, bytes.data, bytes.len), 0);
        const int status = groups_load(&g, path);
        assert_true(status == 0 || status == ERR_INPUT);
        bytes.data[i] = old;
    }
    buf_release(&bytes);
    groups_release(&g);
    mem_free(path);
    assert_ok(io_remove_tree(dir));
    mem_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
