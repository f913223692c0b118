/*
 * The optimiser over a parameter table: AdamW, clipping and decay against the formulas
 * in double, the rounded copy, schedules, and gradients that are not finite.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/mem.h"
#include "model/optim.h"
#include "tests/model/small_model.h"

enum { N_STEPS = 4 };

/* The formulas, element by element */
struct reference {
    double *w, *m, *v, *g;
    double l2, l1, scale;
    int64_t n;
};

static double *doubles(int64_t n) { return mem_alloc((size_t)n * sizeof(double)); }

static void reference_init(struct reference *r, const struct weights *w)
{
    *r = (struct reference){.n = w->table.n_elems};
    r->w = doubles(r->n);
    r->m = doubles(r->n);
    r->v = doubles(r->n);
    r->g = doubles(r->n);
    for (int64_t i = 0; i < r->n; i++)
        r->w[i] = (double)dtype_get(w->data, w->dtype, i);
}

static void reference_release(struct reference *r)
{
    mem_free(r->w);
    mem_free(r->m);
    mem_free(r->v);
    mem_free(r->g);
}

static void reference_clip(struct reference *r, const struct optim_args *a)
{
    double sq = 0.0;
    r->l1 = 0.0;
    for (int64_t i = 0; i < r->n; i++) {
        sq += r->g[i] * r->g[i];
        r->l1 += fabs(r->g[i]);
    }
    r->l2 = sqrt(sq);
    r->scale = 1.0;
    if (a->clip_l2 > 0.0)
        r->scale = fmin(1.0, a->clip_l2 / (r->l2 + 1e-6));
    if (a->clip_l1 > 0.0)
        r->scale *= fmin(1.0, a->clip_l1 / (r->l1 * r->scale + 1e-6));
}

static void reference_step(struct reference *r, const struct param_table *t,
                           const struct optim_args *a, int step)
{
    reference_clip(r, a);
    for (int64_t p = 0; p < t->n; p++) {
        const double decay = t->items[p].is_decayed ? a->weight_decay : 0.0;
        const int64_t end = t->items[p].off + t->items[p].n_elems;
        for (int64_t i = t->items[p].off; i < end; i++) {
            const double g = r->g[i] * r->scale;
            r->m[i] = a->beta1 * r->m[i] + (1.0 - a->beta1) * g;
            r->v[i] = a->beta2 * r->v[i] + (1.0 - a->beta2) * g * g;
            const double m = r->m[i] / (1.0 - pow(a->beta1, step));
            const double v = r->v[i] / (1.0 - pow(a->beta2, step));
            r->w[i] *= 1.0 - a->lr * decay;
            r->w[i] -= a->lr * m / (sqrt(v) + a->eps);
        }
    }
}

/* A gradient in the arena's layout: padding 0, some exact zeros, sizes from 1e-6 to 1
 */
static void random_gradient(float *g, const struct weights *w, uint32_t step)
{
    memset(g, 0, (size_t)w->table.n_elems * sizeof(float));
    for (int64_t i = 0; i < pieces_count(&w->table, &w->hp); i++) {
        struct piece p;
        piece_get(&p, &w->table, &w->hp, i);
        const int64_t n = p.n_rows * p.param->k;
        float *const x = mem_alloc((size_t)n * sizeof(float));
        for (int64_t j = 0; j < n; j++) {
            const float size = powf(10.0f, -(float)(j % 7));
            x[j] = j % 11 == 0 ? 0.0f
                               : size * rng_normal(9, RNG_TEST, (uint32_t)j,
                                                   (uint32_t)i, step, 0);
        }
        piece_pack(g, DTYPE_F32, x, DTYPE_F32, &p);
        mem_free(x);
    }
}

static void check_weights(const struct optim *o, const struct weights *w,
                          const struct reference *r, const struct optim_args *a,
                          int step, double of_beta)
{
    for (int64_t i = 0; i < r->n; i++) {
        /* Per step: decay and subtraction round w (3); the update, at most a few lr,
         * comes from m, v, two quotients, a root (12 roundings), and m and v have
         * collected 3 per step before. of_beta: betas rounded to fp32. */
        const double update = a->lr * (1.0 + fabs(r->m[i]) / (sqrt(r->v[i]) + a->eps));
        const double limit = step * (tol_steps(3, fabs(r->w[i]) + a->lr) +
                                     tol_steps(12 + 3 * step, 4.0 * update) +
                                     of_beta * update);
        if (!(fabs((double)o->master[i] - r->w[i]) <= limit))
            fail_msg("step %d, element %d: %.9g, expected %.9g", step, (int)i,
                     (double)o->master[i], r->w[i]);
        float rounded = 0.0f;
        dtype_put(&rounded, w->dtype, 0, o->master[i]);
        assert_true(dtype_get(w->data, w->dtype, i) ==
                    dtype_get(&rounded, w->dtype, 0));
    }
}

