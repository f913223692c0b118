/*
 * A learner on a small random model with sampled groups: what the learner's tests start
 * from. One group has equal rewards, two completions have one token.
 */
#ifndef TESTS_GRPO_LEARNER_SETTING_H
#define TESTS_GRPO_LEARNER_SETTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "grpo/learner.h"
#include "rollout/rollout.h"
#include "tests/model/small_model.h"

enum { P = 6, G = 4, MAX_PROMPT = 80, MAX_NEW = 24, FLAT = 2 };

struct setting {
    struct small_model s;
    struct config c;
    struct groups g;
    struct learner *l;
    struct model ref; /* zero: none */
    void *ref_data;
};

static struct comm *self;

SMALL_FN int setup(void **state)
{
    (void)state;
    return comm_world_create(&self, NULL, NULL);
}

SMALL_FN int teardown(void **state)
{
    (void)state;
    comm_free(self);
    return 0;
}

SMALL_FN void config_start(struct config *c)
{
    static char words[][40] = {"rollout.group_size=4",     "rollout.max_new=24",
                               "rollout.temperature=0.85", "data.max_prompt=80",
                               "grpo.prompts=6",           "grpo.leaves=4",
                               "grpo.entropy_coef=0.01",   "learner.micro_tokens=150",
                               "learner.head_rows=16",     "optim.lr=0.001",
                               "optim.clip_l2=0.5"};
    char *argv[ARRAY_LEN(words)];
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        argv[i] = words[i];
    assert_int_equal(config_parse(c, (int)ARRAY_LEN(words), argv), 0);
}

/* Samples of the model as it is; made-up rewards, one group of equal ones. */
SMALL_FN void sample_groups(struct setting *x)
{
    static const int64_t prompt_len[P] = {70, 3, 20, 64, 80, 1},
                         slots[P] = {0, 1, 2, 3, 4, 5};
    const struct rollout_limits limits = {
        .n_slots = 24, .max_prompt = MAX_PROMPT, .max_new = MAX_NEW};
    const struct rollout_args args = {.temperature = (float)x->c.rollout.temperature,
                                      .top_p = 1.0f,
                                      .seed = 5,
                                      .max_new = MAX_NEW};
    struct rollout *r = NULL;
    assert_int_equal(rollout_create(&r, &x->s.m, NULL, &limits), 0);
    for (int64_t p = 0; p < P; p++) {
        int32_t ids[MAX_PROMPT];
        small_ids(ids, prompt_len[p], &x->s.m.hp, 900, (uint32_t)p);
        groups_set_prompt(&x->g, p, p, ids, prompt_len[p]);
    }
    assert_int_equal(rollout_run(r, &x->g, slots, P, &args, NULL, NULL, NULL), 0);
    for (int64_t p = 0; p < P; p++)
        for (int64_t s = 0; s < G; s++)
            groups_info(&x->g, p, s)->reward =
                p == FLAT ? 1.0f : (float)((p + s) % 4 == 0) + 0.25f * (float)(s % 2);
    /* completions of one token have no rows of their own */
    groups_info(&x->g, 1, 2)->n_tokens = 1;
    groups_info(&x->g, 4, 0)->n_tokens = 1;
    rollout_free(r);
}

SMALL_FN void start(struct setting *x, int64_t shape, enum dtype dtype)
{
    *x = (struct setting){0};
    config_start(&x->c);
    assert_int_equal(small_model_init(&x->s, &small_shapes[shape], dtype, 41), 0);
    x->s.m.hp.n_eos = 1;
    x->s.m.hp.eos_ids[0] = 7;
    const int64_t width = x->s.m.hp.n_layers * x->s.m.hp.top_k;
    assert_int_equal(groups_init(&x->g, P, G, MAX_PROMPT, MAX_NEW, width), 0);
    sample_groups(x);
}

/* A frozen copy of the model as it is now */
SMALL_FN void start_ref(struct setting *x)
{
    const size_t bytes = (size_t)x->s.w.table.n_elems * dtype_bytes(x->s.w.dtype);
    x->ref_data = mem_alloc(bytes);
    memcpy(x->ref_data, x->s.w.data, bytes);
    assert_int_equal(model_init(&x->ref, &x->s.b, &x->s.w.hp, x->ref_data, x->s.w.dtype,
                                SMALL_MAX_POS, x->s.w.hp.n_vocab),
                     0);
}

SMALL_FN void start_learner(struct setting *x)
{
    const struct learner_setup setup_of = {.m = &x->s.m,
                                           .ref = x->ref_data == NULL ? NULL : &x->ref,
                                           .comm = self,
                                           .config = &x->c,
                                           .data = x->s.w.data};
    assert_int_equal(learner_create(&x->l, &setup_of), 0);
}

SMALL_FN void stop(struct setting *x)
{
    learner_free(x->l);
    groups_release(&x->g);
    config_release(&x->c);
    if (x->ref_data != NULL)
        model_release(&x->ref);
    mem_free(x->ref_data);
    small_model_release(&x->s);
}

SMALL_FN int update(struct setting *x, bool is_on_policy, struct learner_report *r)
{
    const struct minibatch mb = {
        .g = &x->g, .n = P, .lr = x->c.optim.lr, .is_on_policy = is_on_policy};
    assert_int_equal(learner_begin(x->l, &x->g), 0);
    return learner_update(x->l, &mb, r);
}

#endif
