/*
 * A learner on a small model with a few short groups that it sampled itself: what the
 * tests of the learner's routers, scans and reference start from.
 */
#ifndef TESTS_GRPO_LEARNER_CASE_H
#define TESTS_GRPO_LEARNER_CASE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "grpo/learner.h"
#include "rollout/rollout.h"
#include "tests/model/oracle.h"
#include "tests/model/small_model.h"

#define CASE_FN static inline __attribute__((unused))

enum { CASE_P = 3, CASE_G = 2, CASE_PROMPT = 12, CASE_NEW = 6, CASE_WORDS = 8 };

struct learner_case {
    struct small_model s;
    struct config c;
    struct groups g;
    struct learner *l;
    struct comm *comm; /* borrowed */
};

/* Options beside the usual ones, as section.key=value */
CASE_FN void case_config(struct config *c, const char *const *words, int n)
{
    static const char *const usual[] = {
        "rollout.group_size=2", "rollout.max_new=6", "data.max_prompt=12",
        "grpo.prompts=3",       "grpo.leaves=2",     "learner.micro_tokens=20",
        "learner.head_rows=5",  "optim.lr=0.001"};
    char *argv[ARRAY_LEN(usual) + CASE_WORDS];
    int argc = 0;
    for (int i = 0; i < (int)ARRAY_LEN(usual); i++)
        argv[argc++] = mem_strdup(usual[i]);
    for (int i = 0; i < n && words[i] != NULL; i++)
        argv[argc++] = mem_strdup(words[i]);
    assert_int_equal(config_parse(c, argc, argv), 0);
    for (int i = 0; i < argc; i++)
        mem_free(argv[i]);
}

CASE_FN void case_sample(struct learner_case *x)
{
    static const int64_t prompt_len[CASE_P] = {9, 1, 12}, slots[CASE_P] = {0, 1, 2};
    const struct rollout_limits limits = {
        .n_slots = 4, .max_prompt = CASE_PROMPT, .max_new = CASE_NEW};
    const struct rollout_args args = {.temperature = (float)x->c.rollout.temperature,
                                      .top_p = 1.0f,
                                      .seed = 5,
                                      .max_new = CASE_NEW,
                                      .is_eos_ignored = true};
    struct rollout *r = NULL;
    assert_int_equal(rollout_create(&r, &x->s.m, NULL, &limits), 0);
    for (int64_t p = 0; p < CASE_P; p++) {
        int32_t ids[CASE_PROMPT];
        small_ids(ids, prompt_len[p], &x->s.m.hp, 90, (uint32_t)p);
        groups_set_prompt(&x->g, p, p, ids, prompt_len[p]);
    }
    assert_int_equal(rollout_run(r, &x->g, slots, CASE_P, &args, NULL, NULL, NULL), 0);
    for (int64_t i = 0; i < CASE_P * CASE_G; i++)
        x->g.info[i].reward = (float)(i % 2) - 0.25f * (float)(i % 3);
    groups_info(&x->g, 2, 1)->n_tokens = 3;
    groups_info(&x->g, 0, 1)->n_tokens = 1; /* has no row of its own */
    rollout_free(r);
}

CASE_FN void case_start(struct learner_case *x, struct comm *comm, int64_t shape,
                        enum dtype dtype, uint64_t seed, const char *const *words)
{
    *x = (struct learner_case){.comm = comm};
    case_config(&x->c, words, words == NULL ? 0 : CASE_WORDS);
    assert_int_equal(small_model_init(&x->s, &small_shapes[shape], dtype, seed), 0);
    const int64_t width = x->s.m.hp.n_layers * x->s.m.hp.top_k;
    assert_int_equal(groups_init(&x->g, CASE_P, CASE_G, CASE_PROMPT, CASE_NEW, width),
                     0);
    case_sample(x);
    const struct learner_setup setup_of = {
        .m = &x->s.m, .comm = comm, .config = &x->c, .data = x->s.w.data};
    assert_int_equal(learner_create(&x->l, &setup_of), 0);
    assert_int_equal(learner_begin(x->l, &x->g), 0);
}

CASE_FN void case_stop(struct learner_case *x)
{
    learner_free(x->l);
    groups_release(&x->g);
    config_release(&x->c);
    small_model_release(&x->s);
}

CASE_FN int case_update(struct learner_case *x, bool is_on_policy,
                        struct learner_report *r)
{
    const struct minibatch mb = {
        .g = &x->g, .n = CASE_P, .lr = x->c.optim.lr, .is_on_policy = is_on_policy};
    return learner_update(x->l, &mb, r);
}

/* Weights, master and moments */
CASE_FN bool case_is_same(const struct learner_case *a, const struct learner_case *b)
{
    const size_t n = (size_t)a->s.w.table.n_elems;
    const struct optim *const oa = learner_optim(a->l), *const ob = learner_optim(b->l);
    return memcmp(a->s.w.data, b->s.w.data, n * dtype_bytes(a->s.w.dtype)) == 0 &&
           memcmp(oa->master, ob->master, n * sizeof(float)) == 0 &&
           memcmp(oa->m, ob->m, n * sizeof(float)) == 0 &&
           memcmp(oa->v, ob->v, n * sizeof(float)) == 0;
}

#endif
