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
enum config_matmul { MATMUL_AUTO, MATMUL_EXACT, MATMUL_TENSOR };
enum config_dtype {
    CONFIG_DTYPE_AUTO,
    CONFIG_DTYPE_F32,
    CONFIG_DTYPE_BF16,
    CONFIG_DTYPE_F16
};
enum config_softmax { SOFTMAX_TOKENIZER, SOFTMAX_FULL };
enum config_overlong { OVERLONG_ERROR, OVERLONG_FILTER };
enum config_recompute { RECOMPUTE_AUTO, RECOMPUTE_NONE, RECOMPUTE_LAYER };
enum config_offload { OFFLOAD_AUTO, OFFLOAD_NONE, OFFLOAD_MOMENTS, OFFLOAD_ALL };
enum config_schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum config_resume { RESUME_AUTO, RESUME_NEVER, RESUME_MUST };
enum config_bos { BOS_AUTO, BOS_TRUE, BOS_FALSE };
enum config_zero_variance {
    ZERO_VARIANCE_KEEP,
    ZERO_VARIANCE_DROP,
    ZERO_VARIANCE_REFILL
};
enum config_replay { REPLAY_OFF, REPLAY_R2, REPLAY_R3 };
enum config_router { ROUTER_TRAIN, ROUTER_FREEZE };
enum config_old_logp { OLD_LOGP_AUTO, OLD_LOGP_ROLLOUT, OLD_LOGP_LEARNER };
enum config_loss_on { LOSS_ALL, LOSS_COMPLETION };
enum config_truncated { TRUNCATED_KEEP, TRUNCATED_MASK };

struct config_run {
    char *dir;
    int64_t seed, threads, gpu, rollout_ranks, learner_ranks;
    int device, matmul, isa, log, resume;
    bool is_colocated;
    double watchdog_s;
};
struct config_model {
    char *path, *tokenizer;
    int dtype, softmax;
};
struct config_data {
    char *train, *eval, *trajectories;
    int64_t limit, eval_limit, max_prompt;
    bool is_shuffled, is_lenient;
    int overlong;
};
struct config_prompt {
    char *preset, *system, *date, *shots_from;
    char *prefix, *suffix, *begin, *system_prefix, *system_suffix, *opening;
    char *answer_prefix, *answer_suffix;
    int64_t shots, shots_seed;
    int bos;
};
struct config_rollout {
    int64_t group_size, max_new, top_k, slots, prefill_tokens;
    double temperature, top_p;
    char *stop;
};
struct config_reward {
    double correct, wrong, form;
    double overlong_buffer, overlong_penalty; /* tokens, or a share of max_new */
    int style, percent, order, rounding, fractions, code, truncated;
    char *pattern, *cut;
};
struct config_grpo {
    int64_t steps, prompts, mini_batch, epochs, leaves;
    int preset;
    bool is_first_noop;
    /* advantages: grpo/advantage.h */
    int advantage, adv_std, adv_whiten, adv_single, zero_variance, truncated, reward_kl;
    double adv_eps, gamma, reward_kl_coef;
    bool has_adv_std;
    char *reward_weights, *reward_clip;
    /* objectives: grpo/objective.h, grpo/ratio.h, grpo/kl.h, grpo/aggregate.h */
    int ratio, objective, cap, kl, aggregation, kl_aggregation, entropy_aggregation;
    double ratio_clamp, clip_low, clip_high, clip_dual, clip_delta, tau_pos, tau_neg;
    double vespo_k_pos, vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg;
    double dro_beta, cov_share, cov_coef, kl_coef, entropy_coef, entropy_quantile;
    double count_eps, norm_tokens, off_policy_max;
    bool is_kl_weighted, has_off_policy_mask;
    int64_t micro_seqs, micro_loss_tokens;
    /* corrections: grpo/correction.h */
    int old_logp, is_correction, correct_with, reject_counts;
    double is_low, is_high, is_clamp;
    bool is_normalised;
    char *reject, *reject_limit;
    /* whose samples, whose reference, which experts */
    int64_t staleness, refill_rounds, ref_every;
    int routing_replay, router;
    double ref_mix, aux_coef, z_coef;
    bool is_stale_checked;
};
struct config_optim {
    double lr, min_lr, beta1, beta2, eps, weight_decay, clip_l2, clip_l1;
    int64_t warmup;
    int schedule, offload;
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
    bool has_tensorboard, has_trajectories;
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
