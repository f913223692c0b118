/*
 * The rollout engine: what is sampled depends on nothing but weights and seed; what is
 * recorded equals what the model says of the finished sequence; the ways to end; greedy
 * and restricted sampling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "rollout/rollout.h"
#include "tests/model/fixture.h"
#include "tests/model/small_model.h"

enum { P = 4, G = 3, MAX_PROMPT = 140, MAX_NEW = 70 };
/* inside a page, a full page, into the second, into the third */
static const int64_t prompt_len[P] = {3, 64, 70, 130};
static const struct rollout_limits usual = {
    .n_slots = 5, .max_prompt = MAX_PROMPT, .max_new = MAX_NEW, .n_prefill = 150};
static const int64_t in_order[P] = {0, 1, 2, 3};
static const struct rollout_args sampled = {
    .temperature = 0.85f, .top_p = 1.0f, .seed = 77, .step = 3, .max_new = MAX_NEW};

static void model_start(struct small_model *s, int64_t shape)
{
    assert_int_equal(small_model_init(s, &small_shapes[shape], DTYPE_BF16, 21), 0);
    /* two of 67 tokens end a sample: after some 30 tokens */
    s->m.hp.n_eos = 2;
    s->m.hp.eos_ids[0] = 5;
    s->m.hp.eos_ids[1] = 31;
}

static void groups_start(struct groups *g, const struct model *m)
{
    assert_int_equal(
        groups_init(g, P, G, MAX_PROMPT, MAX_NEW, m->hp.n_layers * m->hp.top_k), 0);
    for (int64_t p = 0; p < P; p++) {
        int32_t ids[MAX_PROMPT];
        small_ids(ids, prompt_len[p], &m->hp, 500, (uint32_t)p);
        for (int64_t i = 0; i < prompt_len[p]; i++)
            ids[i] %= (int32_t)m->n_softmax; /* check_recorded predicts them too */
        groups_set_prompt(g, p, p, ids, prompt_len[p]);
    }
}

static void generate(struct groups *g, const struct model *m,
                     const struct rollout_limits *limits,
                     const struct rollout_args *args, const int64_t *slots, int64_t n)
{
    struct rollout *r = NULL;
    assert_int_equal(rollout_create(&r, m, NULL, limits), 0);
    assert_int_equal(rollout_run(r, g, slots, n, args, NULL, NULL, NULL), 0);
    rollout_free(r);
}

static void assert_same_samples(const struct groups *a, const struct groups *b,
                                int64_t p, const char *what)
{
    for (int64_t s = 0; s < G; s++) {
        const struct sample_info *const i = groups_info(a, p, s);
        const struct sample_info *const j = groups_info(b, p, s);
        const size_t n = (size_t)i->n_tokens;
        if (i->n_tokens != j->n_tokens || i->finish != j->finish ||
            memcmp(groups_tokens(a, p, s), groups_tokens(b, p, s), 4 * n) != 0 ||
            memcmp(groups_logp(a, p, s), groups_logp(b, p, s), 4 * n) != 0 ||
            memcmp(groups_routes(a, p, s), groups_routes(b, p, s),
                   2 * n * (size_t)a->route_width) != 0 ||
            memcmp(groups_prompt_routes(a, p), groups_prompt_routes(b, p),
                   2 * (size_t)(a->n_prompt[p] * a->route_width)) != 0)
            fail_msg("%s: group %d sample %d differs", what, (int)p, (int)s);
    }
}

static void assert_all_same(const struct groups *a, const struct groups *b,
                            const char *what)
{
    for (int64_t p = 0; p < P; p++)
        assert_same_samples(a, b, p, what);
}

