/*
 * Stop strings: the first token with which the text holds one ends the sample, whether
 * the string lies inside a token or across several. Judged by a plain search of the
 * whole text, from a run without stops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/io.h"
#include "rollout/rollout.h"
#include "tests/model/small_model.h"

enum { G = 4, MAX_NEW = 40, N_VOCAB = 290 };
static const struct rollout_limits limits = {
    .n_slots = 3, .max_prompt = 8, .max_new = MAX_NEW};

struct setting {
    struct small_model s;
    struct tokenizer *t;
    struct rollout *r;
    struct groups plain, stopped;
};

static int setup(void **state)
{
    static const char text[] =
        "the cat sat on the mat and the rat sat on the hat; that "
        "is what the cat, the rat and the bat said to the gnat";
    static const char *const texts[] = {text, text};
    static const size_t lens[] = {sizeof(text) - 1, sizeof(text) - 1};
    static const struct small_shape shape = {"text", 24, 20, 2, 2,       2,
                                             12,     4,  2,  0, N_VOCAB, false};
    static const int32_t prompt[] = {40, 80, 120};
    static struct setting of;
    char dir[] = "/tmp/moe_grpo_stops_XXXXXX", path[64];
    if (mkdtemp(dir) == NULL ||
        tokenizer_train(dir, texts, lens, ARRAY_LEN(texts), N_VOCAB) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    int status = tokenizer_load(&of.t, path);
    if (io_remove_tree(dir) != 0 || status != 0)
        return -1;
    status = small_model_init(&of.s, &shape, DTYPE_F32, 31);
    of.s.m.n_softmax = tokenizer_n_vocab(of.t);
    if (status != 0 || rollout_create(&of.r, &of.s.m, of.t, &limits) != 0 ||
        groups_init(&of.plain, 1, G, 8, MAX_NEW, 0) != 0 ||
        groups_init(&of.stopped, 1, G, 8, MAX_NEW, 0) != 0)
        return -1;
    groups_set_prompt(&of.plain, 0, 0, prompt, 3);
    groups_set_prompt(&of.stopped, 0, 0, prompt, 3);
    *state = &of;
    return 0;
}

static int teardown(void **state)
{
    struct setting *const of = *state;
    groups_release(&of->plain);
    groups_release(&of->stopped);
    rollout_free(of->r);
    tokenizer_free(of->t);
    small_model_release(&of->s);
    return 0;
}

static void run(struct setting *of, struct groups *g, const char *const *stops, int n)
{
    static const int64_t slot = 0;
    struct rollout_args args = {.temperature = 1.0f,
                                .top_p = 1.0f,
                                .seed = 8,
                                .max_new = MAX_NEW,
                                .n_stops = n};
    for (int i = 0; i < n; i++)
        args.stops[i] = stops[i];
    assert_int_equal(rollout_run(of->r, g, &slot, 1, &args, NULL, NULL, NULL), 0);
}

/* The first n tokens' text */
static void text_of(struct buf *text, const struct setting *of, int64_t s, int64_t n)
{
    buf_reset(text);
    tokenizer_decode(of->t, groups_tokens(&of->plain, 0, s), n, false, text);
}

/* Tokens after which the text first holds one of the stops; 0: never */
static int64_t first_stop(const struct setting *of, int64_t s, const char *const *stops,
                          int n)
{
    struct buf text = {0};
    int64_t found = 0;
    for (int64_t t = 1; t <= MAX_NEW && found == 0; t++) {
        text_of(&text, of, s, t);
        for (int i = 0; i < n && text.len > 0; i++)
            if (memmem(text.data, text.len, stops[i], strlen(stops[i])) != NULL)
                found = t;
    }
    buf_release(&text);
    return found;
}

static int64_t check_stops(struct setting *of, const char *const *stops, int n)
{
    int64_t n_stopped = 0;
    run(of, &of->plain, NULL, 0);
    run(of, &of->stopped, stops, n);
    for (int64_t s = 0; s < G; s++) {
        const struct sample_info *const info = groups_info(&of->stopped, 0, s);
        const int64_t want = first_stop(of, s, stops, n);
        assert_int_equal(groups_info(&of->plain, 0, s)->n_tokens, MAX_NEW);
        assert_int_equal(info->n_tokens, want == 0 ? MAX_NEW : want);
        assert_int_equal(info->finish, want == 0 ? FINISH_LENGTH : FINISH_STOP);
        assert_memory_equal(groups_tokens(&of->plain, 0, s),
                            groups_tokens(&of->stopped, 0, s),
                            (size_t)info->n_tokens * sizeof(int32_t));
        n_stopped += want > 0;
    }
    return n_stopped;
}

/* Bytes `from` .. `to` of a sample's text around the border after its t-th token, as a
 * C string; false where they hold a NUL or reach outside. */
static bool cut(char *stop, const struct setting *of, int64_t s, int64_t t,
                int64_t before, int64_t after)
{
    struct buf text = {0};
    text_of(&text, of, s, t);
    const int64_t border = (int64_t)text.len;
    text_of(&text, of, s, MAX_NEW);
    const bool is_inside = border >= before && border + after <= (int64_t)text.len;
    if (is_inside) {
        memcpy(stop, text.data + border - before, (size_t)(before + after));
        stop[before + after] = 0;
    }
    buf_release(&text);
    return is_inside && (int64_t)strlen(stop) == before + after;
}

/* Strings of the samples' own text at every border, of several widths: ending with a
 * token, beginning with one, across two, across many */
static void test_borders(void **state)
{
    struct setting *const of = *state;
    static const int64_t span[][2] = {{1, 0}, {2, 0}, {0, 1}, {1, 1},
                                      {2, 1}, {1, 2}, {6, 6}};
    int64_t n_cut = 0;
    run(of, &of->plain, NULL, 0);
    for (int64_t s = 0; s < G; s++)
        for (int64_t t = 1; t < MAX_NEW; t += 3)
            for (int64_t i = 0; i < ARRAY_LEN(span); i++) {
                char stop[16];
                const char *const stops[] = {stop};
                if (!cut(stop, of, s, t, span[i][0], span[i][1]))
                    continue;
                assert_true(check_stops(of, stops, 1) >= 1);
                n_cut++;
            }
    assert_true(n_cut > 100);
}

/* Several stops: the one that comes first in the text, in any order of the list */
static void test_several(void **state)
{
    struct setting *const of = *state;
    char late[16], early[16];
    int64_t t = 3;
    run(of, &of->plain, NULL, 0);
    assert_true(cut(late, of, 0, 30, 2, 2));
    while (!cut(early, of, 0, t, 1, 1))
        t++;
    const char *const stops[][3] = {{late, early, "never\x01"},
                                    {"never\x01", early, late}};
    for (int i = 0; i < 2; i++)
        assert_true(check_stops(of, stops[i], 3) >= 1);
    const char *const none[] = {"\x01\x02\x03\x01\x02\x03\x01"};
    assert_int_equal(check_stops(of, none, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_borders),
                                       cmocka_unit_test(test_several)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
