/*
 * verl 0.9.1's names (keys of algorithm, actor, policy_loss, rollout_correction) in
 * terms of ours; adv_estimator is grpo where absent.
 */
#include <stdlib.h>
#include <string.h>

#include "grpo/objective_engine.h"

#define NONE NULL, NULL
#define AGGREGATIONS                                                                   \
    "token-mean=token_mean|token-sum=token_sum|seq-mean-token-sum=sequence_sum|"       \
    "seq-mean-token-mean=sequence_mean|seq-mean-token-sum-norm=padded"
#define KLS                                                                            \
    "kl=k1|k1=k1|abs=abs|mse=k2|k2=k2|low_var_kl=k3_clamped|k3=k3_clamped|kl+=k1+|"    \
    "k1+=k1+|abs+=abs+|mse+=k2+|k2+=k2+|low_var_kl+=k3_clamped+|k3+=k3_clamped+"
#define ESTIMATORS                                                                     \
    "grpo=group|grpo_vectorized=group|grpo_passk=pass_at_k|rloo=rloo|"                 \
    "rloo_vectorized=rloo|reinforce_plus_plus=reinforce_pp|"                           \
    "reinforce_plus_plus_baseline=reinforce_pp_baseline|opo=opo|gpg=gpg|gdpo=gdpo"
#define LOSSES                                                                         \
    "vanilla=ppo_clip|gspo=ppo_clip|cispo=cispo|sapo=sapo|geo_mean=geo_mean|gpg=gpg|"  \
    "dppo_tv=dppo_tv|dppo_kl=dppo_kl|dro=dro|kl_cov=kl_cov"

static const struct engine_option options[] = {
    {"adv_estimator", ENGINE_WORD, false, "\"grpo\"", "grpo.advantage", ESTIMATORS},
    {"norm_adv_by_std_in_grpo", ENGINE_BOOL, false, "true", "grpo.adv_has_std", NULL},
    {"gamma", ENGINE_NUMBER, false, "1.0", "grpo.gamma", NULL},
    {"use_kl_in_reward", ENGINE_BOOL, false, "false", NONE},
    {"kl_penalty", ENGINE_WORD, false, "\"kl\"", "grpo.reward_kl", KLS},
    {"kl_coef", ENGINE_NUMBER, false, "0.001", "grpo.reward_kl_coef", NULL},
    {"gdpo_reward_weights", ENGINE_NUMBERS, true, "null", "grpo.reward_weights", NULL},
    {"loss_mode", ENGINE_WORD, false, "\"vanilla\"", "grpo.objective", LOSSES},
    {"loss_agg_mode", ENGINE_WORD, false, "\"token-mean\"", "grpo.aggregation",
     AGGREGATIONS},
    {"loss_scale_factor", ENGINE_NUMBER, true, "null", "grpo.norm_tokens", NULL},
    {"clip_ratio_low", ENGINE_NUMBER, false, "0.2", "grpo.clip_low", NULL},
    {"clip_ratio_high", ENGINE_NUMBER, false, "0.2", "grpo.clip_high", NULL},
    {"clip_ratio_c", ENGINE_NUMBER, false, "3.0", "grpo.clip_dual", NULL},
    {"entropy_coeff", ENGINE_NUMBER, false, "0.0", "grpo.entropy_coef", NULL},
    {"use_kl_loss", ENGINE_BOOL, false, "false", NONE},
    {"kl_loss_coef", ENGINE_NUMBER, false, "0.001", "grpo.kl_coef", NULL},
    {"kl_loss_type", ENGINE_WORD, false, "\"low_var_kl\"", "grpo.kl", KLS},
    {"tau_pos", ENGINE_NUMBER, false, "1.0", "grpo.tau_pos", NULL},
    {"tau_neg", ENGINE_NUMBER, false, "1.05", "grpo.tau_neg", NULL},
    {"dro_beta", ENGINE_NUMBER, true, "null", "grpo.dro_beta", NULL},
    {"kl_cov_ratio", ENGINE_NUMBER, false, "0.0002", "grpo.cov_share", NULL},
    {"ppo_kl_coef", ENGINE_NUMBER, false, "0.1", "grpo.cov_coef", NULL},
    {"rollout_is", ENGINE_WORD, true, "null", NULL, "token=|sequence="},
    {"rollout_is_threshold", ENGINE_TEXT, true, "2.0", NONE},
    {"rollout_is_batch_normalize", ENGINE_BOOL, false, "false", "grpo.is_normalised",
     NULL},
    {"rollout_rs", ENGINE_TEXT, true, "null", "grpo.reject", NULL},
    {"rollout_rs_threshold", ENGINE_TEXT, true, "null", "grpo.reject_limit", NULL},
    {"bypass_mode", ENGINE_BOOL, false, "false", NONE},
    {"loss_type", ENGINE_WORD, false, "\"ppo_clip\"", "grpo.objective",
     "ppo_clip=ppo_clip|reinforce=gpg"},
    {"micro_batch_size", ENGINE_NUMBER, true, "null", NONE},
    {"use_v1", ENGINE_BOOL, false, "true", NONE},
};

