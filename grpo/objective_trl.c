/*
 * TRL 1.16's names (GRPOConfig fields; `trainer`: grpo, gmpo, rloo) in terms of ours.
 * The defaults are TRL's; epsilon and beta have other ones in gmpo and rloo.
 */
#include <string.h>

#include "grpo/objective_engine.h"

#define NONE NULL, NULL
static const struct engine_option options[] = {
    {"trainer", ENGINE_WORD, false, "\"grpo\"", NULL, "grpo=|gmpo=|rloo="},
    {"loss_type", ENGINE_WORD, false, "\"dapo\"", NULL,
     "grpo=|bnpo=|dr_grpo=|dapo=|luspo=|cispo=|sapo=|vespo="},
    {"beta", ENGINE_NUMBER, false, "0.0", "grpo.kl_coef", NULL},
    {"epsilon", ENGINE_NUMBER, false, "0.2", "grpo.clip_low", NULL},
    {"epsilon_high", ENGINE_NUMBER, true, "null", "grpo.clip_high", NULL},
    {"delta", ENGINE_NUMBER, true, "null", "grpo.clip_delta", NULL},
    {"num_iterations", ENGINE_NUMBER, false, "1", NONE},
    {"gradient_accumulation_steps", ENGINE_NUMBER, false, "1", NONE},
    {"steps_per_generation", ENGINE_NUMBER, true, "null", NONE},
    {"importance_sampling_level", ENGINE_WORD, false, "\"token\"", "grpo.ratio",
     "token=token|sequence=sequence"},
    {"max_completion_length", ENGINE_NUMBER, false, "512", "grpo.norm_tokens", NULL},
    {"scale_rewards", ENGINE_WORD, false, "\"group\"", "grpo.advantage",
     "group=group|true=group|batch=batch_std|none=mean_only|false=mean_only"},
    {"multi_objective_aggregation", ENGINE_WORD, false, "\"sum_then_normalize\"", NULL,
     "sum_then_normalize=|normalize_then_sum="},
    {"reward_weights", ENGINE_NUMBERS, true, "null", "grpo.reward_weights", NULL},
    {"mask_truncated_completions", ENGINE_BOOL, false, "false", NONE},
    {"top_entropy_quantile", ENGINE_NUMBER, false, "1.0", "grpo.entropy_quantile",
     NULL},
    {"entropy_coef", ENGINE_NUMBER, false, "0.0", "grpo.entropy_coef", NULL},
    {"off_policy_mask_threshold", ENGINE_NUMBER, true, "null", "grpo.off_policy_max",
     NULL},
    {"use_bias_correction_kl", ENGINE_BOOL, false, "true", "grpo.kl_weighted", NULL},
    {"use_vllm", ENGINE_BOOL, false, "false", NONE},
    {"vllm_importance_sampling_correction", ENGINE_BOOL, false, "true", NONE},
    {"vllm_importance_sampling_mode", ENGINE_WORD, false, "\"sequence_mask\"",
     "grpo.is_correction",
     "token_truncate=token_truncate|token_mask=token_mask|"
     "sequence_truncate=sequence_truncate|sequence_mask=sequence_mask"},
    {"vllm_importance_sampling_clip_max", ENGINE_NUMBER, true, "3.0", "grpo.is_high",
     NULL},
    {"vllm_importance_sampling_clip_min", ENGINE_NUMBER, true, "null", "grpo.is_low",
     NULL},
    {"sapo_temperature_pos", ENGINE_NUMBER, false, "1.0", "grpo.tau_pos", NULL},
    {"sapo_temperature_neg", ENGINE_NUMBER, false, "1.05", "grpo.tau_neg", NULL},
    {"vespo_k_pos", ENGINE_NUMBER, false, "2.0", "grpo.vespo_k_pos", NULL},
    {"vespo_lambda_pos", ENGINE_NUMBER, false, "3.0", "grpo.vespo_lambda_pos", NULL},
    {"vespo_k_neg", ENGINE_NUMBER, false, "3.0", "grpo.vespo_k_neg", NULL},
    {"vespo_lambda_neg", ENGINE_NUMBER, false, "2.0", "grpo.vespo_lambda_neg", NULL},
    {"normalize_advantages", ENGINE_BOOL, false, "false", NONE},
    {"reward_clip_range", ENGINE_NUMBERS, true, "null", "grpo.reward_clip", NULL},
};

static bool is_rloo(struct mapping *m) { return mapping_is(m, "trainer", "rloo"); }
static bool is_gmpo(struct mapping *m) { return mapping_is(m, "trainer", "gmpo"); }

static double epsilon_of(struct mapping *m)
{
    const bool is_default = !mapping_is_given(m, "epsilon");
    return is_default && is_gmpo(m) ? 0.4 : mapping_number(m, "epsilon");
}

