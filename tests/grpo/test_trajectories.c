/*
 * Trajectories from a file: every way to give prompt, completion, log-probs, reward and
 * end; what is written reads back to the same bits; every malformed line is refused
 * with its file, line and completion.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/io.h"
#include "grpo/session.h"
#include "grpo/trajectories.h"
#include "tests/model/small_model.h"

enum { N_VOCAB = 300, EOS = 2, G = 2, MAX_PROMPT = 40, MAX_NEW = 8 };

struct setting {
    char dir[64];
    char *path;
    struct small_model s;
    struct tokenizer *t;
    struct comm *comm;
    struct world world;
    struct collector *collector;
    struct session session; /* configuration and tokenizer, borrowed */
    struct prompter *prompter;
    struct config c;
    struct groups g;
};

static void configure(struct config *c)
{
    static char words[][32] = {"rollout.group_size=2", "rollout.max_new=8",
                               "data.max_prompt=40",   "grpo.prompts=1",
                               "prompt.bos=false",     "reward.form=0.25"};
    char *argv[ARRAY_LEN(words)];
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        argv[i] = words[i];
    assert_int_equal(config_parse(c, (int)ARRAY_LEN(words), argv), 0);
}

static int setup(void **state)
{
    static struct setting x;
    static const struct small_shape shape = {"text", 24, 20, 2, 2,       2,
                                             12,     4,  2,  0, N_VOCAB, false};
    const char *const text = "Question: 2 or 3?\nAnswer: #### 3";
    const size_t len = strlen(text);
    snprintf(x.dir, sizeof(x.dir), "/tmp/moe_grpo_given_XXXXXX");
    assert_non_null(mkdtemp(x.dir));
    assert_int_equal(tokenizer_train(x.dir, &text, &len, 1, 280), 0);
    char *const path = io_join(x.dir, "tokenizer.json");
    assert_int_equal(tokenizer_load(&x.t, path), 0);
    mem_free(path);
    x.path = io_join(x.dir, "given.jsonl");
    configure(&x.c);
    x.session = (struct session){.config = x.c, .tokenizer = x.t};
    assert_int_equal(prompter_create(&x.prompter, &x.session, NULL), 0);
    assert_int_equal(small_model_init(&x.s, &shape, DTYPE_F32, 31), 0);
    x.s.m.n_softmax = tokenizer_n_vocab(x.t);
    x.s.m.hp.n_eos = 1;
    x.s.m.hp.eos_ids[0] = EOS;
    assert_int_equal(comm_world_create(&x.comm, NULL, NULL), 0);
    assert_int_equal(world_init(&x.world, x.comm, &x.c), 0);
    const struct collector_setup cs = {
        .m = &x.s.m,
        .t = x.t,
        .world = &x.world,
        .config = &x.c,
        .limits = {.n_slots = 2, .max_prompt = MAX_PROMPT, .max_new = MAX_NEW}};
    assert_int_equal(collector_create(&x.collector, &cs), 0);
    assert_int_equal(groups_init(&x.g, 1, G, MAX_PROMPT, MAX_NEW, 4), 0);
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    struct setting *const x = *state;
    groups_release(&x->g);
    collector_free(x->collector);
    prompter_free(x->prompter);
    world_release(&x->world);
    comm_free(x->comm);
    small_model_release(&x->s);
    tokenizer_free(x->t);
    config_release(&x->c);
    mem_free(x->path);
    return io_remove_tree(x->dir);
}

static int open_text(struct setting *x, struct trajectories **out, const char *text)
{
    const struct trajectories_setup s = {.config = &x->c,
                                         .tokenizer = x->t,
                                         .prompter = x->prompter,
                                         .hp = &x->s.m.hp,
                                         .n_softmax = x->s.m.n_softmax,
                                         .collector = x->collector};
    assert_int_equal(io_write_atomic(x->path, text, strlen(text)), 0);
    return trajectories_open(out, x->path, &s);
}

/* The file's only group into x->g */
static void read_one(struct setting *x, const char *text)
{
    struct trajectories *t = NULL;
    if (open_text(x, &t, text) != 0 || trajectories_read(t, 0, &x->g, 0) != 0)
        fail_msg("%s", status_message());
    assert_int_equal(x->g.problem[0], 0);
    trajectories_free(t);
}

static void assert_text(const struct setting *x, const int32_t *ids, int64_t n,
                        const char *want)
{
    struct buf out = {0};
    tokenizer_decode(x->t, ids, n, false, &out);
    assert_string_equal(out.data, want);
    buf_release(&out);
}