static int map_advantage(struct mapping *m)
{
    const bool has_std = mapping_bool(m, "norm_adv_by_std_in_grpo");
    const bool is_grpo = mapping_is(m, "adv_estimator", "grpo") ||
                         mapping_is(m, "adv_estimator", "grpo_vectorized");
    const bool is_gdpo = mapping_is(m, "adv_estimator", "gdpo");
    m->cut.is_first_reward = !is_gdpo;
    mapping_put(m, "", "grpo.adv_std", "unbiased");
    mapping_put(m, "", "grpo.adv_eps", "1e-6");
    mapping_put(m, "", "grpo.count_eps", "1e-8");
    mapping_put(m, "", "grpo.adv_single",
                mapping_is(m, "adv_estimator", "rloo_vectorized") ? "zero" : "reward");
    if (is_grpo && !has_std)
        mapping_put(m, "norm_adv_by_std_in_grpo", "grpo.advantage", "mean_only");
    else
        TRY(mapping_copy(m, "adv_estimator"));
    if (is_gdpo || mapping_is(m, "adv_estimator", "grpo_passk"))
        TRY(mapping_copy(m, "norm_adv_by_std_in_grpo"));
    if (is_gdpo) {
        mapping_put(m, "adv_estimator", "grpo.adv_whiten", "token");
        if (!mapping_is_null(m, "gdpo_reward_weights"))
            TRY(mapping_copy(m, "gdpo_reward_weights"));
    }
    if (mapping_is(m, "adv_estimator", "reinforce_plus_plus"))
        TRY(mapping_copy(m, "gamma"));
    /* gdpo takes the reward functions' own values */
    if (mapping_bool(m, "use_kl_in_reward") && !is_gdpo) {
        TRY(mapping_copy(m, "kl_coef"));
        TRY(mapping_copy(m, "kl_penalty"));
    }
    return STATUS_OK;
}

/* Extra options of one loss; bypass mode chooses among two of its own. */
static int map_loss(struct mapping *m)
{
    const bool is_geo = mapping_is(m, "loss_mode", "geo_mean");
    char mode[ENGINE_VALUE_LEN];
    mapping_text(m, "loss_mode", mode, sizeof(mode));
    m->cut.is_bypass = mapping_bool(m, "bypass_mode") && !is_geo;
    m->cut.is_reward_bypass = mapping_bool(m, "bypass_mode");
    if (m->cut.is_bypass) {
        TRY(mapping_copy(m, "loss_type"));
        mapping_put(m, "bypass_mode", "grpo.correct_with", "current");
        strcpy(mode, mapping_is(m, "loss_type", "reinforce") ? "gpg" : "vanilla");
    } else {
        TRY(mapping_copy(m, "loss_mode"));
    }
    mapping_put(m, "", "grpo.ratio_clamp", "20");
    TRY(mapping_copy(m, "clip_ratio_low"));
    TRY(mapping_copy(m, "clip_ratio_high"));
    if (strcmp(mode, "vanilla") == 0 || strncmp(mode, "dppo", 4) == 0)
        TRY(mapping_number(m, "clip_ratio_c") > 0.0
                ? mapping_copy(m, "clip_ratio_c")
                : mapping_refuse(m, "clip_ratio_c"));
    if (strcmp(mode, "gspo") == 0)
        mapping_put(m, "loss_mode", "grpo.ratio", "sequence_token");
    if (strcmp(mode, "sapo") == 0) {
        TRY(mapping_copy(m, "tau_pos"));
        TRY(mapping_copy(m, "tau_neg"));
    }
    if (strcmp(mode, "dro") == 0)
        TRY(mapping_is_null(m, "dro_beta") ? mapping_refuse(m, "dro_beta")
                                           : mapping_copy(m, "dro_beta"));
    if (strcmp(mode, "kl_cov") == 0) {
        TRY(mapping_copy(m, "kl_cov_ratio"));
        TRY(mapping_copy(m, "ppo_kl_coef"));
    }
    return STATUS_OK;
}

