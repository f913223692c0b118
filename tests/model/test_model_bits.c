/*
 * The promises about bits: kept or recomputed activations, batches split anywhere, head
 * chunks, groups against sequences alone, threads and instruction sets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/model/small_model.h"

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
    for (int64_t k = 0; k < ARRAY_LEN(small_shapes); k++) {
        struct small_model s;
        struct small_run ref, r;
        struct small_group g[4];
        assert_int_equal(small_model_init(&s, &small_shapes[k], DTYPE_F32, 11), 0);
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
            assert_same_grads(&ref, &r, small_shapes[k].name);
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
    assert_int_equal(small_model_init(&s, &small_shapes[3], DTYPE_BF16, 12), 0);
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
    for (int64_t k = 0; k < ARRAY_LEN(small_shapes); k++) {
        struct small_model s;
        struct small_group g[4];
        assert_int_equal(small_model_init(&s, &small_shapes[k], DTYPE_F32, 13), 0);
        fill_groups(g, &s.m.hp);
        for (int64_t i = 0; i < 4; i++)
            compare_group(&s, &g[i]);
        small_model_release(&s);
    }
}

static void run_pair(struct small_run *r, const struct small_model *s,
                     const struct small_group g[4])
{
    assert_int_equal(small_run_init(r, &s->m, ACTS_KEEP, 128), 0);
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
    struct small_model s;
    struct small_group g[4];
    struct small_run r[2];
    assert_int_equal(small_model_init(&s, &small_shapes[3], DTYPE_BF16, 14), 0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_bits),
        cmocka_unit_test(test_head_chunks),
        cmocka_unit_test(test_group_equals_alone),
        cmocka_unit_test(test_machine_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