static void run_steps(enum dtype dtype, const struct optim_args *args, double of_beta)
{
    struct small_model s;
    struct optim o;
    struct reference ref;
    struct optim_report report;
    assert_int_equal(small_model_init(&s, &small_shapes[3], dtype, 3), 0);
    reference_init(&ref, &s.w);
    assert_int_equal(optim_init(&o, &s.b, &s.w.table, s.w.data, dtype, OPTIM_ON_DEVICE),
                     0);
    assert_true((o.copy == NULL) == (dtype == DTYPE_F32));
    float *const g = mem_alloc((size_t)ref.n * sizeof(float));
    for (int step = 1; step <= N_STEPS; step++) {
        random_gradient(g, &s.w, (uint32_t)step);
        for (int64_t i = 0; i < ref.n; i++)
            ref.g[i] = (double)g[i];
        reference_step(&ref, &s.w.table, args, step);
        assert_int_equal(optim_step(&o, g, args, &report), 0);
        assert_int_equal(o.n_updates, step);
        /* norms are sums in double of at most 1e5 terms */
        assert_true(fabs(report.grad_l2 - ref.l2) <= 1e-11 * ref.l2);
        assert_true(fabs(report.grad_l1 - ref.l1) <= 1e-11 * ref.l1);
        assert_true(fabs(report.scale - ref.scale) <= 1e-11 * ref.scale);
        check_weights(&o, &s.w, &ref, args, step, of_beta);
    }
    mem_free(g);
    optim_release(&o);
    reference_release(&ref);
    small_model_release(&s);
}

/* betas that fp32 holds exactly */
static void test_adamw(void **state)
{
    (void)state;
    static const struct optim_args plain = {
        .lr = 1e-3, .beta1 = 0.875, .beta2 = 0.96875, .eps = 1e-8, .weight_decay = 0.1};
    run_steps(DTYPE_F32, &plain, 0.0);
    run_steps(DTYPE_BF16, &plain, 0.0);
    run_steps(DTYPE_F16, &plain, 0.0);
}

/* 1 - 0.999 in fp32 is off by 1.3e-5 of itself, its root by half of that */
static void test_usual_betas(void **state)
{
    (void)state;
    static const struct optim_args usual = {.lr = 1e-3,
                                            .beta1 = 0.9,
                                            .beta2 = 0.999,
                                            .eps = 1e-8,
                                            .weight_decay = 0.01,
                                            .clip_l2 = 1.0};
    run_steps(DTYPE_F32, &usual, 2e-5);
}

static void test_clipping(void **state)
{
    (void)state;
    /* L2 alone, L1 alone, both active, both off by their size */
    static const double clip[][2] = {{0.5, 0.0}, {0.0, 3.0}, {2.0, 3.0}, {1e9, 1e9}};
    for (int64_t i = 0; i < ARRAY_LEN(clip); i++) {
        const struct optim_args args = {.lr = 1e-2,
                                        .beta1 = 0.5,
                                        .beta2 = 0.75,
                                        .eps = 1e-4,
                                        .clip_l2 = clip[i][0],
                                        .clip_l1 = clip[i][1]};
        run_steps(DTYPE_F32, &args, 0.0);
    }
}