/* One mode for all terms, but sapo's policy term has its own. */
static int map_aggregation(struct mapping *m)
{
    const bool is_constant = mapping_is(m, "loss_agg_mode",
                                        "seq-mean-token-sum-norm") &&
                             !mapping_is_null(m, "loss_scale_factor") &&
                             mapping_number(m, "loss_scale_factor") != 0.0;
    TRY(mapping_copy(m, "loss_agg_mode"));
    struct engine_setting *const mode = &m->settings[m->n - 1];
    if (is_constant) {
        strcpy(mode->value, "constant");
        TRY(mapping_copy(m, "loss_scale_factor"));
    }
    if (mapping_is(m, "loss_mode", "sapo")) {
        mapping_put(m, "loss_agg_mode", "grpo.kl_aggregation", mode->value);
        mapping_put(m, "loss_agg_mode", "grpo.entropy_aggregation", mode->value);
        mode->theirs = "loss_mode";
        strcpy(mode->value, "sequence_mean");
    }
    TRY(mapping_copy(m, "entropy_coeff"));
    if (mapping_bool(m, "use_kl_loss")) {
        TRY(mapping_copy(m, "kl_loss_coef"));
        TRY(mapping_copy(m, "kl_loss_type"));
    }
    return STATUS_OK;
}

/* "u": truncate at u; "a_b": 0 outside */
static int map_weights(struct mapping *m)
{
    static const char name[] = "rollout_is_threshold";
    const bool is_sequence = mapping_is(m, "rollout_is", "sequence");
    char text[ENGINE_VALUE_LEN], *end = NULL;
    if (!is_sequence && !mapping_is(m, "rollout_is", "token"))
        return mapping_refuse(m, "rollout_is");
    mapping_text(m, name, text, sizeof(text));
    const double first = strtod(text, &end);
    const bool is_range = end != text && *end == '_';
    double last = first;
    if (is_range) {
        char *const second = end + 1;
        last = strtod(second, &end);
        if (end == second)
            return mapping_refuse(m, name);
    }
    if (end == text || *end != '\0' || !(last >= 0.0 && last <= 1e308))
        return mapping_refuse(m, name);
    mapping_put(m, "rollout_is", "grpo.is_correction",
                is_sequence ? (is_range ? "sequence_mask" : "sequence_truncate")
                            : (is_range ? "token_mask" : "token_truncate"));
    mapping_put_number(m, name, "grpo.is_low", is_range ? first : 0.0);
    mapping_put_number(m, name, "grpo.is_high", last);
    return mapping_copy(m, "rollout_is_batch_normalize");
}

static int map_correction(struct mapping *m, const struct objective_case *c)
{
    char text[ENGINE_VALUE_LEN];
    m->cut.knows_rollout = true;
    m->cut.is_counted_late = !mapping_bool(m, "use_v1");
    m->cut.is_width_given = !mapping_bool(m, "use_v1");
    mapping_put(m, "use_v1", "grpo.reject_counts",
                m->cut.is_counted_late ? "after" : "before");
    if (!m->cut.is_bypass)
        mapping_put(m, "bypass_mode", "grpo.old_logp", "learner");
    /* bypass with geo_mean, and log-probs of no rollout: nothing to correct */
    if (c->logp_rollout == NULL ||
        (mapping_bool(m, "bypass_mode") && !m->cut.is_bypass))
        return STATUS_OK;
    mapping_put(m, "", "grpo.is_clamp", "20");
    const bool is_clipped = m->cut.is_bypass && mapping_is(m, "loss_type", "ppo_clip");
    if (!mapping_is_null(m, "rollout_is") && !is_clipped &&
        mapping_text(m, "rollout_is", text, sizeof(text))[0] != '\0')
        TRY(map_weights(m));
    if (mapping_is_null(m, "rollout_rs") ||
        mapping_text(m, "rollout_rs", text, sizeof(text))[0] == '\0')
        return STATUS_OK;
    if (mapping_is_null(m, "rollout_rs_threshold"))
        return mapping_refuse(m, "rollout_rs_threshold");
    TRY(mapping_copy(m, "rollout_rs"));
    return mapping_copy(m, "rollout_rs_threshold");
}

static int map_cut(struct mapping *m, const struct objective_case *c)
{
    const double n = mapping_is_null(m, "micro_batch_size")
                         ? 0.0
                         : mapping_number(m, "micro_batch_size");
    if (!(n >= 0.0 && n <= 1e9) || n != (double)(int64_t)n)
        return mapping_refuse(m, "micro_batch_size");
    m->cut.micro_batch = n == 0.0 ? c->n_seqs : (int64_t)n;
    m->cut.uses_given_old = true;
    buf_printf(
        &m->notes, "  micro-batches of %lld sequences; the ratio is against %s\n",
        (long long)m->cut.micro_batch, m->cut.is_bypass ? "logp_rollout" : "logp_old");
    return STATUS_OK;
}

static int map(struct mapping *m, const struct objective_case *c)
{
    TRY(map_advantage(m));
    TRY(map_loss(m));
    TRY(map_aggregation(m));
    TRY(map_correction(m, c));
    return map_cut(m, c);
}

const struct engine engine_verl = {.name = "verl",
                                   .version = "0.9.1",
                                   .options = options,
                                   .n_options = ARRAY_LEN(options),
                                   .map = map};