/* Slots, prefill size, order of the groups, threads and instruction sets */
static void test_invariance(void **state)
{
    (void)state;
    static const int64_t backwards[P] = {3, 2, 1, 0};
    static const struct {
        int64_t n_slots, n_prefill;
        const int64_t *order;
        enum cpu_isa isa;
        int threads;
    } other[] = {
        {1, 0, in_order, CPU_ISA_AUTO, 1},         {3, 500, backwards, CPU_ISA_AUTO, 2},
        {64, 1000, in_order, CPU_ISA_PORTABLE, 1}, {64, 0, backwards, CPU_ISA_AUTO, 1},
        {2, 140, in_order, CPU_ISA_AUTO, 3},
    };
    struct small_model s;
    struct groups a, b;
    model_start(&s, 1);
    groups_start(&a, &s.m);
    generate(&a, &s.m, &usual, &sampled, in_order, P);
    for (int64_t i = 0; i < ARRAY_LEN(other); i++) {
        struct rollout_limits limits = usual;
        limits.n_slots = other[i].n_slots;
        limits.n_prefill = other[i].n_prefill;
        cpu_backend_release(&s.b);
        assert_int_equal(cpu_backend_init(&s.b, other[i].isa, other[i].threads), 0);
        groups_start(&b, &s.m);
        generate(&b, &s.m, &limits, &sampled, other[i].order, P);
        assert_all_same(&a, &b, s.b.name);
        groups_release(&b);
    }
    groups_release(&a);
    small_model_release(&s);
}

/* A group generated alone is what it is among others; other groups are not touched. */
static void test_subset(void **state)
{
    (void)state;
    static const int64_t one[] = {2};
    struct small_model s;
    struct groups a, b;
    model_start(&s, 1);
    groups_start(&a, &s.m);
    groups_start(&b, &s.m);
    generate(&a, &s.m, &usual, &sampled, in_order, P);
    generate(&b, &s.m, &usual, &sampled, one, 1);
    assert_same_samples(&a, &b, 2, "alone");
    assert_int_equal(groups_info(&b, 0, 0)->n_tokens, 0);
    generate(&b, &s.m, &usual, &sampled, in_order, 0); /* nothing to do */
    groups_release(&a);
    groups_release(&b);
    small_model_release(&s);
}

static bool is_equal(const struct groups *a, const struct groups *b, int64_t p,
                     int64_t s, int64_t other)
{
    const int32_t n = groups_info(a, p, s)->n_tokens;
    return n == groups_info(b, p, other)->n_tokens &&
           memcmp(groups_tokens(a, p, s), groups_tokens(b, p, other),
                  (size_t)n * sizeof(int32_t)) == 0;
}

/* Seed, step, sample and round of prompts each change what is drawn. */
static void test_keys(void **state)
{
    (void)state;
    struct small_model s;
    struct groups g[4];
    struct rollout_args args[4] = {sampled, sampled, sampled, sampled};
    args[1].seed++;
    args[2].step++;
    args[3].first_prompt = P;
    model_start(&s, 1);
    for (int i = 0; i < 4; i++) {
        args[i].is_eos_ignored = true;
        groups_start(&g[i], &s.m);
        generate(&g[i], &s.m, &usual, &args[i], in_order, P);
    }
    for (int64_t p = 0; p < P; p++)
        for (int64_t k = 0; k < G; k++) {
            assert_false(is_equal(&g[0], &g[1], p, k, k));
            assert_false(is_equal(&g[0], &g[2], p, k, k));
            assert_false(is_equal(&g[0], &g[3], p, k, k));
            assert_false(is_equal(&g[0], &g[0], p, k, (k + 1) % G));
        }
    for (int i = 0; i < 4; i++)
        groups_release(&g[i]);
    small_model_release(&s);
}

/* A finished sequence as the model sees it at once: log-probs and routes in bits */
static void check_recorded(struct small_run *r, const struct groups *g, int64_t p,
                           int64_t s)
{
    int32_t ids[MAX_PROMPT + MAX_NEW];
    const int64_t n = groups_info(g, p, s)->n_tokens, n_prompt = g->n_prompt[p];
    const int64_t k = r->m->hp.top_k;
    memcpy(ids, g->prompt + p * MAX_PROMPT, (size_t)n_prompt * sizeof(*ids));
    memcpy(ids + n_prompt, groups_tokens(g, p, s), (size_t)n * sizeof(*ids));
    small_next(r);
    small_add(r, ids, n_prompt + n);
    small_forward(r);
    assert_memory_equal(r->logp + n_prompt - 1, groups_logp(g, p, s),
                        (size_t)n * sizeof(float));
    for (int64_t l = 0; l < r->m->hp.n_layers; l++)
        for (int64_t t = 0; t < n; t++)
            for (int64_t i = 0; i < k; i++)
                assert_int_equal(
                    r->a.layers[l].experts[(n_prompt - 1 + t) * k + i],
                    groups_routes(g, p, s)[t * g->route_width + l * k + i]);
    for (int64_t l = 0; l < r->m->hp.n_layers; l++)
        for (int64_t i = 0; i < n_prompt * k; i++)
            assert_int_equal(
                r->a.layers[l].experts[i],
                groups_prompt_routes(g, p)[i / k * g->route_width + l * k + i % k]);
}

