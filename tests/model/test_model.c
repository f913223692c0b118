/*
 * The transformer as a whole: forward and gradients against the double oracle, and the
 * promises about bits: kept or recomputed activations, batches split anywhere, groups
 * against sequences alone, head chunks, threads and instruction sets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/model/oracle.h"
#include "tests/model/small_model.h"

/* name, D, F, L, H, G, head_dim, E, K, window, V, tied */
static const struct small_shape shapes[] = {
    {"mha", 32, 48, 2, 4, 4, 8, 8, 2, 0, 96, false},
    {"gqa, wide heads", 24, 20, 3, 4, 2, 12, 5, 3, 0, 67, false},
    {"window 8", 20, 36, 2, 6, 3, 4, 4, 2, 8, 40, false},
    {"tied", 48, 17, 2, 3, 1, 16, 6, 2, 0, 50, true},
    {"k = 1", 28, 24, 2, 2, 2, 14, 4, 1, 70, 33, false},
    {"k = E, one layer", 33, 31, 1, 1, 1, 32, 3, 3, 0, 35, true},
};

/* ---- models whose routers decide clearly ---- */

enum { MAX_SEQS = 3, MAX_LEN = 200 };
struct text {
    int64_t n;
    int64_t len[MAX_SEQS];
    int32_t ids[MAX_SEQS][MAX_LEN];
};

/* Between any two neighbours among the k + 1 best router logits: far above fp32's error
 * and above what a finite difference moves them by. */
static const double min_gap = 3e-4;

struct judged {
    struct small_model s;
    struct oracle o;
    struct oracle_out out[MAX_SEQS];
    struct text text;
};

/* The first seed at which no router is near a tie, so that routes are the same in fp32
 * and double and under small changes of the weights. */
static void judged_init(struct judged *j, const struct small_shape *shape, int64_t n,
                        const int64_t *len)
{
    double gap = 0.0;
    uint64_t seed = 0;
    j->text.n = n;
    while (gap < min_gap) {
        seed++;
        assert_true(seed < 200);
        assert_int_equal(small_model_init(&j->s, shape, DTYPE_F32, seed), 0);
        oracle_init(&j->o, &j->s.w.hp, &j->s.w.table, j->s.w.data, DTYPE_F32);
        gap = INFINITY;
        for (int64_t i = 0; i < n; i++) {
            j->text.len[i] = len[i];
            small_ids(j->text.ids[i], len[i], &j->s.w.hp, seed, (uint32_t)i);
            oracle_out_init(&j->out[i], &j->s.w.hp, len[i]);
            oracle_forward(&j->o, &j->out[i], j->text.ids[i]);
            gap = fmin(gap, j->out[i].gap);
        }
        if (gap >= min_gap)
            break;
        for (int64_t i = 0; i < n; i++)
            oracle_out_release(&j->out[i]);
        oracle_release(&j->o);
        small_model_release(&j->s);
    }
    print_message("  %-18s seed %d, smallest gap between routers' logits %.1e\n",
                  shape->name, (int)seed, gap);
}

static void judged_release(struct judged *j)
{
    for (int64_t i = 0; i < j->text.n; i++)
        oracle_out_release(&j->out[i]);
    oracle_release(&j->o);
    small_model_release(&j->s);
}

static double max_abs(const double *x, int64_t n)
{
    double max = 0.0;
    for (int64_t i = 0; i < n; i++)
        max = fmax(max, fabs(x[i]));
    return max;
}

/* ---- forward ---- */

struct worst {
    double logits, logp, entropy; /* largest error / limit */
};

static void check_routes(const struct small_run *r, const struct oracle_out *out,
                         int64_t first, int64_t n_rows)
{
    const struct hparams *const hp = &r->m->hp;
    for (int64_t l = 0; l < hp->n_layers; l++)
        for (int64_t i = 0; i < out->n * hp->top_k; i++)
            assert_int_equal(r->a.layers[l].experts[first * hp->top_k + i],
                             out->experts[l * out->n * hp->top_k + i]);
    assert_true(first + out->n <= n_rows);
}