static void test_texts(void **state)
{
    struct setting *const x = *state;
    read_one(x, "\n{\"question\":\"2 or 3?\",\"gold\":3,\"completions\":["
                "{\"text\":\"#### 3\"},"
                "{\"text\":\"#### 2\",\"finish\":\"length\",\"reward\":-0.5}]}\n\n");
    assert_text(x, x->g.prompt, x->g.n_prompt[0], "Question: 2 or 3?\nAnswer:");
    const struct sample_info *const a = groups_info(&x->g, 0, 0), *const b = a + 1;
    assert_int_equal(groups_tokens(&x->g, 0, 0)[a->n_tokens - 1], EOS);
    assert_text(x, groups_tokens(&x->g, 0, 0), a->n_tokens - 1, "#### 3");
    assert_text(x, groups_tokens(&x->g, 0, 1), b->n_tokens, "#### 2");
    assert_int_equal(a->finish, FINISH_EOS);
    assert_int_equal(b->finish, FINISH_LENGTH);
    assert_true(a->is_correct && a->has_form && a->reward == 1.0f);
    assert_true(!b->is_correct && b->reward == -0.5f); /* the given one wins */
    assert_true(isnan(groups_logp(&x->g, 0, 0)[0]));
    /* a prompt is taken as it is; no reward for the form when there is one for all */
    read_one(x, "{\"prompt\":\"2 or 3?\",\"problem\":\"unused\",\"completions\":["
                "{\"text\":\"3\",\"reward\":1},{\"text\":\"2\",\"reward\":0}]}");
    assert_text(x, x->g.prompt, x->g.n_prompt[0], "2 or 3?");
    assert_false(groups_info(&x->g, 0, 0)->is_correct);
}

static void test_tokens(void **state)
{
    struct setting *const x = *state;
    read_one(x, "{\"prompt_tokens\":[5,6,299],\"prompt\":\"unused\",\"completions\":["
                "{\"tokens\":[7,8,2],\"text\":\"unused\",\"logp\":[-1.5,null,-0.25],"
                "\"reward\":2},"
                "{\"tokens\":[9],\"logprobs\":[-3],\"reward\":1e-3}]}");
    static const int32_t prompt[] = {5, 6, 299}, tokens[] = {7, 8, 2};
    assert_int_equal(x->g.n_prompt[0], 3);
    assert_memory_equal(x->g.prompt, prompt, sizeof(prompt));
    assert_int_equal(groups_info(&x->g, 0, 0)->n_tokens, 3);
    assert_memory_equal(groups_tokens(&x->g, 0, 0), tokens, sizeof(tokens));
    const float *const logp = groups_logp(&x->g, 0, 0);
    assert_true(logp[0] == -1.5f && isnan(logp[1]) && logp[2] == -0.25f);
    assert_true(groups_logp(&x->g, 0, 1)[0] == -3.0f);
    assert_int_equal(groups_info(&x->g, 0, 0)->finish, FINISH_EOS);
    assert_int_equal(groups_info(&x->g, 0, 1)->finish, FINISH_LENGTH);
    assert_true(groups_info(&x->g, 0, 1)->reward == 1e-3f);
}

static void fill_group(struct groups *a, const struct setting *x, int64_t p)
{
    int32_t ids[MAX_PROMPT];
    small_ids(ids, 5 + p, &x->s.m.hp, 1, (uint32_t)p);
    groups_set_prompt(a, p, p, ids, 5 + p);
    for (int64_t i = 0; i < 4 * (5 + p); i++)
        groups_prompt_routes(a, p)[i] = (uint16_t)((i / 2 + i) % 4);
    for (int64_t s = 0; s < G; s++) {
        struct sample_info *const info = groups_info(a, p, s);
        *info = (struct sample_info){.n_tokens = (int32_t)(3 + s),
                                     .reward = 0.1f + (float)p / 3.0f,
                                     .finish = (uint8_t)(p + s),
                                     .reason = REWARD_WRONG};
        small_ids(groups_tokens(a, p, s), 3 + s, &x->s.m.hp, 2, (uint32_t)p);
        for (int64_t i = 0; i < 3 + s; i++) {
            groups_tokens(a, p, s)[i] %= (int32_t)x->s.m.n_softmax;
            groups_logp(a, p, s)[i] = -expf(
                rng_normal(3, RNG_TEST, (uint32_t)i, (uint32_t)s, (uint32_t)p, 0));
        }
        for (int64_t i = 0; i < 4 * (3 + s); i++)
            groups_routes(a, p, s)[i] = (uint16_t)((i / 2 + i) % 4);
    }
}

