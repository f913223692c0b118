/*
 * Trajectory slots: what is put comes back, and bytes that no rank would send - cut
 * short, or with numbers out of range - are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "rollout/groups.h"

enum { P = 5, G = 3, MAX_PROMPT = 9, MAX_NEW = 12, WIDTH = 4, HEAD_BYTES = 24 };

static uint32_t draw(uint32_t n, int64_t a, int64_t b, uint32_t c)
{
    return rng_below(4, RNG_TEST, n, (uint32_t)a, (uint32_t)b, c, 0);
}

static void fill_group(struct groups *g, int64_t p)
{
    int32_t ids[MAX_PROMPT];
    const int64_t n = 1 + (int64_t)draw(MAX_PROMPT, p, 0, 1);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)draw(1000, p, i, 2);
    groups_set_prompt(g, p, 100 + p, ids, n);
    for (int64_t i = 0; i < n * g->route_width; i++)
        groups_prompt_routes(g, p)[i] = (uint16_t)draw(60000, p, i, 3000);
    for (int64_t s = 0; s < G; s++) {
        struct sample_info *const info = groups_info(g, p, s);
        /* sample 0 is as long as can be; one may be empty */
        info->n_tokens = s == 0 ? MAX_NEW : (int32_t)draw(MAX_NEW, p, s, 3);
        info->reward = 0.5f * (float)s;
        info->finish = (uint8_t)(s % 3);
        info->reason = (uint8_t)(s % REWARD_N_REASONS);
        info->is_correct = s == 1;
        info->has_form = s != 2;
        for (int64_t t = 0; t < info->n_tokens; t++) {
            groups_tokens(g, p, s)[t] = (int32_t)draw(5000, p, s, (uint32_t)(4 + t));
            groups_logp(g, p, s)[t] = -0.125f *
                                      (float)draw(99, p, s, (uint32_t)(44 + t));
            for (int64_t k = 0; k < g->route_width; k++)
                groups_routes(g, p, s)[t * g->route_width + k] = (uint16_t)draw(
                    60000, p, s, (uint32_t)(100 + t * WIDTH + k));
        }
    }
}

static void init(struct groups *g, int64_t width)
{
    assert_int_equal(groups_init(g, P, G, MAX_PROMPT, MAX_NEW, width), 0);
}

static void assert_same_group(const struct groups *a, const struct groups *b, int64_t p)
{
    assert_int_equal(a->n_prompt[p], b->n_prompt[p]);
    assert_int_equal(a->problem[p], b->problem[p]);
    assert_memory_equal(a->prompt + p * MAX_PROMPT, b->prompt + p * MAX_PROMPT,
                        (size_t)a->n_prompt[p] * sizeof(int32_t));
    if (a->route_width > 0)
        assert_memory_equal(groups_prompt_routes(a, p), groups_prompt_routes(b, p),
                            2 * (size_t)(a->n_prompt[p] * a->route_width));
    for (int64_t s = 0; s < G; s++) {
        const struct sample_info *const i = groups_info(a, p, s);
        const struct sample_info *const j = groups_info(b, p, s);
        const size_t n = (size_t)i->n_tokens;
        assert_int_equal(i->n_tokens, j->n_tokens);
        assert_true(i->reward == j->reward && i->is_correct == j->is_correct);
        assert_true(i->finish == j->finish && i->reason == j->reason);
        assert_int_equal(i->has_form, j->has_form);
        if (n == 0)
            continue;
        assert_memory_equal(groups_tokens(a, p, s), groups_tokens(b, p, s), 4 * n);
        assert_memory_equal(groups_logp(a, p, s), groups_logp(b, p, s), 4 * n);
        if (a->route_width > 0)
            assert_memory_equal(groups_routes(a, p, s), groups_routes(b, p, s),
                                2 * n * (size_t)a->route_width);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int64_t width = 0; width <= WIDTH; width += WIDTH) {
        struct groups a, b;
        struct buf bytes = {0};
        init(&a, width);
        init(&b, width);
        static const int64_t order[] = {3, 0, 4};
        for (int64_t p = 0; p < P; p++)
            fill_group(&a, p);
        for (int64_t i = 0; i < ARRAY_LEN(order); i++)
            groups_put(&a, order[i], &bytes);
        assert_int_equal(groups_take(&b, &bytes), 0);
        for (int64_t i = 0; i < ARRAY_LEN(order); i++)
            assert_same_group(&a, &b, order[i]);
        assert_int_equal(b.n_prompt[1], 0); /* not sent: not held */
        assert_int_equal(b.n_prompt[2], 0);
        groups_clear(&b);
        for (int64_t p = 0; p < P; p++)
            assert_int_equal(b.n_prompt[p], 0);
        buf_reset(&bytes);
        assert_int_equal(groups_take(&b, &bytes), 0); /* nothing is fine */
        buf_release(&bytes);
        groups_release(&a);
        groups_release(&b);
    }
}

