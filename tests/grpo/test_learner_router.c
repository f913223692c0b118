/*
 * Replay, load-balancing losses and frozen routers in the learner: no difference on
 * policy, a real one after an update; the losses' gradients against slopes of the
 * double oracle, the same bits whatever the micro-batches.
 */
#include "tests/grpo/learner_case.h"

static struct comm *self;

static int setup(void **state)
{
    (void)state;
    return comm_world_create(&self, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    comm_free(self);
    return 0;
}

/* Two updates on the same samples: on-policy, then not. is_same_out: after each,
 * whether all state is that of a run without the option. */
static void against_off(const char *option, int64_t shape, bool is_same_out[2],
                        int64_t n_route_diffs_out[2])
{
    const char *const words[CASE_WORDS] = {option, "optim.lr=0.05"};
    const char *const off_words[CASE_WORDS] = {"optim.lr=0.05"};
    struct learner_case off, on;
    struct learner_report a, b;
    case_start(&off, self, shape, DTYPE_BF16, 41, off_words);
    case_start(&on, self, shape, DTYPE_BF16, 41, words);
    assert_int_equal(learner_begin(on.l, &on.g), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(case_update(&off, i == 0, &a), 0);
        assert_int_equal(case_update(&on, i == 0, &b), 0);
        is_same_out[i] = case_is_same(&off, &on);
        n_route_diffs_out[i] = b.n_route_diffs;
        assert_true((b.behaviour_diff_max == 0.0) == (i == 0));
    }
    case_stop(&off);
    case_stop(&on);
}

static void test_replay(void **state)
{
    (void)state;
    static const char *const kinds[] = {"grpo.routing_replay=r2",
                                        "grpo.routing_replay=r3"};
    for (int k = 0; k < 2; k++)
        for (int64_t shape = 0; shape < ARRAY_LEN(small_shapes); shape++) {
            bool is_same[2];
            int64_t n_diffs[2];
            against_off(kinds[k], shape, is_same, n_diffs);
            assert_true(is_same[0]);
            assert_int_equal(n_diffs[0], 0);
            /* a learning rate that moves routes, where there is a choice */
            const struct small_shape *const s = &small_shapes[shape];
            if (s->n_experts > s->top_k)
                assert_true(n_diffs[1] > 0 && !is_same[1]);
        }
}

/* R2 replays what the learner itself chose before the first update, not what sampling
 * recorded: with records from other weights the two differ. */
static void test_whose_routes(void **state)
{
    (void)state;
    static const char *const r2[CASE_WORDS] = {"grpo.routing_replay=r2"};
    static const char *const r3[CASE_WORDS] = {"grpo.routing_replay=r3"};
    struct learner_case off, a, b;
    struct learner_report r;
    case_start(&off, self, 1, DTYPE_BF16, 41, NULL);
    case_start(&a, self, 1, DTYPE_BF16, 41, r2);
    case_start(&b, self, 1, DTYPE_BF16, 41, r3);
    struct learner_case *const all[] = {&off, &a, &b};
    for (int i = 0; i < 3; i++) {
        uint16_t *const routes = groups_routes(&all[i]->g, 0, 0);
        /* slots 0 and 1 of token 2, layer 0 change places: distinct still */
        uint16_t *const at = routes + 2 * all[i]->g.route_width;
        const uint16_t first = at[0];
        at[0] = at[1];
        at[1] = first;
        assert_int_equal(learner_begin(all[i]->l, &all[i]->g), 0);
        assert_int_equal(case_update(all[i], false, &r), 0);
        assert_int_equal(r.n_route_diffs, 2);
    }
    assert_true(case_is_same(&off, &a));
    assert_false(case_is_same(&off, &b));
    for (int i = 0; i < 3; i++)
        case_stop(all[i]);
}

/* Old log-probs of the learner's own pass see the experts that updates will see: the
 * first ratio is 1 although the records' routes are not those of the routers. */
static void test_old_logp(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "grpo.routing_replay=off", "grpo.routing_replay=r2", "grpo.routing_replay=r3"};
    for (int k = 0; k < 3; k++) {
        const char *const words[CASE_WORDS] = {kinds[k], "grpo.old_logp=learner"};
        struct learner_case x;
        struct learner_report r;
        case_start(&x, self, 1, DTYPE_BF16, 41, words);
        for (int64_t i = 0; i < CASE_NEW; i++) { /* layer 0: the next expert */
            uint16_t *const at = groups_routes(&x.g, 0, 0) + i * x.g.route_width;
            for (int64_t j = 0; j < x.s.m.hp.top_k; j++)
                at[j] = (uint16_t)((at[j] + 1) % x.s.m.hp.n_experts);
        }
        assert_int_equal(learner_begin(x.l, &x.g), 0);
        assert_int_equal(case_update(&x, false, &r), 0);
        assert_true(r.sums.ratio == r.sums.n_tokens && r.sums.kl_old == 0.0);
        assert_true((r.behaviour_diff_max > 0.0) == (k == 2));
        assert_true(r.n_route_diffs > 0);
        case_stop(&x);
    }
}