/* Rows of sequence i begin at `first`, its head rows at `head`. */
static void check_sequence(struct small_run *r, const struct judged *j, int64_t i,
                           int64_t first, int64_t head, struct worst *w)
{
    const struct hparams *const hp = &j->o.hp;
    const struct oracle_out *const out = &j->out[i];
    const double size = max_abs(out->logits, out->n * hp->n_vocab);
    const double limit = (double)small_chain(hp, out->n) * tol_unit * size;
    check_routes(r, out, first, r->t.n_rows);
    for (int64_t t = 0; t < out->n; t++) {
        const int32_t row = (int32_t)(first + t);
        model_logits(r->m, &r->a, r->a.x_last, &row, 1);
        for (int64_t v = 0; v < hp->n_vocab; v++) {
            const double error = (double)r->a.logits[v] -
                                 out->logits[t * hp->n_vocab + v];
            w->logits = fmax(w->logits, fabs(error) / limit);
        }
    }
    for (int64_t t = 0; t + 1 < out->n; t++) {
        double want[2];
        oracle_logp(&j->o, out, t, j->text.ids[i][t + 1], (double)r->inv_temp, want);
        /* logp: the target's logit and the log-sum's; entropy: the mean distance of the
         * scaled logits from their mean, at most their size, multiplies errors */
        const double scale = (double)r->inv_temp;
        const double of_logp = 2.0 * scale * limit,
                     of_entropy = of_logp * (1.0 + size * scale);
        w->logp = fmax(w->logp, fabs((double)r->logp[head + t] - want[0]) / of_logp);
        w->entropy = fmax(w->entropy,
                          fabs((double)r->entropy[head + t] - want[1]) / of_entropy);
    }
}

static void test_forward(void **state)
{
    (void)state;
    static const int64_t len[] = {150, 1, 65};
    for (int64_t k = 0; k < ARRAY_LEN(shapes); k++) {
        struct judged j;
        struct small_run r;
        struct worst w = {0};
        judged_init(&j, &shapes[k], 3, len);
        assert_int_equal(small_run_init(&r, &j.s.m, ACTS_INFER, 7), 0);
        r.inv_temp = k % 2 == 0 ? 1.0f : 1.25f;
        for (int64_t i = 0; i < j.text.n; i++)
            small_add(&r, j.text.ids[i], len[i]);
        /* ACTS_INFER keeps one set of layer arrays, but every layer's experts */
        small_forward(&r);
        int64_t first = 0, head = 0;
        for (int64_t i = 0; i < j.text.n; i++) {
            check_sequence(&r, &j, i, first, head, &w);
            first += len[i];
            head += len[i] - 1;
        }
        print_message("  %-18s error / limit: logits %.3f logp %.3f entropy %.3f\n",
                      shapes[k].name, w.logits, w.logp, w.entropy);
        assert_true(w.logits <= 1.0 && w.logp <= 1.0 && w.entropy <= 1.0);
        small_run_release(&r);
        judged_release(&j);
    }
}

/* Padding rows of the vocabulary are left out of the softmax when n_softmax says so. */
static void test_softmax_columns(void **state)
{
    (void)state;
    static const int64_t len[] = {20};
    struct judged j;
    struct small_run r;
    judged_init(&j, &shapes[1], 1, len);
    j.s.m.n_softmax = j.o.n_softmax = 41;
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_INFER, 3), 0);
    for (int64_t t = 0; t < len[0]; t++)
        j.text.ids[0][t] %= 41;
    oracle_forward(&j.o, &j.out[0], j.text.ids[0]);
    small_add(&r, j.text.ids[0], len[0]);
    small_forward(&r);
    const double limit = 2.0 * (double)small_chain(&j.o.hp, 20) * tol_unit *
                         max_abs(j.out[0].logits, 20 * j.o.hp.n_vocab);
    for (int64_t t = 0; t + 1 < len[0]; t++) {
        double want[2];
        oracle_logp(&j.o, &j.out[0], t, j.text.ids[0][t + 1], 1.0, want);
        assert_true(fabs((double)r.logp[t] - want[0]) <= limit);
    }
    small_run_release(&r);
    judged_release(&j);
}

/* ---- gradients against finite differences ---- */

struct slope {
    struct judged *j;
    const struct small_run *r;
};

/* The loss whose gradients small_fill_loss gave, in double */
static double loss_of(const struct slope *f)
{
    double sum = 0.0;
    int64_t n = 0;
    for (int64_t i = 0; i < f->j->text.n; i++) {
        struct oracle_out *const out = &f->j->out[i];
        oracle_forward(&f->j->o, out, f->j->text.ids[i]);
        for (int64_t t = 0; t + 1 < out->n; t++, n++) {
            double v[2];
            oracle_logp(&f->j->o, out, t, f->j->text.ids[i][t + 1],
                        (double)f->r->inv_temp, v);
            sum += (double)f->r->dlogp[n] * v[0];
            if (f->r->has_dent)
                sum += (double)f->r->dent[n] * v[1];
        }
        if (f->r->aux_f != NULL)
            sum += oracle_balance(&f->j->o, out, f->r->aux_f, (double)f->r->z_coef);
    }
    return sum;
}