/* No weight, moment or counter moves. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const struct optim_args args = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_l2 = 1.0};
    struct small_model s;
    struct optim o;
    struct optim_report report = {.scale = -7.0};
    assert_int_equal(small_model_init(&s, &small_shapes[1], DTYPE_BF16, 3), 0);
    assert_int_equal(
        optim_init(&o, &s.b, &s.w.table, s.w.data, DTYPE_BF16, OPTIM_ON_DEVICE), 0);
    const size_t n = (size_t)s.w.table.n_elems;
    float *const g = mem_alloc(n * sizeof(float));
    uint16_t *const before = mem_alloc(n * sizeof(*before));
    memcpy(before, s.w.data, n * sizeof(*before));
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        memset(g, 0, n * sizeof(float));
        g[(int64_t)n / 2 + i] = bad[i];
        assert_int_equal(optim_step(&o, g, &args, &report), ERR_NUMERIC);
        assert_int_equal(o.n_updates, 0);
        assert_true(report.scale == -7.0);
        assert_memory_equal(before, s.w.data, n * sizeof(*before));
        for (size_t j = 0; j < n; j++)
            assert_true(o.m[j] == 0.0f && o.v[j] == 0.0f);
    }
    mem_free(g);
    mem_free(before);
    optim_release(&o);
    small_model_release(&s);
}

/* A frozen router keeps weight, master and moments, whatever gradient and decay. */
static void test_frozen_router(void **state)
{
    (void)state;
    static const struct optim_args args = {.lr = 1e-2,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .weight_decay = 0.1,
                                           .is_router_frozen = true};
    struct small_model s;
    struct optim o;
    struct optim_report report;
    assert_int_equal(small_model_init(&s, &small_shapes[1], DTYPE_BF16, 3), 0);
    assert_int_equal(
        optim_init(&o, &s.b, &s.w.table, s.w.data, DTYPE_BF16, OPTIM_ON_DEVICE), 0);
    const size_t n = (size_t)s.w.table.n_elems;
    float *const g = mem_alloc(n * sizeof(float));
    float *const before = mem_alloc(n * sizeof(float));
    memcpy(before, o.master, n * sizeof(float));
    random_gradient(g, &s.w, 1);
    assert_int_equal(optim_step(&o, g, &args, &report), 0);
    for (int64_t i = 0; i < s.w.table.n; i++) {
        const struct param *const p = &s.w.table.items[i];
        const size_t bytes = (size_t)p->n_elems * sizeof(float);
        const bool is_same = memcmp(before + p->off, o.master + p->off, bytes) == 0;
        assert_true(is_same == (p->role == PARAM_ROUTER));
        for (int64_t e = p->off; is_same && e < p->off + p->n_elems; e++) {
            assert_true(o.m[e] == 0.0f && o.v[e] == 0.0f);
            assert_true(dtype_get(s.w.data, DTYPE_BF16, e) == before[e]);
        }
    }
    mem_free(before);
    mem_free(g);
    optim_release(&o);
    small_model_release(&s);
}

struct counted {
    int64_t n_device, n_host; /* blocks held */
};

static int device_reserve(struct backend *b, void **out, size_t bytes, const char *what)
{
    ((struct counted *)b->state)->n_device++;
    return mem_reserve(out, bytes, what);
}

static void device_release(struct backend *b, void *p, size_t bytes)
{
    ((struct counted *)b->state)->n_device--;
    mem_release(p, bytes);
}

static int host_reserve(struct backend *b, void **out, size_t bytes, const char *what)
{
    ((struct counted *)b->state)->n_host++;
    return mem_reserve(out, bytes, what);
}

static void host_release(struct backend *b, void *p, size_t bytes)
{
    ((struct counted *)b->state)->n_host--;
    mem_release(p, bytes);
}

static int refuse(struct backend *b, void **out, size_t bytes, const char *what)
{
    (void)b, (void)out;
    return ERR(ERR_MEMORY, "%s: %zu bytes refused", what, bytes);
}

/* The same weights wherever the state lies; each block goes back where it came from. */
static void test_places(void **state)
{
    (void)state;
    static const struct optim_args args = {.lr = 1e-2,
                                           .beta1 = 0.9,
                                           .beta2 = 0.999,
                                           .eps = 1e-8,
                                           .weight_decay = 0.1,
                                           .clip_l2 = 1.0};
    static const struct counted want[] = {{1, 0}, {1, 1}, {0, 1}};
    uint16_t *first = NULL;
    for (int64_t place = OPTIM_ON_DEVICE; place <= OPTIM_ON_HOST; place++) {
        struct small_model s;
        struct optim o;
        struct optim_report report;
        struct counted held = {0};
        assert_int_equal(small_model_init(&s, &small_shapes[1], DTYPE_BF16, 3), 0);
        struct backend b = s.b; /* its ops do not ask for the state */
        b.state = &held;
        b.reserve = device_reserve, b.release = device_release;
        b.reserve_host = host_reserve, b.release_host = host_release;
        assert_int_equal(optim_init(&o, &b, &s.w.table, s.w.data, DTYPE_BF16,
                                    (enum optim_place)place),
                         0);
        assert_memory_equal(&held, &want[place], sizeof(held));
        o.b = &s.b;
        const size_t bytes = (size_t)s.w.table.n_elems * sizeof(uint16_t);
        float *const g = mem_alloc(2 * bytes);
        random_gradient(g, &s.w, 1);
        assert_int_equal(optim_step(&o, g, &args, &report), 0);
        if (first == NULL) {
            first = mem_alloc(bytes);
            memcpy(first, s.w.data, bytes);
        }
        assert_memory_equal(first, s.w.data, bytes);
        o.b = &b;
        optim_release(&o);
        assert_true(held.n_device == 0 && held.n_host == 0);
        b.reserve_host = refuse; /* what was reserved before goes back as well */
        if (place == OPTIM_MOMENTS_ON_HOST) {
            assert_int_equal(optim_init(&o, &b, &s.w.table, s.w.data, DTYPE_BF16,
                                        (enum optim_place)place),
                             ERR_MEMORY);
            optim_release(&o);
            assert_int_equal(held.n_device, 0);
        }
        mem_free(g);
        small_model_release(&s);
    }
    mem_free(first);
}

