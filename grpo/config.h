/*
 * Every option of every command, in one struct; the table in grpo/config.c gives names,
 * defaults, ranges and help (core/options.h).
 */
#ifndef GRPO_CONFIG_H
#define GRPO_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/options.h"
#include "reward/shape.h"

enum config_device { DEVICE_CPU, DEVICE_CUDA };
enum config_dtype {
    CONFIG_DTYPE_AUTO,
    CONFIG_DTYPE_F32,
    CONFIG_DTYPE_BF16,
    CONFIG_DTYPE_F16
};
enum config_softmax { SOFTMAX_TOKENIZER, SOFTMAX_FULL };
enum config_overlong { OVERLONG_ERROR, OVERLONG_FILTER };
enum config_recompute { RECOMPUTE_AUTO, RECOMPUTE_NONE, RECOMPUTE_LAYER };
enum config_schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum config_resume { RESUME_AUTO, RESUME_NEVER, RESUME_MUST };
enum config_loss_on { LOSS_ALL, LOSS_COMPLETION };

struct config_run {
    char *dir;
    int64_t seed, threads, rollout_ranks, learner_ranks;
    int device, isa, log, resume;
    bool is_colocated;
    double watchdog_s;
};
struct config_model {
    char *path, *tokenizer;
    int dtype, softmax;
};
struct config_data {
    char *train, *eval;
    int64_t limit, eval_limit, max_prompt;
    bool is_shuffled, is_lenient;
    int overlong;
};
struct config_prompt {
    char *preset, *prefix, *suffix;
    bool has_bos;
};
struct config_rollout {
    int64_t group_size, max_new, top_k, slots, prefill_tokens;
    double temperature, top_p;
    char *stop;
};
struct config_reward {
    double correct, wrong, form, overlong_penalty;
    int64_t overlong_buffer;
    int style, percent, order, rounding, fractions, code, truncated;
    char *pattern, *cut;
};
struct config_grpo {
    int64_t steps, prompts, mini_batch, epochs, leaves;
    int advantage, objective, aggregation, zero_variance;
    double adv_eps, clip_low, clip_high, kl_coef, entropy_coef;
    bool is_first_noop;
};
struct config_optim {
    double lr, min_lr, beta1, beta2, eps, weight_decay, clip_l2, clip_l1;
    int64_t warmup;
    int schedule;
};
struct config_learner {
    int64_t micro_tokens, head_rows;
    int recompute;
};
struct config_eval {
    int64_t every, max_new, samples, seed;
    double temperature, top_p;
    bool is_at_start;
};
struct config_checkpoint {
    int64_t every, keep_last, keep_every, shard_mb;
};
struct config_pretrain {
    int64_t steps, batch, max_tokens, val;
    int loss_on;
    double aux_coef, z_coef;
};
struct config_shape {
    int64_t d_model, d_ff, layers, heads, kv_heads, head_dim, experts, top_k,
        max_positions, vocab;
    double rope_theta, rms_eps;
    bool is_tied;
};
struct config_log {
    int64_t samples;
    bool has_tensorboard;
};

struct config {
    struct config_run run;
    struct config_model model;
    struct config_data data;
    struct config_prompt prompt;
    struct config_rollout rollout;
    struct config_reward reward;
    struct config_grpo grpo;
    struct config_optim optim;
    struct config_learner learner;
    struct config_eval eval;
    struct config_checkpoint checkpoint;
    struct config_pretrain pretrain;
    struct config_shape shape;
    struct config_log log;
};

const struct options *config_options(void);
/* Defaults, then argv: an optional first word without '=' is an INI file, the others
 * are section.key=value. */
int config_parse(struct config *c, int argc, char *const *argv) WARN_UNUSED;
void config_release(struct config *c);

/* reward.* as the verifier and the shaping take them; texts are borrowed. */
struct reward_options config_verifier(const struct config *c);
struct shape_options config_shaping(const struct config *c);

#endif