/* Slots are disjoint: filling all of them in any order keeps each one's values. */
static void test_slots(void **state)
{
    (void)state;
    struct groups a, b;
    init(&a, WIDTH);
    init(&b, WIDTH);
    for (int64_t p = 0; p < P; p++)
        fill_group(&a, p);
    for (int64_t p = P - 1; p >= 0; p--)
        fill_group(&b, p);
    for (int64_t p = 0; p < P; p++)
        assert_same_group(&a, &b, p);
    /* a prompt set anew forgets the samples of the last step */
    const int32_t id = 7;
    groups_set_prompt(&a, 2, 1, &id, 1);
    for (int64_t s = 0; s < G; s++)
        assert_int_equal(groups_info(&a, 2, s)->n_tokens, 0);
    groups_release(&a);
    groups_release(&b);
}

/* Cut anywhere but between two groups */
static void test_truncated(void **state)
{
    (void)state;
    struct groups a, b;
    struct buf bytes = {0};
    init(&a, WIDTH);
    init(&b, WIDTH);
    fill_group(&a, 1);
    fill_group(&a, 2);
    groups_put(&a, 1, &bytes);
    const size_t first = bytes.len;
    groups_put(&a, 2, &bytes);
    for (size_t len = 0; len <= bytes.len; len++) {
        /* a copy of exactly this length, so that reading past it is seen */
        struct buf cut = {.data = mem_alloc(len), .len = len, .cap = len};
        memcpy(cut.data, bytes.data, len);
        const bool is_whole = len == 0 || len == first || len == bytes.len;
        assert_int_equal(groups_take(&b, &cut), is_whole ? 0 : ERR_COMM);
        mem_free(cut.data);
    }
    buf_release(&bytes);
    groups_release(&a);
    groups_release(&b);
}

/* One field of the first group replaced */
static void assert_refused(const struct buf *bytes, size_t off, const void *value,
                           size_t size)
{
    struct groups g;
    struct buf bad = {0};
    init(&g, WIDTH);
    buf_append(&bad, bytes->data, bytes->len);
    memcpy(bad.data + off, value, size);
    assert_int_equal(groups_take(&g, &bad), ERR_COMM);
    buf_release(&bad);
    groups_release(&g);
}

static void test_hostile(void **state)
{
    (void)state;
    static const int64_t slot[] = {-1, P, INT64_MAX, INT64_MIN, (int64_t)1 << 32};
    static const int64_t n_prompt[] = {0,         -1,        MAX_PROMPT + 1,
                                       INT64_MAX, INT64_MIN, ((int64_t)1 << 32) + 1};
    static const int32_t n_tokens[] = {-1, MAX_NEW + 1, INT32_MAX, INT32_MIN};
    static const uint8_t finish = FINISH_LENGTH + 1, reason = REWARD_N_REASONS,
                         any = 255;
    struct groups a;
    struct buf bytes = {0};
    init(&a, WIDTH);
    fill_group(&a, 1);
    groups_put(&a, 1, &bytes);
    for (int64_t i = 0; i < ARRAY_LEN(slot); i++)
        assert_refused(&bytes, 0, &slot[i], sizeof(slot[i]));
    for (int64_t i = 0; i < ARRAY_LEN(n_prompt); i++)
        assert_refused(&bytes, 16, &n_prompt[i], sizeof(n_prompt[i]));
    const size_t info = HEAD_BYTES + (size_t)a.n_prompt[1] * sizeof(int32_t);
    for (int64_t i = 0; i < ARRAY_LEN(n_tokens); i++)
        assert_refused(&bytes, info + offsetof(struct sample_info, n_tokens),
                       &n_tokens[i], sizeof(n_tokens[i]));
    const size_t of_finish = info + offsetof(struct sample_info, finish);
    const size_t of_reason = info + offsetof(struct sample_info, reason);
    assert_refused(&bytes, of_finish, &finish, 1);
    assert_refused(&bytes, of_finish, &any, 1);
    assert_refused(&bytes, of_reason, &reason, 1);
    assert_refused(&bytes, of_reason, &any, 1);
    assert_refused(&bytes, info + offsetof(struct sample_info, is_correct), &any, 1);
    assert_refused(&bytes, info + offsetof(struct sample_info, has_form), &any, 1);
    buf_release(&bytes);
    groups_release(&a);
}

/* Random bytes never crash, and what they leave behind stays inside the slots. */
static void test_noise(void **state)
{
    (void)state;
    struct groups g;
    init(&g, WIDTH);
    for (uint32_t trial = 0; trial < 3000; trial++) {
        struct buf noise = {0};
        fill_group(&g, 1);
        groups_put(&g, 1, &noise);
        const uint32_t n_changes = 1 + draw(4, trial, 0, 7);
        for (uint32_t i = 0; i < n_changes; i++)
            noise.data[draw((uint32_t)noise.len, trial, i, 8)] = (char)draw(256, trial,
                                                                            i, 9);
        const int status = groups_take(&g, &noise);
        assert_true(status == 0 || status == ERR_COMM);
        for (int64_t p = 0; p < P; p++)
            assert_in_range(g.n_prompt[p], 0, MAX_PROMPT);
        buf_release(&noise);
    }
    groups_release(&g);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(finish_name(FINISH_EOS), "eos");
    assert_string_equal(finish_name(FINISH_STOP), "stop");
    assert_string_equal(finish_name(FINISH_LENGTH), "length");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_noise),      cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
