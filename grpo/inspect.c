/*
 * `grpo inspect`: what a model directory holds and what a run on it would need.
 */
#include <string.h>

#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/learner.h"
#include "grpo/objective_recipe.h"
#include "model/checkpoint.h"
#include "rollout/rollout.h"

static void print_shape(const char *dir, const struct weights *w)
{
    const struct hparams *const hp = &w->hp;
    const double total = (double)hparams_n_params(hp);
    printf("%s\n", dir);
    printf("  layers %lld, d_model %lld, heads %lld (kv %lld) of %lld, vocabulary "
           "%lld%s\n",
           (long long)hp->n_layers, (long long)hp->d_model, (long long)hp->n_heads,
           (long long)hp->n_kv_heads, (long long)hp->head_dim, (long long)hp->n_vocab,
           hp->is_tied ? ", tied" : "");
    printf("  experts %lld, top-k %lld, expert width %lld, sparsity (E-k)/E %.4f\n",
           (long long)hp->n_experts, (long long)hp->top_k, (long long)hp->d_ff,
           (double)(hp->n_experts - hp->top_k) / (double)hp->n_experts);
    printf("  rope theta %g, rms eps %g, window %lld, positions %lld, dtype %s\n",
           hp->rope.theta, hp->rms_eps, (long long)hp->window, (long long)hp->max_pos,
           dtype_name(w->dtype));
    printf(
        "  parameters %lld total, %lld active per token; tokens per parameter at 125 B "
        "tokens: %.1f\n",
        (long long)hparams_n_params(hp), (long long)hparams_n_active(hp),
        125e9 / total);
}

static int print_plan(struct session *s)
{
    const struct config *const c = &s->config;
    struct learner_plan plan;
    TRY(model_init(&s->model, &s->backend, &s->weights.hp, s->weights.data,
                   s->weights.dtype, c->data.max_prompt + c->rollout.max_new,
                   s->weights.hp.n_vocab));
    const struct rollout_limits rl = {.n_slots = c->rollout.slots,
                                      .max_prompt = c->data.max_prompt,
                                      .max_new = c->rollout.max_new,
                                      .n_prefill = c->rollout.prefill_tokens};
    learner_plan(&plan, &s->model, c, rollout_bytes(&s->model, &rl));
    const double weights = (double)s->model.table.n_elems *
                           (double)dtype_bytes(s->weights.dtype);
    printf("  memory, MB (at most; pages are touched as used):\n");
    printf("    weights                %12.1f\n", 1e-6 * weights);
    printf("    optimiser              %12.1f\n",
           1e-6 * (double)(plan.optim.device + plan.optim.host));
    printf("    gradients (tree)       %12.1f\n", 1e-6 * (double)plan.grads);
    printf("    learner activations    %12.1f  (%s, %lld rows)\n",
           1e-6 * (double)plan.acts,
           plan.mode == ACTS_KEEP ? "all kept" : "recomputed per layer",
           (long long)plan.n_rows);
    printf("    rollout (KV, logits)   %12.1f  (%lld sequences)\n",
           1e-6 * (double)rollout_bytes(&s->model, &rl), (long long)rl.n_slots);
    if (recipe_needs_reference(&c->grpo))
        printf("    reference policy       %12.1f\n", 1e-6 * weights);
    return STATUS_OK;
}

static void print_tensors(const struct weights *w)
{
    const int64_t n = pieces_count(&w->table, &w->hp);
    for (int64_t i = 0; i < n; i++) {
        struct piece p;
        piece_get(&p, &w->table, &w->hp, i);
        if (p.rank == 1)
            printf("  %s [%lld]\n", p.name, (long long)p.shape[0]);
        else
            printf("  %s [%lld, %lld]\n", p.name, (long long)p.shape[0],
                   (long long)p.shape[1]);
    }
}

static int run(struct session *s, const char *dir, bool has_tensors, bool has_hash)
{
    TRY(weights_load(&s->weights, dir, -1));
    print_shape(dir, &s->weights);
    TRY(print_plan(s));
    if (has_tensors)
        print_tensors(&s->weights);
    if (has_hash) {
        char hex[HASH_HEX_LEN + 1];
        TRY(checkpoint_hash(dir, hex));
        printf("%s\n", hex);
    }
    return STATUS_OK;
}

int command_inspect(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {{"--hash", false, NULL}, {"--tensors", false, NULL}};
    struct args a;
    struct config c;
    struct session s = {0};
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    if (a.n_words != 1)
        return ERR(ERR_USAGE, "usage: grpo inspect MODEL [--hash] [--tensors]");
    TRY(config_parse(&c, a.n_overrides, a.overrides));
    int status = session_open(&s, p, &c);
    if (status == STATUS_OK)
        status = run(&s, a.words[0], flags[1].value != NULL, flags[0].value != NULL);
    session_close(&s);
    return status;
}