/* Slope along direction u (n) of the tensor's values, step h */
static double slope_along(const struct slope *f, double *x, const double *u, int64_t n,
                          double h)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += h * u[i];
    const double above = loss_of(f);
    for (int64_t i = 0; i < n; i++)
        x[i] -= 2.0 * h * u[i];
    const double below = loss_of(f);
    for (int64_t i = 0; i < n; i++)
        x[i] += h * u[i];
    return (above - below) / (2.0 * h);
}

/* Every entry at once: a random unit direction */
static double check_direction(const struct slope *f, const struct oracle_tensor *x,
                              const float *grad, double limit)
{
    double *const u = oracle_zeros(x->n);
    double norm = 0.0, want = 0.0;
    for (int64_t i = 0; i < x->n; i++) {
        u[i] = (double)rng_normal(3, RNG_TEST, (uint32_t)i, 0, 0, 0);
        norm += u[i] * u[i];
    }
    for (int64_t i = 0; i < x->n; i++) {
        u[i] /= sqrt(norm);
        want += u[i] * (double)grad[i];
    }
    const double got = slope_along(f, x->data, u, x->n, tol_slope_step);
    mem_free(u);
    /* n errors of at most `limit` with weights of either sign and norm 1: their sum is
     * of this order; 3 for its spread */
    return fabs(got - want) / (3.0 * limit);
}

/* Returns the largest error / limit over a direction and n_entries single entries. */
static double check_tensor(const struct slope *f, struct oracle_tensor *x,
                           int64_t n_entries)
{
    const struct hparams *const hp = &f->j->o.hp;
    float *const grad = mem_alloc((size_t)x->n * sizeof(float));
    piece_unpack(grad, f->r->g.data, DTYPE_F32, &x->piece);
    double size = 0.0;
    for (int64_t i = 0; i < x->n; i++)
        size = fmax(size, fabs((double)grad[i]));
    /* forward, the way back, and the sum over rows; see small_chain */
    const int64_t chain = 2 * small_chain(hp, f->r->t.n_rows) + f->r->t.n_rows;
    const double limit = (double)chain * tol_unit * size +
                         tol_slope * fmax(1.0, fabs(loss_of(f)));
    double worst = check_direction(f, x, grad, limit);
    const double one = 1.0;
    for (int64_t e = 0; e < n_entries; e++) {
        const bool is_table = x->piece.param->role == PARAM_EMBED;
        const int64_t k = x->piece.param->k;
        int64_t i = (int64_t)rng_below(5, RNG_TEST, (uint32_t)x->n, (uint32_t)e,
                                       (uint32_t)x->n, 0, 0);
        if (is_table) /* a row that is used */
            i = f->j->text.ids[0][e % f->j->text.len[0]] * k + i % k;
        const double got = slope_along(f, x->data + i, &one, 1, tol_slope_step);
        worst = fmax(worst, fabs(got - (double)grad[i]) / limit);
    }
    mem_free(grad);
    return worst;
}

static void check_gradients(struct judged *j, struct small_run *r)
{
    const struct slope f = {.j = j, .r = r};
    double worst = 0.0;
    for (int64_t i = 0; i < j->o.n_tensors; i++) {
        struct oracle_tensor *const x = &j->o.tensors[i];
        const int64_t n_entries = x->piece.param->n_mats > 1 ? 4 : 12;
        const double share = check_tensor(&f, x, n_entries);
        if (!(share <= 1.0))
            print_error("%s: error / limit %g\n", x->piece.name, share);
        worst = fmax(worst, share);
    }
    print_message("  %-18s largest error / limit of a gradient: %.3f\n", "", worst);
    assert_true(worst <= 1.0);
}