/* Two groups of random content, written and read: the wire forms are equal. */
static void test_round_trip(void **state)
{
    struct setting *const x = *state;
    struct groups a, b;
    struct metrics m;
    struct trajectories *t = NULL;
    struct buf text = {0};
    assert_int_equal(groups_init(&a, 2, G, MAX_PROMPT, MAX_NEW, 4), 0);
    assert_int_equal(groups_init(&b, 2, G, MAX_PROMPT, MAX_NEW, 4), 0);
    for (int64_t p = 0; p < 2; p++)
        fill_group(&a, x, p);
    assert_int_equal(metrics_open(&m, x->path, -1), 0);
    for (int64_t p = 0; p < 2; p++) {
        const struct trajectory_line l = {
            .g = &a, .p = p, .question = "q?", .gold = "", .tokenizer = x->t, true};
        assert_int_equal(trajectories_write(&m, 1, &l, &text), 0);
    }
    assert_int_equal(metrics_close(&m), 0);
    const struct trajectories_setup s = {.config = &x->c,
                                         .tokenizer = x->t,
                                         .prompter = x->prompter,
                                         .hp = &x->s.m.hp,
                                         .n_softmax = x->s.m.n_softmax,
                                         .collector = x->collector};
    assert_int_equal(trajectories_open(&t, x->path, &s), 0);
    assert_int_equal(trajectories_n(t), 2);
    assert_int_equal(trajectories_n_unknown(t), 0);
    assert_true(trajectories_has_routes(t));
    for (int64_t p = 0; p < 2; p++) {
        struct buf want = {0}, got = {0};
        assert_int_equal(trajectories_read(t, p, &b, p), 0);
        groups_put(&a, p, &want);
        groups_put(&b, p, &got);
        assert_int_equal(want.len, got.len);
        assert_memory_equal(want.data, got.data, want.len);
        buf_release(&want);
        buf_release(&got);
    }
    const char *question = NULL, *gold = NULL;
    assert_int_equal(trajectories_texts(t, 1, &question, &gold), 0);
    assert_string_equal(question, "q?");
    assert_string_equal(gold, "");
    trajectories_free(t);
    buf_release(&text);
    groups_release(&a);
    groups_release(&b);
}

/* `line` after a good one is refused with "given.jsonl:2" and `part`. */
static void refuse(struct setting *x, const char *line, const char *part)
{
    struct trajectories *t = NULL;
    struct buf text = {0};
    buf_puts(&text, "{\"prompt\":\"a\",\"completions\":[{\"text\":\"b\",\"reward\":1},"
                    "{\"text\":\"c\",\"reward\":0}]}\n");
    buf_puts(&text, line);
    const int status = open_text(x, &t, text.data);
    if (status != ERR_INPUT && status != ERR_CONFIG)
        fail_msg("%s: status %d", line, status);
    if (strstr(status_message(), "given.jsonl:2") == NULL ||
        strstr(status_message(), part) == NULL)
        fail_msg("%s: message \"%s\" lacks \"%s\"", line, status_message(), part);
    buf_release(&text);
}

#define OTHER ",{\"text\":\"c\",\"reward\":0}]}"
#define FIRST(c) "{\"prompt\":\"a\",\"completions\":[" c OTHER

