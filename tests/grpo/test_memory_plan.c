/*
 * The memory plan of a device: silent for host memory, refused with the knob that helps
 * where it does not fit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"
#include "grpo/learner.h"
#include "grpo/memory_plan.h"
#include "tests/far_backend.h"

static const struct hparams hp = {.n_vocab = 48,
                                  .d_model = 32,
                                  .d_ff = 40,
                                  .n_layers = 2,
                                  .n_heads = 2,
                                  .n_kv_heads = 1,
                                  .head_dim = 16,
                                  .n_experts = 2,
                                  .top_k = 1,
                                  .max_pos = 4096,
                                  .rms_eps = 1e-5,
                                  .init_std = 0.02,
                                  .rope = {.theta = 1e4, .factor = 1.0, .rot = 16},
                                  .bos_id = 1,
                                  .pad_id = -1};

static int64_t free_megabyte(struct backend *b)
{
    (void)b;
    return 1000000;
}

static int64_t free_terabyte(struct backend *b)
{
    (void)b;
    return INT64_C(1000000000000);
}

struct plan_case {
    const char *overrides[3];
    const char *knob;
};

static int check(const char *const *overrides, struct backend *b)
{
    char *argv[3];
    int argc = 0;
    struct config c;
    struct model m;
    for (; argc < 3 && overrides[argc] != NULL; argc++)
        argv[argc] = mem_strdup(overrides[argc]);
    assert_int_equal(config_parse(&c, argc, argv), STATUS_OK);
    assert_int_equal(model_init(&m, b, &hp, NULL, DTYPE_F32, 64, 48), STATUS_OK);
    const struct rollout_limits limits = {.n_slots = c.rollout.slots,
                                          .max_prompt = c.data.max_prompt,
                                          .max_new = c.rollout.max_new};
    const struct memory_plan_args a = {
        .m = &m, .config = &c, .rollout = &limits, .is_learner = true};
    struct learner_plan plan;
    const int status = memory_plan_make(&plan, &a);
    model_release(&m);
    config_release(&c);
    for (int i = 0; i < argc; i++)
        mem_free(argv[i]);
    return status;
}

static void test_plan(void **state)
{
    (void)state;
    static const struct plan_case cases[] = {
        {{"rollout.slots=4096", "learner.micro_tokens=64"}, "lower rollout.slots"},
        {{"rollout.slots=1", "learner.micro_tokens=100000"}, "learner.micro_tokens"},
        {{"rollout.slots=1", "learner.micro_tokens=64", "grpo.leaves=1024"}, "device"},
    };
    struct backend b = far_backend();
    log_set_level(LOG_OFF);
    for (int i = 0; i < ARRAY_LEN(cases); i++) {
        b.is_host = false;
        b.available = free_terabyte;
        assert_int_equal(check(cases[i].overrides, &b), STATUS_OK);
        b.available = free_megabyte;
        assert_int_equal(check(cases[i].overrides, &b), ERR_MEMORY);
        assert_int_equal(status_exit(ERR_MEMORY), 75);
        assert_non_null(strstr(status_message(), cases[i].knob));
        b.is_host = true; /* untouched pages cost nothing */
        assert_int_equal(check(cases[i].overrides, &b), STATUS_OK);
    }
}

/* What options add to a learner's plan; 16-bit weights of n elements */
static void test_copies(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        double copies; /* bytes per element */
        bool has_replay;
    } cases[] = {
        {{"grpo.kl_coef=0.1"}, 0.0, false},
        {{"grpo.kl_coef=0.1", "grpo.ref_every=2"}, 4.0, false},
        {{"grpo.staleness=1"}, 0.0, false},
        {{"grpo.staleness=1", "grpo.check_stale=true"}, 2.0, false},
        {{"grpo.routing_replay=r3"}, 0.0, true},
        {{"grpo.routing_replay=r2"}, 0.0, true},
    };
    struct backend b = far_backend();
    size_t before = 0;
    b.available = free_terabyte;
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *argv[3];
        int n = 0;
        struct config c;
        struct model m;
        struct learner_plan p;
        for (; n < 3 && cases[i].words[n] != NULL; n++)
            argv[n] = mem_strdup(cases[i].words[n]);
        assert_int_equal(config_parse(&c, n, argv), STATUS_OK);
        assert_int_equal(model_init(&m, &b, &hp, NULL, DTYPE_BF16, 64, 48), STATUS_OK);
        learner_plan(&p, &m, &c, 0);
        assert_true((double)p.copies == cases[i].copies * (double)m.table.n_elems);
        assert_true((p.replay > before) == cases[i].has_replay); /* r2: more than r3 */
        before = p.replay;
        model_release(&m);
        config_release(&c);
        while (n > 0)
            mem_free(argv[--n]);
    }
}