static void test_recorded(void **state)
{
    (void)state;
    static const struct rollout_args args[] = {
        {.temperature = 0.85f, .top_p = 1.0f, .seed = 1, .max_new = MAX_NEW},
        {.temperature = 1.0f, .top_p = 0.8f, .seed = 2, .max_new = 20},
        {.temperature = 1.3f, .top_p = 1.0f, .top_k = 9, .seed = 3, .max_new = 20},
        {.temperature = 0.0f, .top_p = 1.0f, .seed = 3, .max_new = 20},
    };
    for (int64_t shape = 1; shape <= 3; shape++) {
        struct small_model s;
        struct small_run r;
        struct groups g;
        model_start(&s, shape);
        s.m.n_softmax = s.m.hp.n_vocab - 3;
        groups_start(&g, &s.m);
        assert_int_equal(small_run_init(&r, &s.m, ACTS_KEEP, 40), 0);
        for (int64_t i = 0; i < ARRAY_LEN(args); i++) {
            generate(&g, &s.m, &usual, &args[i], in_order, P);
            /* greedy: that of the plain distribution */
            r.inv_temp = args[i].temperature == 0.0f ? 1.0f
                                                     : 1.0f / args[i].temperature;
            for (int64_t p = 0; p < P; p++)
                for (int64_t k = 0; k < G; k++)
                    check_recorded(&r, &g, p, k);
        }
        small_run_release(&r);
        groups_release(&g);
        small_model_release(&s);
    }
}

/* eos or the length limit, and counts that agree with the samples */
static void test_ends(void **state)
{
    (void)state;
    struct small_model s;
    struct groups g;
    struct rollout *r = NULL;
    struct rollout_stats stats;
    int64_t n_eos = 0, n_length = 0, n_tokens = 0;
    model_start(&s, 1);
    groups_start(&g, &s.m);
    assert_int_equal(rollout_create(&r, &s.m, NULL, &usual), 0);
    assert_int_equal(rollout_run(r, &g, in_order, P, &sampled, NULL, NULL, &stats), 0);
    for (int64_t i = 0; i < P * G; i++) {
        const struct sample_info *const info = &g.info[i];
        const int32_t *const tokens = g.tokens + i * MAX_NEW;
        n_tokens += info->n_tokens;
        n_eos += info->finish == FINISH_EOS;
        n_length += info->finish == FINISH_LENGTH;
        for (int64_t t = 0; t < info->n_tokens; t++) {
            const bool is_eos = tokens[t] == 5 || tokens[t] == 31;
            const bool is_last = t + 1 == info->n_tokens;
            assert_int_equal(is_eos, is_last && info->finish == FINISH_EOS);
        }
        if (info->finish == FINISH_LENGTH)
            assert_int_equal(info->n_tokens, MAX_NEW);
    }
    print_message("  %d samples ended with eos, %d at the limit\n", (int)n_eos,
                  (int)n_length);
    assert_true(n_eos > 0 && n_length > 0);
    assert_int_equal(n_eos + n_length, P * G);
    assert_int_equal(stats.n_decode_tokens, n_tokens);
    assert_int_equal(stats.n_prefill_tokens, 3 + 64 + 70 + 130); /* each prompt once */
    struct rollout_args args = sampled;
    args.is_eos_ignored = true;
    args.max_new = 1;
    for (; args.max_new <= MAX_NEW; args.max_new += MAX_NEW - 1) {
        assert_int_equal(rollout_run(r, &g, in_order, P, &args, NULL, NULL, NULL), 0);
        for (int64_t i = 0; i < P * G; i++) {
            assert_int_equal(g.info[i].n_tokens, args.max_new);
            assert_int_equal(g.info[i].finish, FINISH_LENGTH);
        }
    }
    args.max_new = MAX_NEW + 1;
    assert_int_equal(rollout_run(r, &g, in_order, P, &args, NULL, NULL, NULL),
                     ERR_INTERNAL);
    rollout_free(r);
    groups_release(&g);
    small_model_release(&s);
}