static void gradient_case(int64_t shape, int64_t n, const int64_t *len, bool has_dent,
                          const float *aux_f)
{
    struct judged j;
    struct small_run r;
    judged_init(&j, &shapes[shape], n, len);
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 5), 0);
    r.inv_temp = 1.25f;
    r.has_dent = has_dent;
    r.aux_f = aux_f;
    r.z_coef = aux_f == NULL ? 0.0f : 0.05f;
    for (int64_t i = 0; i < n; i++)
        small_add(&r, j.text.ids[i], len[i]);
    small_step(&r);
    model_grads_finish(&j.s.m, &r.g);
    check_gradients(&j, &r);
    small_run_release(&r);
    judged_release(&j);
}

static void test_gradients(void **state)
{
    (void)state;
    static const float f[] = {0.5f, -0.25f, 1.0f, 0.125f, 0.75f, -1.0f};
    static const int64_t two[] = {9, 5}, one[] = {12}, three[] = {6, 1, 4};
    gradient_case(0, 2, two, false, NULL);
    gradient_case(1, 1, one, true, f);
    gradient_case(2, 1, one, true, NULL);
    gradient_case(3, 3, three, true, f);
    gradient_case(4, 2, two, false, NULL);
    gradient_case(5, 2, two, false, f);
}

/* Two pages of keys, with a window that begins inside the first */
static void test_gradients_across_pages(void **state)
{
    (void)state;
    static const int64_t len[] = {75};
    const struct small_shape shape = {"two pages", 12, 8, 2,  2,  1,
                                      4,           3,  2, 70, 20, true};
    struct judged j;
    struct small_run r;
    judged_init(&j, &shape, 1, len);
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 16), 0);
    small_add(&r, j.text.ids[0], len[0]);
    small_step(&r);
    model_grads_finish(&j.s.m, &r.g);
    check_gradients(&j, &r);
    small_run_release(&r);
    judged_release(&j);
}

/* ---- bits ---- */

/* Four groups: shared full pages, a partial page copied, a prompt that ends with its
 * page, completions of one token. */
static void fill_groups(struct small_group g[4], const struct hparams *hp)
{
    static const struct small_group shape[4] = {
        {.n_prompt = 70, .n_samples = 4, .n_new = {3, 61, 1, 20}},
        {.n_prompt = 64, .n_samples = 3, .n_new = {2, 9, 70}},
        {.n_prompt = 5, .n_samples = 2, .n_new = {1, 1}},
        {.n_prompt = 130, .n_samples = 3, .n_new = {4, 1, 65}},
    };
    for (int64_t i = 0; i < 4; i++) {
        g[i] = shape[i];
        small_group_fill(&g[i], hp, (uint64_t)i + 50);
    }
}

static const float aux_of_bits[] = {0.5f,  -0.25f, 1.0f, 0.125f,
                                    0.75f, -1.0f,  2.0f, 0.0f};

/* Gradients of the four groups, as batches that end after the groups in `ends`. */
static void run_split(struct small_run *r, const struct small_group g[4],
                      const bool is_end[4])
{
    r->has_dent = true;
    r->aux_f = aux_of_bits;
    r->z_coef = 0.01f;
    r->inv_temp = 1.5f;
    for (int64_t i = 0; i < 4; i++) {
        small_add_group(r, &g[i]);
        if (is_end[i]) {
            small_step(r);
            small_next(r);
        }
    }
    model_grads_finish(r->m, &r->g);
}

static void assert_same_grads(const struct small_run *a, const struct small_run *b,
                              const char *what)
{
    const size_t bytes = (size_t)a->m->table.n_elems * sizeof(float);
    if (memcmp(a->g.data, b->g.data, bytes) == 0)
        return;
    for (int64_t i = 0; i < a->m->table.n; i++) {
        const struct param *const p = &a->m->table.items[i];
        if (memcmp(a->g.data + p->off, b->g.data + p->off,
                   (size_t)p->n_elems * sizeof(float)) != 0)
            print_error("%s: role %d of layer %d differs\n", what, (int)p->role,
                        (int)p->layer);
    }
    fail_msg("%s: gradients differ in bits", what);
}

static const bool whole[4] = {false, false, false, true};