static double beta_of(struct mapping *m)
{
    const bool is_default = !mapping_is_given(m, "beta");
    return is_default && is_rloo(m) ? 0.05 : mapping_number(m, "beta");
}

static int map_advantage(struct mapping *m)
{
    mapping_put(m, "", "grpo.adv_std", "unbiased");
    mapping_put(m, "", "grpo.adv_eps", "1e-4");
    mapping_put(m, "", "grpo.adv_single", "zero");
    if (is_rloo(m)) {
        mapping_put(m, "trainer", "grpo.advantage", "rloo");
        if (mapping_bool(m, "normalize_advantages"))
            mapping_put(m, "normalize_advantages", "grpo.adv_whiten", "batch");
        if (!mapping_is_null(m, "reward_clip_range"))
            TRY(mapping_copy(m, "reward_clip_range"));
        mapping_put_number(m, "beta", "grpo.reward_kl_coef", beta_of(m));
        mapping_put(m, "", "grpo.reward_kl", "k1");
    } else if (mapping_is(m, "multi_objective_aggregation", "normalize_then_sum")) {
        mapping_put(m, "multi_objective_aggregation", "grpo.advantage", "gdpo");
        mapping_put(m, "multi_objective_aggregation", "grpo.adv_whiten", "batch");
    } else if (!mapping_is(m, "multi_objective_aggregation", "sum_then_normalize")) {
        return mapping_refuse(m, "multi_objective_aggregation");
    } else {
        TRY(mapping_copy(m, "scale_rewards"));
    }
    if (!mapping_is_null(m, "reward_weights"))
        TRY(mapping_copy(m, "reward_weights"));
    if (mapping_bool(m, "mask_truncated_completions"))
        mapping_put(m, "mask_truncated_completions", "grpo.truncated", "mask");
    return STATUS_OK;
}

static const struct loss {
    const char *name, *objective, *aggregation;
} losses[] = {
    {"grpo", "ppo_clip", "sequence_mean"}, {"bnpo", "ppo_clip", "micro_token_mean"},
    {"dr_grpo", "ppo_clip", "constant"},   {"dapo", "ppo_clip", "token_mean"},
    {"luspo", "ppo_clip", "sequence_sum"}, {"cispo", "cispo", "token_mean"},
    {"sapo", "sapo", "sequence_mean"},     {"vespo", "vespo", "token_mean"},
};

static int map_loss(struct mapping *m)
{
    char name[ENGINE_VALUE_LEN];
    mapping_text(m, "loss_type", name, sizeof(name));
    const struct loss *loss = NULL;
    for (int64_t i = 0; i < ARRAY_LEN(losses); i++)
        if (strcmp(losses[i].name, name) == 0)
            loss = &losses[i];
    if (loss == NULL)
        return mapping_refuse(m, "loss_type");
    mapping_put(m, "loss_type", "grpo.objective", loss->objective);
    mapping_put(m, "loss_type", "grpo.aggregation", loss->aggregation);
    if (strcmp(name, "dr_grpo") == 0)
        TRY(mapping_copy(m, "max_completion_length"));
    if (strcmp(name, "cispo") == 0)
        mapping_put(m, "loss_type", "grpo.cap", "absolute");
    if (strcmp(name, "sapo") == 0) {
        TRY(mapping_copy(m, "sapo_temperature_pos"));
        TRY(mapping_copy(m, "sapo_temperature_neg"));
    }
    if (strcmp(name, "vespo") == 0) {
        TRY(mapping_copy(m, "vespo_k_pos"));
        TRY(mapping_copy(m, "vespo_lambda_pos"));
        TRY(mapping_copy(m, "vespo_k_neg"));
        TRY(mapping_copy(m, "vespo_lambda_neg"));
    }
    TRY(mapping_copy(m, "importance_sampling_level"));
    if (!mapping_is_null(m, "delta"))
        TRY(mapping_number(m, "delta") > 0.0 ? mapping_copy(m, "delta")
                                             : mapping_refuse(m, "delta"));
    if (mapping_number(m, "entropy_coef") != 0.0) {
        TRY(mapping_copy(m, "entropy_coef"));
        mapping_put(m, "entropy_coef", "grpo.entropy_aggregation", "micro_token_mean");
    }
    if (!mapping_is_null(m, "off_policy_mask_threshold")) {
        mapping_put(m, "off_policy_mask_threshold", "grpo.off_policy_mask", "true");
        TRY(mapping_copy(m, "off_policy_mask_threshold"));
    }
    return STATUS_OK;
}