static void test_frozen(void **state)
{
    (void)state;
    static const char *const words[CASE_WORDS] = {
        "grpo.router=freeze", "optim.weight_decay=0.1", "grpo.aux_coef=0.1"};
    struct learner_case x;
    struct learner_report r;
    case_start(&x, self, 1, DTYPE_BF16, 41, words);
    const struct optim *const o = learner_optim(x.l);
    const size_t n = (size_t)x.s.w.table.n_elems;
    float *const before = mem_alloc(n * sizeof(float));
    memcpy(before, o->master, n * sizeof(float));
    assert_int_equal(case_update(&x, true, &r), 0);
    for (int64_t i = 0; i < x.s.w.table.n; i++) {
        const struct param *const p = &x.s.w.table.items[i];
        const size_t bytes = (size_t)p->n_elems * sizeof(float);
        const bool is_same = memcmp(before + p->off, o->master + p->off, bytes) == 0;
        assert_true(is_same == (p->role == PARAM_ROUTER));
    }
    mem_free(before);
    case_stop(&x);
}

static const char *const losses[CASE_WORDS] = {"grpo.aux_coef=0.5", "grpo.z_coef=0.25"};

static void test_losses_same_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t micro_tokens;
        int recompute;
    } variants[] = {{20, RECOMPUTE_NONE}, {1, RECOMPUTE_NONE}, {1000, RECOMPUTE_LAYER}};
    struct learner_case first, x;
    struct learner_report want[2], got;
    case_start(&first, self, 3, DTYPE_BF16, 41, losses);
    for (int i = 0; i < 2; i++)
        assert_int_equal(case_update(&first, i == 0, &want[i]), 0);
    assert_true(want[0].aux_loss > 0.0 && want[0].z_loss > 0.0);
    for (int64_t v = 0; v < ARRAY_LEN(variants); v++) {
        case_start(&x, self, 3, DTYPE_BF16, 41, losses);
        learner_free(x.l);
        x.c.learner.micro_tokens = variants[v].micro_tokens;
        x.c.learner.recompute = variants[v].recompute;
        const struct learner_setup ls = {
            .m = &x.s.m, .comm = self, .config = &x.c, .data = x.s.w.data};
        assert_int_equal(learner_create(&x.l, &ls), 0);
        assert_int_equal(learner_begin(x.l, &x.g), 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(case_update(&x, i == 0, &got), 0);
            assert_memory_equal(&got, &want[i], sizeof(got));
        }
        assert_true(case_is_same(&first, &x));
        case_stop(&x);
    }
    case_stop(&first);
}

/* The oracle's aux and z over all rows of the groups, prompts once. is_start: f_out =
 * times chosen, by row; later calls take it as it is. */
struct balance {
    struct learner_case *x;
    struct oracle o;
    double f[8], n_rows, aux, z, gap;
};

static void add_sample(struct balance *b, int64_t p, int64_t s, double *prob,
                       bool is_start)
{
    const struct groups *const g = &b->x->g;
    const struct hparams *const hp = &b->o.hp;
    int32_t ids[CASE_PROMPT + CASE_NEW];
    const int64_t n_prompt = g->n_prompt[p];
    const int64_t n = n_prompt + groups_info(g, p, s)->n_tokens - 1;
    memcpy(ids, g->prompt + p * CASE_PROMPT, (size_t)n_prompt * sizeof(*ids));
    memcpy(ids + n_prompt, groups_tokens(g, p, s),
           (size_t)(n - n_prompt) * sizeof(*ids));
    struct oracle_out out;
    oracle_out_init(&out, hp, n);
    oracle_forward(&b->o, &out, ids);
    b->gap = fmin(b->gap, out.gap);
    for (int64_t row = 0; row < hp->n_layers * n; row++) {
        const double *const x = out.router + row * hp->n_experts;
        const double lse = oracle_logsumexp(x, hp->n_experts, 1.0);
        if (s > 0 && row % n < n_prompt)
            continue;
        b->z += lse * lse;
        for (int64_t e = 0; e < hp->n_experts; e++)
            prob[e] += exp(x[e] - lse);
        b->n_rows += is_start;
        for (int64_t j = 0; is_start && j < hp->top_k; j++)
            b->f[out.experts[row * hp->top_k + j]] += 1.0;
    }
    oracle_out_release(&out);
}

static void balance(struct balance *b, bool is_start)
{
    double prob[8] = {0};
    b->z = b->aux = 0.0;
    for (int64_t p = 0; p < CASE_P; p++)
        for (int64_t s = 0; s < CASE_G; s++)
            add_sample(b, p, s, prob, is_start);
    b->z /= b->n_rows;
    for (int64_t e = 0; e < b->o.hp.n_experts; e++)
        b->aux += (double)b->o.hp.n_experts * b->f[e] / b->n_rows * prob[e] / b->n_rows;
}