struct ticks {
    int64_t n, n_finished, n_tokens;
};

static void on_tick(void *user, int64_t n_finished, int64_t n_tokens)
{
    struct ticks *const t = user;
    assert_true(n_finished >= t->n_finished && n_tokens >= t->n_tokens);
    *t = (struct ticks){t->n + 1, n_finished, n_tokens};
}

/* A second call on the same engine gives the same samples and allocates nothing. */
static void test_reuse(void **state)
{
    (void)state;
    struct small_model s;
    struct groups a, b;
    struct rollout *r = NULL;
    struct ticks ticks = {0};
    struct rollout_stats stats;
    model_start(&s, 3);
    groups_start(&a, &s.m);
    groups_start(&b, &s.m);
    assert_int_equal(rollout_create(&r, &s.m, NULL, &usual), 0);
    assert_int_equal(rollout_run(r, &a, in_order, P, &sampled, NULL, NULL, NULL), 0);
    const int64_t before = mem_count();
    assert_int_equal(rollout_run(r, &b, in_order, P, &sampled, on_tick, &ticks, &stats),
                     0);
    assert_int_equal(mem_count(), before);
    assert_all_same(&a, &b, "second call");
    assert_int_equal(ticks.n_finished, P * G);
    assert_int_equal(ticks.n_tokens, stats.n_decode_tokens);
    assert_true(ticks.n >= stats.n_decode_steps);
    rollout_free(r);
    groups_release(&a);
    groups_release(&b);
    small_model_release(&s);
}

/* The pool of pages has no slack: any number of slots, every prompt as long as any may
 * be (a copied page each), all prefilled as early as slots want them. */
static void test_pages(void **state)
{
    (void)state;
    enum { LONGEST = 65 };
    struct small_model s;
    struct groups want, got;
    model_start(&s, 3);
    groups_start(&want, &s.m);
    groups_start(&got, &s.m);
    for (int64_t p = 0; p < P; p++) {
        int32_t ids[LONGEST];
        small_ids(ids, LONGEST, &s.m.hp, 600, (uint32_t)p);
        groups_set_prompt(&want, p, p, ids, LONGEST);
        groups_set_prompt(&got, p, p, ids, LONGEST);
    }
    generate(&want, &s.m, &usual, &sampled, in_order, P);
    for (int64_t n_slots = 1; n_slots <= P * G; n_slots++) {
        const struct rollout_limits tight = {.n_slots = n_slots,
                                             .max_prompt = LONGEST,
                                             .max_new = MAX_NEW,
                                             .n_prefill = P * LONGEST};
        generate(&got, &s.m, &tight, &sampled, in_order, P);
        assert_all_same(&want, &got, "tight pool");
    }
    groups_release(&want);
    groups_release(&got);
    small_model_release(&s);
}

/* Logits of the row that predicts token t of a sample, from the sequence at once */
static const float *logits_at(struct small_run *r, const struct groups *g, int64_t p,
                              int64_t s, int64_t t)
{
    const int32_t row = (int32_t)(g->n_prompt[p] - 1 + t);
    if (t == 0) {
        int32_t ids[MAX_PROMPT + MAX_NEW];
        const int64_t n = groups_info(g, p, s)->n_tokens, n_prompt = g->n_prompt[p];
        memcpy(ids, g->prompt + p * MAX_PROMPT, (size_t)n_prompt * sizeof(*ids));
        memcpy(ids + n_prompt, groups_tokens(g, p, s), (size_t)n * sizeof(*ids));
        small_next(r);
        small_add(r, ids, n_prompt + n);
        small_forward(r);
    }
    model_logits(r->m, &r->a, r->a.x_last, &row, 1);
    return r->a.logits;
}

/* How many tokens are more likely than `token`, and their mass at a temperature */
static int64_t rank_of(const float *logits, int64_t n, int32_t token,
                       double temperature, double *mass_before)
{
    double sum = 0.0, before = 0.0;
    int64_t rank = 0;
    for (int64_t v = 0; v < n; v++) {
        const double p = exp((double)(logits[v] - logits[token]) / temperature);
        sum += p;
        if (logits[v] > logits[token]) {
            before += p;
            rank++;
        }
    }
    *mass_before = before / sum;
    return rank;
}