static void test_refused(void **state)
{
    struct setting *const x = *state;
    static const char *const cases[][2] = {
        {"[]", "expected an object"},
        {"{\"prompt\":\"a\"", ""},
        {"{\"completions\":[]}", "no prompt"},
        {"{\"prompt\":3,\"completions\":[]}", "prompt"},
        {"{\"prompt_tokens\":[],\"completions\":[]}", "1 to 40"},
        {"{\"prompt_tokens\":[1,300],\"completions\":[]}", "[1] is out of range"},
        {"{\"prompt_tokens\":[1,-1],\"completions\":[]}", "[1] is out of range"},
        {"{\"prompt_tokens\":[1.5],\"completions\":[]}", "[0] is real"},
        {"{\"prompt\":\"a\"}", "\"completions\" is nothing"},
        {"{\"prompt\":\"a\",\"completions\":[{\"text\":\"b\",\"reward\":1}]}",
         "rollout.group_size=2"},
        {"{\"prompt\":\"a\",\"gold\":\"nan\",\"completions\":[]}", "\"gold\""},
        {"{\"prompt\":\"a\",\"gold\":[],\"completions\":[]}", "\"gold\""},
        {"{\"prompt\":\"a long, long, long, long, long, long, long, long, long "
         "prompt\",\"completions\":[]}",
         "data.max_prompt"},
        {FIRST("3"), "completion 0"},
        {FIRST("{\"reward\":1}"), "completion 0: expected the key"},
        {FIRST("{\"text\":\"b\"}"), "completion 0: no \"reward\""},
        {FIRST("{\"text\":\"b\",\"reward\":\"1\"}"), "reward"},
        {FIRST("{\"text\":\"b\",\"reward\":1e39}"), "not finite"},
        {FIRST("{\"text\":\"0123456789\",\"reward\":1}"), "rollout.max_new"},
        {FIRST("{\"text\":\"\",\"finish\":\"length\",\"reward\":1}"), "0 tokens"},
        {FIRST("{\"text\":\"b\",\"finish\":\"end\",\"reward\":1}"), "\"end\""},
        {FIRST("{\"tokens\":[290],\"reward\":1}"), "completion 0: \"tokens\"[0]"},
        {FIRST("{\"tokens\":[1,2,3,4,5,6,7,8,9],\"reward\":1}"), "9 tokens"},
        {FIRST("{\"tokens\":[4,5],\"logp\":[-1],\"reward\":1}"),
         "completion 0: \"logp\" has 1 numbers for 2 tokens"},
        {FIRST("{\"text\":\"b\",\"logprobs\":[-1,-1,-1],\"reward\":1}"),
         "give \"tokens\" as well"},
        {FIRST("{\"tokens\":[4,5],\"logp\":[-1,0.5],\"reward\":1}"), "\"logp\"[1]"},
        {FIRST("{\"tokens\":[4,5],\"logp\":[-1,\"x\"],\"reward\":1}"), "\"logp\"[1]"},
        {FIRST("{\"tokens\":[4],\"logp\":-1,\"reward\":1}"), "expected an array"},
        {FIRST("{\"tokens\":[4],\"routes\":[],\"reward\":1}"), "one row per token"},
        {FIRST("{\"tokens\":[4],\"routes\":[[0,1,2]],\"reward\":1}"), "\"routes\"[0]"},
        {FIRST("{\"tokens\":[4],\"routes\":[[0,1,2,4]],\"reward\":1}"), "below 4"},
        {FIRST("{\"tokens\":[4],\"routes\":[[0,1,3,3]],\"reward\":1}"), "distinct"},
        {FIRST("{\"tokens\":[4],\"routes\":[7],\"reward\":1}"), "\"routes\"[0]"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++)
        refuse(x, cases[i][0], cases[i][1]);
    x->c.grpo.old_logp = OLD_LOGP_ROLLOUT;
    struct trajectories *t = NULL;
    static const char unknown[] = FIRST("{\"tokens\":[4],\"reward\":1}");
    assert_int_equal(open_text(x, &t, unknown), ERR_CONFIG);
    x->c.grpo.old_logp = OLD_LOGP_AUTO;
    x->c.grpo.routing_replay = REPLAY_R3;
    assert_int_equal(open_text(x, &t, unknown), ERR_CONFIG);
    x->c.grpo.routing_replay = REPLAY_OFF;
    assert_int_equal(open_text(x, &t, "\n \n"), ERR_INPUT);
    assert_non_null(strstr(status_message(), "0 groups"));
}

/* data.overlong = filter leaves out long prompts and keeps the numbering of the rest */
static void test_filter(void **state)
{
    struct setting *const x = *state;
    struct trajectories *t = NULL;
    static const char text[] =
        "{\"prompt\":\"a long, long, long, long, long, long, long, long, long "
        "prompt\",\"completions\":[]}\n" FIRST("{\"tokens\":[4],\"reward\":1}") "\n";
    x->c.data.overlong = OVERLONG_FILTER;
    assert_int_equal(open_text(x, &t, text), 0);
    x->c.data.overlong = OVERLONG_ERROR;
    assert_int_equal(trajectories_n(t), 1);
    assert_int_equal(trajectories_n_filtered(t), 1);
    assert_false(trajectories_has_routes(t));
    assert_int_equal(trajectories_read(t, 0, &x->g, 0), 0);
    assert_text(x, x->g.prompt, x->g.n_prompt[0], "a");
    trajectories_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_filter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