static void balance_init(struct balance *b, struct learner_case *x)
{
    *b = (struct balance){.x = x, .gap = INFINITY};
    oracle_init(&b->o, &x->s.m.hp, &x->s.w.table, x->s.w.data, DTYPE_F32);
    balance(b, true);
}

/* Slope of coef . (aux, z) along a random unit direction of the tensor */
static double slope(struct balance *b, struct oracle_tensor *x, const double *u)
{
    double value[2];
    const double h = tol_slope_step;
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < x->n; i++)
            x->data[i] += (side == 0 ? h : -2.0 * h) * u[i];
        balance(b, false);
        value[side] = 0.5 * b->aux + 0.25 * b->z;
    }
    for (int64_t i = 0; i < x->n; i++)
        x->data[i] += h * u[i];
    return (value[0] - value[1]) / (2.0 * h);
}

/* With beta1 = 0 and no clipping the first moment is the gradient; lr 0. */
static void gradient_of(struct learner_case *x, uint64_t seed, const char *const *words,
                        struct learner_report *r)
{
    case_start(x, self, 1, DTYPE_F32, seed, words);
    x->c.optim.lr = x->c.optim.beta1 = x->c.optim.clip_l2 = 0.0;
    assert_int_equal(case_update(x, true, r), 0);
}

static void check_tensor(struct balance *b, struct oracle_tensor *x,
                         const struct optim *with, const struct optim *without)
{
    float *const g = mem_alloc((size_t)x->n * sizeof(float));
    float *const plain = mem_alloc((size_t)x->n * sizeof(float));
    double *const u = oracle_zeros(x->n);
    double norm = 0.0, want = 0.0, size = 0.0;
    piece_unpack(g, with->m, DTYPE_F32, &x->piece);
    piece_unpack(plain, without->m, DTYPE_F32, &x->piece);
    for (int64_t i = 0; i < x->n; i++) {
        u[i] = (double)rng_normal(3, RNG_TEST, (uint32_t)i, 0, 0, 0);
        norm += u[i] * u[i];
        size = fmax(size, fmax(fabs((double)g[i]), fabs((double)plain[i])));
    }
    for (int64_t i = 0; i < x->n; i++)
        want += (u[i] /= sqrt(norm)) * ((double)g[i] - (double)plain[i]);
    const double got = slope(b, x, u);
    const int64_t chain = 2 * small_chain(&b->o.hp, CASE_PROMPT + CASE_NEW) + 100;
    const double limit = 6.0 * ((double)chain * tol_unit * size +
                                tol_slope * fmax(1.0, b->z));
    if (!(fabs(got - want) <= limit))
        fail_msg("%s: slope %g, gradient %g, limit %g", x->piece.name, got, want,
                 limit);
    mem_free(u);
    mem_free(plain);
    mem_free(g);
}

static void test_losses_gradient(void **state)
{
    (void)state;
    struct learner_case plain, x;
    struct learner_report r0, r;
    struct balance b;
    uint64_t seed = 40;
    for (double gap = 0.0; gap < 3e-4; seed++) { /* no router near a tie */
        struct learner_case at;
        case_start(&at, self, 1, DTYPE_F32, seed, NULL);
        balance_init(&b, &at);
        gap = b.gap;
        oracle_release(&b.o);
        case_stop(&at);
        assert_true(seed < 400);
    }
    gradient_of(&plain, seed - 1, NULL, &r0);
    gradient_of(&x, seed - 1, losses, &r);
    balance_init(&b, &x);
    assert_true(r0.aux_loss == 0.0 && r0.z_loss == 0.0);
    assert_true(fabs(r.aux_loss - b.aux) <= 1e-5 * b.aux);
    assert_true(fabs(r.z_loss - b.z) <= 1e-5 * b.z);
    for (int64_t i = 0; i < b.o.n_tensors; i++)
        check_tensor(&b, &b.o.tensors[i], learner_optim(x.l), learner_optim(plain.l));
    oracle_release(&b.o);
    case_stop(&plain);
    case_stop(&x);
}

static void test_allocates_nothing(void **state)
{
    (void)state;
    static const char *const words[CASE_WORDS] = {
        "grpo.aux_coef=0.5", "grpo.routing_replay=r2", "grpo.old_logp=learner"};
    struct learner_case x;
    struct learner_report r;
    case_start(&x, self, 1, DTYPE_BF16, 41, words);
    assert_int_equal(learner_begin(x.l, &x.g), 0);
    assert_int_equal(case_update(&x, true, &r), 0);
    const int64_t before = mem_count();
    assert_int_equal(learner_begin(x.l, &x.g), 0);
    assert_int_equal(case_update(&x, false, &r), 0);
    assert_int_equal(mem_count(), before);
    case_stop(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_whose_routes),
        cmocka_unit_test(test_old_logp),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_losses_same_bits),
        cmocka_unit_test(test_losses_gradient),
        cmocka_unit_test(test_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