/* Greedy is the largest logit; top_k and top_p keep to their sets, and use them. */
static void test_restricted(void **state)
{
    (void)state;
    static const struct rollout_args args[] = {
        {.temperature = 0.0f, .top_p = 1.0f, .seed = 4, .max_new = 30},
        {.temperature = 1.5f, .top_p = 1.0f, .top_k = 4, .seed = 4, .max_new = 30},
        {.temperature = 1.5f, .top_p = 0.6f, .seed = 4, .max_new = 30},
        {.temperature = 1.5f, .top_p = 0.6f, .top_k = 3, .seed = 4, .max_new = 30},
        {.temperature = 1.5f, .top_p = 1.0f, .top_k = 1, .seed = 4, .max_new = 30},
    };
    struct small_model s;
    struct small_run r;
    struct groups g;
    model_start(&s, 1);
    groups_start(&g, &s.m);
    assert_int_equal(small_run_init(&r, &s.m, ACTS_KEEP, 40), 0);
    for (int64_t i = 0; i < ARRAY_LEN(args); i++) {
        generate(&g, &s.m, &usual, &args[i], in_order, P);
        const bool is_first = args[i].temperature == 0.0f || args[i].top_k == 1;
        int64_t n_not_best = 0;
        for (int64_t j = 0; j < P * G; j++)
            for (int64_t t = 0; t < g.info[j].n_tokens; t++) {
                double before = 0.0;
                const float *const z = logits_at(&r, &g, j / G, j % G, t);
                const int64_t rank = rank_of(z, s.m.n_softmax,
                                             g.tokens[j * MAX_NEW + t], 1.5, &before);
                n_not_best += rank > 0;
                if (is_first)
                    assert_int_equal(rank, 0);
                if (args[i].top_k > 0)
                    assert_true(rank < args[i].top_k);
                /* 1e-5: the set ends where fp32's sum says */
                if (args[i].top_p < 1.0f && args[i].top_k == 0)
                    assert_true(before < (double)args[i].top_p + 1e-5);
            }
        assert_true(is_first == (n_not_best == 0));
    }
    small_run_release(&r);
    groups_release(&g);
    small_model_release(&s);
}

static void check_fixture_greedy(const struct fixture *f)
{
    int32_t prompt[64], want[64];
    double logp[64];
    struct small_model s = {0};
    struct groups g;
    const int64_t n_prompt = fixture_greedy(f, "prompt", prompt, NULL), slot = 0;
    const int64_t n = fixture_greedy(f, "tokens", want, NULL);
    fixture_greedy(f, "logp", NULL, logp);
    const double limit = fixture_number(f, "greedy", "limit", NULL);
    assert_int_equal(cpu_backend_init(&s.b, CPU_ISA_AUTO, 1), 0);
    assert_int_equal(weights_load(&s.w, f->model, -1), 0);
    assert_int_equal(
        model_init(&s.m, &s.b, &s.w.hp, s.w.data, s.w.dtype, 128, s.w.hp.n_vocab), 0);
    assert_int_equal(groups_init(&g, 1, 2, 64, 64, 0), 0);
    groups_set_prompt(&g, 0, 0, prompt, n_prompt);
    const struct rollout_limits limits = {
        .n_slots = 2, .max_prompt = 64, .max_new = 64};
    const struct rollout_args args = {.temperature = 0.0f, .top_p = 1.0f, .max_new = n};
    generate(&g, &s.m, &limits, &args, &slot, 1);
    for (int64_t k = 0; k < 2; k++) {
        assert_int_equal(groups_info(&g, 0, k)->n_tokens, n);
        assert_memory_equal(groups_tokens(&g, 0, k), want, (size_t)n * sizeof(*want));
        for (int64_t t = 0; t < n; t++)
            assert_true(fabs((double)groups_logp(&g, 0, k)[t] - logp[t]) <= limit);
    }
    groups_release(&g);
    small_model_release(&s);
}

/* The continuations that transformers chose */
static void test_fixtures_greedy(void **state)
{
    (void)state;
    int n_done = 0;
    for (int64_t i = 0; i < ARRAY_LEN(fixture_cases); i++) {
        struct fixture f;
        if (!fixture_open(&f, fixture_cases[i]))
            continue;
        check_fixture_greedy(&f);
        fixture_close(&f);
        n_done++;
    }
    if (n_done == 0)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_subset),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_restricted),
        cmocka_unit_test(test_fixtures_greedy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
