/*
 * The presets, in the order of PRESET_CHOICES. A value equal to the default stands here
 * where the recipe depends on it.
 */
#include "grpo/preset.h"

#include <stddef.h>

enum { MAX_VALUES = 24 };

struct preset {
    const char *name, *what;
    const char *values[MAX_VALUES]; /* section.key=value, NULL at the end */
};

/* What verl's numerics share: a group without a mate keeps its reward, log-ratios and
 * weights are clamped, 1e-8 is added to token counts. */
#define VERL                                                                           \
    "grpo.advantage=group", "grpo.adv_std=unbiased", "grpo.adv_eps=1e-6",              \
        "grpo.adv_single=reward", "grpo.ratio_clamp=20", "grpo.is_clamp=20",           \
        "grpo.count_eps=1e-8", "grpo.kl=k3_clamped"

static const struct preset presets[] = {
    {.name = "none", .what = "the options' own defaults"},
    {.name = "verl",
     .what = "verl 0.9.1 with adv_estimator=grpo, its defaults",
     .values = {VERL, "grpo.objective=ppo_clip", "grpo.ratio=token",
                "grpo.clip_low=0.2", "grpo.clip_high=0.2", "grpo.clip_dual=3",
                "grpo.aggregation=token_mean", "grpo.kl_coef=0", "optim.clip_l2=1",
                "optim.weight_decay=0.01"}},
    {.name = "trl",
     .what = "TRL 1.16 GRPOTrainer, its defaults (loss_type=dapo)",
     .values = {"grpo.advantage=group", "grpo.adv_std=unbiased", "grpo.adv_eps=1e-4",
                "grpo.adv_single=zero", "grpo.objective=ppo_clip", "grpo.ratio=token",
                "grpo.clip_low=0.2", "grpo.clip_high=0.2", "grpo.clip_dual=0",
                "grpo.aggregation=token_mean", "grpo.entropy_aggregation=token_mean",
                "grpo.kl=k3", "grpo.kl_weighted=true", "grpo.kl_coef=0",
                "optim.clip_l2=1", "optim.weight_decay=0", "optim.schedule=linear"}},
    {.name = "paper",
     .what =
         "arXiv 2508.18672 as its released code trains: verl 0.3, token means within "
         "micro-batches, a second clip to an L1 norm of 1, a first step without "
         "effect",
     .values = {"grpo.advantage=group", "grpo.adv_std=unbiased", "grpo.adv_eps=1e-6",
                "grpo.adv_single=reward", "grpo.objective=ppo_clip", "grpo.ratio=token",
                "grpo.clip_low=0.2", "grpo.clip_high=0.2", "grpo.clip_dual=0",
                "grpo.aggregation=micro_token_mean", "grpo.micro_loss_tokens=24000",
                "grpo.kl=k3_clamped", "grpo.kl_coef=0.001", "grpo.first_noop=true",
                "optim.clip_l2=1", "optim.clip_l1=1", "optim.weight_decay=0.01"}},
    {.name = "dapo",
     .what = "DAPO, arXiv 2503.14476: clip-higher, token mean, dynamic sampling, a "
             "length penalty over the last fifth of rollout.max_new, no KL",
     .values = {VERL, "grpo.objective=ppo_clip", "grpo.ratio=token",
                "grpo.clip_low=0.2", "grpo.clip_high=0.28", "grpo.clip_dual=0",
                "grpo.aggregation=token_mean", "grpo.zero_variance=refill",
                "grpo.kl_coef=0", "reward.overlong_buffer=0.2",
                "reward.overlong_penalty=1"}},
    {.name = "dr_grpo",
     .what = "Dr. GRPO, arXiv 2503.20783: no std, a constant divisor",
     .values = {"grpo.advantage=mean_only", "grpo.objective=ppo_clip",
                "grpo.ratio=token", "grpo.clip_low=0.2", "grpo.clip_high=0.2",
                "grpo.clip_dual=0", "grpo.aggregation=constant", "grpo.norm_tokens=0",
                "grpo.kl_coef=0"}},
    {.name = "gspo",
     .what = "GSPO, arXiv 2507.18071: one ratio per sequence, narrow clip",
     .values = {"grpo.advantage=group", "grpo.adv_std=unbiased", "grpo.adv_eps=1e-6",
                "grpo.objective=ppo_clip", "grpo.ratio=sequence", "grpo.clip_low=3e-4",
                "grpo.clip_high=4e-4", "grpo.clip_dual=0",
                "grpo.aggregation=sequence_mean", "grpo.kl_coef=0"}},
    {.name = "cispo",
     .what = "CISPO, arXiv 2506.13585: every token keeps its gradient, its weight is "
             "capped",
     .values = {"grpo.advantage=group", "grpo.adv_std=unbiased", "grpo.adv_eps=1e-6",
                "grpo.objective=cispo", "grpo.ratio=token", "grpo.cap=absolute",
                "grpo.clip_high=5", "grpo.aggregation=token_mean", "grpo.kl_coef=0"}},
};

int preset_apply(int index, const struct options *o, void *values)
{
    CHECK(index >= 0 && index < ARRAY_LEN(presets), "preset %d", index);
    for (const char *const *v = presets[index].values; *v != NULL; v++)
        TRY(options_override(o, values, *v));
    return STATUS_OK;
}

void preset_help(FILE *out)
{
    fputs("\npresets (grpo.preset=NAME):\n", out);
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++) {
        fprintf(out, "  %s: %s\n", presets[i].name, presets[i].what);
        int n = 0;
        for (const char *const *v = presets[i].values; *v != NULL; v++, n++)
            fprintf(out, "%s%s", n % 3 == 0 ? "      " : " ", *v),
                fputs(n % 3 == 2 || v[1] == NULL ? "\n" : "", out);
    }
}