/* Recomputing, and any split into batches, against everything kept in one batch */
static void test_gradient_bits(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(shapes); k++) {
        struct small_model s;
        struct small_run ref, r;
        struct small_group g[4];
        assert_int_equal(small_model_init(&s, &shapes[k], DTYPE_F32, 11), 0);
        fill_groups(g, &s.m.hp);
        assert_int_equal(small_run_init(&ref, &s.m, ACTS_KEEP, 64), 0);
        run_split(&ref, g, whole);
        /* all splits where something shares or ties; else the two extremes */
        const int64_t step = k == 1 || k == 3 ? 1 : 7;
        for (int64_t split = 0; split < 8; split += step) {
            const bool is_end[4] = {(split & 1) != 0, (split & 2) != 0,
                                    (split & 4) != 0, true};
            const enum acts_mode mode = split % 3 == 0 ? ACTS_RECOMPUTE : ACTS_KEEP;
            assert_int_equal(small_run_init(&r, &s.m, mode, split % 2 == 0 ? 64 : 13),
                             0);
            run_split(&r, g, is_end);
            assert_same_grads(&ref, &r, shapes[k].name);
            small_run_release(&r);
        }
        small_run_release(&ref);
        small_model_release(&s);
    }
}

/* The size of the head's chunks changes neither log-probs nor gradients. */
static void test_head_chunks(void **state)
{
    (void)state;
    static const int64_t chunk[] = {SMALL_ROWS, 1, 3, 100};
    struct small_model s;
    struct small_run r[2];
    struct small_group g[4];
    assert_int_equal(small_model_init(&s, &shapes[3], DTYPE_BF16, 12), 0);
    fill_groups(g, &s.m.hp);
    for (int64_t i = 0; i < ARRAY_LEN(chunk); i++) {
        struct small_run *const x = &r[i > 0];
        assert_int_equal(small_run_init(x, &s.m, ACTS_KEEP, chunk[i]), 0);
        run_split(x, g, whole);
        if (i == 0)
            continue;
        assert_same_grads(&r[0], x, "head chunks");
        assert_memory_equal(r[0].logp, x->logp, sizeof(x->logp));
        assert_memory_equal(r[0].entropy, x->entropy, sizeof(x->entropy));
        small_run_release(x);
    }
    small_run_release(&r[0]);
    small_model_release(&s);
}

/* A completion in its group and as a sequence of its own: equal log-probs in bits;
 * gradients equal the sum over the sequences. */
static void compare_group(const struct small_model *s, const struct small_group *g)
{
    struct small_run group, alone;
    assert_int_equal(small_run_init(&group, &s->m, ACTS_KEEP, 32), 0);
    assert_int_equal(small_run_init(&alone, &s->m, ACTS_KEEP, 32), 0);
    small_add_group(&group, g);
    small_step(&group);
    int64_t n = 0;
    for (int64_t k = 0; k < g->n_samples; k++) {
        int32_t ids[SMALL_MAX_PROMPT + SMALL_MAX_NEW];
        memcpy(ids, g->prompt, (size_t)g->n_prompt * sizeof(*ids));
        memcpy(ids + g->n_prompt, g->new_ids[k], (size_t)g->n_new[k] * sizeof(*ids));
        small_next(&alone);
        small_add(&alone, ids, g->n_prompt + g->n_new[k]);
        small_forward(&alone);
        memset(alone.dlogp, 0, sizeof(alone.dlogp));
        const int64_t head = g->n_prompt - 1;
        for (int64_t t = 0; t < g->n_new[k]; t++)
            alone.dlogp[head + t] = group.dlogp[n + t];
        assert_memory_equal(alone.logp + head, group.logp + n,
                            (size_t)g->n_new[k] * sizeof(float));
        assert_memory_equal(alone.entropy + head, group.entropy + n,
                            (size_t)g->n_new[k] * sizeof(float));
        small_backward(&alone);
        n += g->n_new[k];
    }
    model_grads_finish(&s->m, &group.g);
    model_grads_finish(&s->m, &alone.g);
    const int64_t chain = 2 * small_chain(&s->m.hp, group.t.n_rows) + group.t.n_rows;
    for (int64_t i = 0; i < s->m.table.n; i++) {
        const struct param *const p = &s->m.table.items[i];
        double size = 0.0, error = 0.0;
        for (int64_t e = p->off; e < p->off + p->n_elems; e++) {
            size = fmax(size, fabs((double)alone.g.data[e]));
            error = fmax(error,
                         fabs((double)alone.g.data[e] - (double)group.g.data[e]));
        }
        assert_true(error <= (double)chain * tol_unit * size);
    }
    small_run_release(&group);
    small_run_release(&alone);
}