static int64_t n_free;
static int64_t free_as_set(struct backend *b)
{
    (void)b;
    return n_free;
}

/* With less and less memory: all on the device, activations recomputed, moments on the
 * host, the master weights too; then refused. Each as late as its bytes allow. */
static void test_choice(void **state)
{
    (void)state;
    static const struct {
        enum acts_mode mode;
        enum optim_place place;
    } want[] = {{ACTS_KEEP, OPTIM_ON_DEVICE},
                {ACTS_RECOMPUTE, OPTIM_ON_DEVICE},
                {ACTS_RECOMPUTE, OPTIM_MOMENTS_ON_HOST},
                {ACTS_RECOMPUTE, OPTIM_ON_HOST}};
    struct backend b = far_backend();
    struct config c;
    struct model m;
    struct learner_plan p;
    char word[] = "learner.micro_tokens=2000";
    char *argv[] = {word};
    const size_t beside = 12345678;
    b.available = free_as_set;
    assert_int_equal(config_parse(&c, 1, argv), STATUS_OK);
    assert_int_equal(model_init(&m, &b, &hp, NULL, DTYPE_BF16, 64, 48), STATUS_OK);
    n_free = INT64_MAX;
    for (int64_t i = 0; i < ARRAY_LEN(want); i++) {
        learner_plan(&p, &m, &c, beside);
        assert_int_equal(p.mode, want[i].mode);
        assert_int_equal(p.place, want[i].place);
        /* exactly enough is enough; a byte less asks for the next choice */
        const size_t wanted = learner_plan_device(&p) + beside;
        n_free = (int64_t)(wanted + learner_plan_margin(wanted));
        learner_plan(&p, &m, &c, beside);
        assert_int_equal(p.mode, want[i].mode);
        assert_int_equal(p.place, want[i].place);
        n_free--;
    }
    learner_plan(&p, &m, &c, beside); /* the smallest, though it does not fit */
    assert_int_equal(p.mode, ACTS_RECOMPUTE);
    assert_int_equal(p.place, OPTIM_ON_HOST);
    c.optim.offload = OFFLOAD_NONE;
    learner_plan(&p, &m, &c, beside);
    assert_int_equal(p.place, OPTIM_ON_DEVICE);
    assert_int_equal(p.optim.host, 0);
    c.optim.offload = OFFLOAD_AUTO;
    n_free = INT64_MAX;
    b.is_host = true; /* activations take at most half; nothing is offloaded */
    learner_plan(&p, &m, &c, beside);
    n_free = 2 * (int64_t)p.acts;
    learner_plan(&p, &m, &c, beside);
    assert_int_equal(p.mode, ACTS_KEEP);
    n_free--;
    learner_plan(&p, &m, &c, beside);
    assert_int_equal(p.mode, ACTS_RECOMPUTE);
    assert_int_equal(p.place, OPTIM_ON_DEVICE);
    b.is_host = false;
    n_free = INT64_MAX;
    c.optim.offload = OFFLOAD_ALL;
    learner_plan(&p, &m, &c, beside);
    assert_int_equal(p.place, OPTIM_ON_HOST);
    assert_int_equal(p.optim.device, 0);
    model_release(&m);
    config_release(&c);
}

/* Rows of logits count with their gradients, which have memory of their own where
 * products round their rows. */
static void test_logits(void **state)
{
    (void)state;
    struct backend b = far_backend();
    struct config c;
    char word[] = "learner.head_rows=100";
    char *argv[] = {word};
    b.available = free_terabyte;
    assert_int_equal(config_parse(&c, 1, argv), STATUS_OK);
    size_t acts[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct model m;
        struct learner_plan p;
        b.product_rows = i == 0 ? DTYPE_F32 : DTYPE_BF16;
        assert_int_equal(model_init(&m, &b, &hp, NULL, DTYPE_BF16, 64, 48), STATUS_OK);
        const int64_t ld = model_weight(&m, PARAM_HEAD, -1).n;
        learner_plan(&p, &m, &c, 0);
        assert_int_equal(p.logits, 100 * ld * (i == 0 ? 4 : 6));
        acts[i] = p.acts;
        assert_true(p.acts > p.logits);
        model_release(&m);
    }
    assert_int_not_equal(acts[0], acts[1]);
    config_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_choice), cmocka_unit_test(test_logits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