static int map_objective(struct mapping *m)
{
    mapping_put_number(m, "epsilon", "grpo.clip_low", epsilon_of(m));
    if (mapping_is_null(m, "epsilon_high"))
        mapping_put_number(m, "epsilon", "grpo.clip_high", epsilon_of(m));
    else
        TRY(mapping_copy(m, "epsilon_high"));
    if (is_rloo(m)) {
        mapping_put(m, "trainer", "grpo.objective", "rloo");
        return STATUS_OK;
    }
    if (mapping_number(m, "top_entropy_quantile") < 1.0)
        TRY(mapping_copy(m, "top_entropy_quantile"));
    if (beta_of(m) != 0.0) {
        mapping_put_number(m, "beta", "grpo.kl_coef", beta_of(m));
        mapping_put(m, "", "grpo.kl", "k3");
    }
    if (is_gmpo(m)) {
        mapping_put(m, "trainer", "grpo.objective", "gmpo");
        mapping_put(m, "trainer", "grpo.aggregation", "sequence_mean");
        return STATUS_OK;
    }
    if (!mapping_is(m, "trainer", "grpo"))
        return mapping_refuse(m, "trainer");
    if (beta_of(m) != 0.0)
        TRY(mapping_copy(m, "use_bias_correction_kl"));
    return map_loss(m);
}

static int map_rollout(struct mapping *m)
{
    const bool is_vllm = mapping_bool(m, "use_vllm");
    m->cut.knows_rollout = is_vllm;
    if (!is_vllm || !mapping_bool(m, "vllm_importance_sampling_correction"))
        return STATUS_OK;
    mapping_put(m, "use_vllm", "grpo.old_logp", "learner");
    TRY(mapping_copy(m, "vllm_importance_sampling_mode"));
    if (mapping_is_null(m, "vllm_importance_sampling_clip_max"))
        mapping_put(m, "vllm_importance_sampling_clip_max", "grpo.is_high", "1e308");
    else
        TRY(mapping_copy(m, "vllm_importance_sampling_clip_max"));
    if (mapping_is_null(m, "vllm_importance_sampling_clip_min"))
        mapping_put(m, "vllm_importance_sampling_clip_min", "grpo.is_low", "0");
    else
        TRY(mapping_copy(m, "vllm_importance_sampling_clip_min"));
    return STATUS_OK;
}

/* A count from 1 to a million */
static int count_of(struct mapping *m, const char *name, int64_t *out)
{
    const double x = mapping_number(m, name);
    if (!(x >= 1.0 && x <= 1e6) || x != (double)(int64_t)x)
        return mapping_refuse(m, name);
    *out = (int64_t)x;
    return STATUS_OK;
}

/* Slices of the generation batch, and whether the log-probs are recomputed before
 * them: only where the policy may have changed in between, or vLLM sampled. */
static int map_cut(struct mapping *m, const struct objective_case *c)
{
    int64_t accumulate = 1, iterations = 1, slices = 1;
    TRY(count_of(m, "gradient_accumulation_steps", &accumulate));
    TRY(count_of(m, "num_iterations", &iterations));
    slices = accumulate;
    if (!mapping_is_null(m, "steps_per_generation") &&
        mapping_number(m, "steps_per_generation") != 0.0)
        TRY(count_of(m, "steps_per_generation", &slices));
    m->cut.is_trl = true;
    m->cut.n_micro = slices;
    m->cut.grad_steps = (double)accumulate;
    const bool is_corrected = mapping_bool(m, "use_vllm") &&
                              mapping_bool(m, "vllm_importance_sampling_correction");
    m->cut.uses_given_old = accumulate % (slices * iterations) != 0 || is_corrected ||
                            is_rloo(m);
    if (slices > 1)
        mapping_put_number(m, "gradient_accumulation_steps", "grpo.micro_seqs",
                           (double)(c->n_seqs / slices));
    else if (mapping_is(m, "loss_type", "bnpo") ||
             mapping_number(m, "entropy_coef") != 0.0)
        mapping_put_number(m, "gradient_accumulation_steps", "grpo.micro_seqs",
                           (double)c->n_seqs);
    buf_printf(
        &m->notes,
        "  %lld slices of %lld sequences, %lld per optimiser step; the ratio is "
        "%s\n",
        (long long)slices, (long long)(c->n_seqs / slices), (long long)accumulate,
        m->cut.uses_given_old ? "against logp_old" : "1 (no update since sampling)");
    return STATUS_OK;
}

static int map(struct mapping *m, const struct objective_case *c)
{
    TRY(map_advantage(m));
    TRY(map_objective(m));
    TRY(map_rollout(m));
    return map_cut(m, c);
}

const struct engine engine_trl = {.name = "trl",
                                  .version = "1.16",
                                  .options = options,
                                  .n_options = ARRAY_LEN(options),
                                  .map = map};