static void test_group_equals_alone(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(shapes); k++) {
        struct small_model s;
        struct small_group g[4];
        assert_int_equal(small_model_init(&s, &shapes[k], DTYPE_F32, 13), 0);
        fill_groups(g, &s.m.hp);
        for (int64_t i = 0; i < 4; i++)
            compare_group(&s, &g[i]);
        small_model_release(&s);
    }
}

static void run_pair(struct small_run *r, const struct small_model *s,
                     const struct small_group g[4])
{
    assert_int_equal(small_run_init(r, &s->m, ACTS_KEEP, 50), 0);
    r->has_dent = true;
    small_add_group(r, &g[0]);
    small_add_group(r, &g[2]);
    small_step(r);
    model_grads_finish(r->m, &r->g);
}

/* A whole forward and backward on every instruction set and 1, 2, 3 threads */
static void test_machine_bits(void **state)
{
    (void)state;
    for (int64_t k = 1; k <= 3; k += 2) {
        struct small_model s;
        struct small_group g[4];
        struct small_run r[2];
        assert_int_equal(small_model_init(&s, &shapes[k], DTYPE_BF16, 14), 0);
        fill_groups(g, &s.m.hp);
        run_pair(&r[0], &s, g);
        for (enum cpu_isa isa = CPU_ISA_PORTABLE; isa <= cpu_isa_best(); isa++)
            for (int threads = 1; threads <= 3; threads++) {
                cpu_backend_release(&s.b);
                assert_int_equal(cpu_backend_init(&s.b, isa, threads), 0);
                run_pair(&r[1], &s, g);
                assert_same_grads(&r[0], &r[1], s.b.name);
                assert_memory_equal(r[0].logp, r[1].logp, sizeof(r[0].logp));
                small_run_release(&r[1]);
            }
        small_run_release(&r[0]);
        small_model_release(&s);
    }
}

/* Counts and masses of the routers against the oracle's */
static void test_router_sums(void **state)
{
    (void)state;
    static const int64_t len[] = {40, 7};
    struct judged j;
    struct small_run r;
    judged_init(&j, &shapes[1], 2, len);
    const struct hparams *const hp = &j.o.hp;
    assert_int_equal(small_run_init(&r, &j.s.m, ACTS_KEEP, 5), 0);
    for (int64_t i = 0; i < 2; i++)
        small_add(&r, j.text.ids[i], len[i]);
    small_forward(&r);
    double prob[8], count[8], z = 0.0, want_prob[8] = {0}, want_count[8] = {0},
                              want_z = 0.0;
    model_router_sums(&j.s.m, &r.a, &r.t, prob, count, &z);
    for (int64_t i = 0; i < 2; i++)
        for (int64_t row = 0; row < hp->n_layers * len[i]; row++) {
            const double *const x = j.out[i].router + row * hp->n_experts;
            const double lse = oracle_logsumexp(x, hp->n_experts, 1.0);
            want_z += lse * lse;
            for (int64_t e = 0; e < hp->n_experts; e++)
                want_prob[e] += exp(x[e] - lse);
            for (int64_t s = 0; s < hp->top_k; s++)
                want_count[j.out[i].experts[row * hp->top_k + s]] += 1.0;
        }
    const double limit = (double)small_chain(hp, 40) * tol_unit * 20.0;
    assert_true(fabs(z - want_z) <= limit * want_z);
    for (int64_t e = 0; e < hp->n_experts; e++) {
        assert_true(count[e] == want_count[e]);
        assert_true(fabs(prob[e] - want_prob[e]) <= limit * want_prob[e]);
    }
    small_run_release(&r);
    judged_release(&j);
}

static void test_softmax_needs_tokens(void **state)
{
    (void)state;
    struct small_model s;
    struct model m;
    assert_int_equal(small_model_init(&s, &shapes[0], DTYPE_F32, 1), 0);
    assert_int_equal(model_init(&m, &s.b, &s.w.hp, s.w.data, DTYPE_F32, 8, 97),
                     ERR_INPUT);
    assert_non_null(strstr(status_message(), "97"));
    assert_int_equal(model_init(&m, &s.b, &s.w.hp, s.w.data, DTYPE_F32, 8, 0),
                     ERR_INPUT);
    small_model_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_softmax_columns),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_across_pages),
        cmocka_unit_test(test_gradient_bits),
        cmocka_unit_test(test_head_chunks),
        cmocka_unit_test(test_group_equals_alone),
        cmocka_unit_test(test_machine_bits),
        cmocka_unit_test(test_router_sums),
        cmocka_unit_test(test_softmax_needs_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