static void test_bytes(void **state)
{
    (void)state;
    struct small_model s;
    assert_int_equal(small_model_init(&s, &small_shapes[0], DTYPE_F32, 3), 0);
    const size_t one = (size_t)s.w.table.n_elems * sizeof(float);
    /* arrays of fp32 on the device and on the host, by place */
    static const size_t n_device[][2] = {{2, 3}, {0, 1}, {0, 0}};
    static const size_t n_host[][2] = {{0, 0}, {2, 2}, {2, 3}};
    for (int64_t place = OPTIM_ON_DEVICE; place <= OPTIM_ON_HOST; place++)
        for (int64_t narrow = 0; narrow < 2; narrow++) {
            const struct optim_bytes got = optim_bytes(
                &s.w.table, narrow ? DTYPE_BF16 : DTYPE_F32, (enum optim_place)place);
            const size_t device = n_device[place][narrow] * one;
            const size_t host = n_host[place][narrow] * one;
            assert_in_range(got.device, device, device + 256);
            assert_in_range(got.host, host, host + 256);
        }
    static const struct {
        size_t room; /* arrays of fp32 */
        enum optim_place want;
    } fit[] = {{4, OPTIM_ON_DEVICE}, {2, OPTIM_MOMENTS_ON_HOST}, {0, OPTIM_ON_HOST}};
    for (int64_t i = 0; i < ARRAY_LEN(fit); i++)
        assert_int_equal(optim_place_fit(&s.w.table, DTYPE_BF16, OPTIM_ON_DEVICE,
                                         OPTIM_ON_HOST, fit[i].room * one + 256),
                         fit[i].want);
    assert_int_equal(
        optim_place_fit(&s.w.table, DTYPE_BF16, OPTIM_ON_DEVICE, OPTIM_ON_DEVICE, 0),
        OPTIM_ON_DEVICE);
    small_model_release(&s);
}

static void assert_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-15 + 1e-13 * fabs(want)))
        fail_msg("%.17g, expected %.17g", got, want);
}

static void test_schedules(void **state)
{
    (void)state;
    /* warm-up of 4: 1/5 .. 4/5, then the peak */
    for (int64_t u = 0; u < 4; u++)
        for (enum optim_schedule s = OPTIM_CONSTANT; s <= OPTIM_COSINE; s++)
            assert_near(optim_lr(s, 2.0, 0.5, 4, 15, u), 2.0 * (double)(u + 1) / 5.0);
    for (int64_t u = 4; u < 15; u++) {
        const double x = (double)(u - 4) / 10.0, half_turn = acos(-1.0) * x;
        assert_near(optim_lr(OPTIM_CONSTANT, 2.0, 0.5, 4, 15, u), 2.0);
        assert_near(optim_lr(OPTIM_LINEAR, 2.0, 0.5, 4, 15, u), 2.0 - 1.5 * x);
        assert_near(optim_lr(OPTIM_COSINE, 2.0, 0.5, 4, 15, u),
                    0.5 + 0.75 * (1.0 + cos(half_turn)));
    }
    /* the n-th update is at `last`, later ones stay there */
    assert_near(optim_lr(OPTIM_LINEAR, 2.0, 0.5, 4, 15, 14), 0.5);
    assert_near(optim_lr(OPTIM_COSINE, 2.0, 0.5, 0, 3, 2), 0.5);
    assert_near(optim_lr(OPTIM_LINEAR, 2.0, 0.5, 0, 3, 9), 0.5);
    /* a run of one update, a warm-up longer than the run */
    assert_near(optim_lr(OPTIM_COSINE, 2.0, 0.5, 0, 1, 0), 2.0);
    assert_near(optim_lr(OPTIM_LINEAR, 2.0, 0.5, 9, 3, 2), 0.6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),         cmocka_unit_test(test_usual_betas),
        cmocka_unit_test(test_clipping),      cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_frozen_router), cmocka_unit_test(test_places),
        cmocka_unit_test(test_bytes),         cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
