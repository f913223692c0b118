/*
 * The option table. One line per option: key, type, field, default, range or choices,
 * help.
 */
#include "grpo/config.h"

#include <math.h>
#include <string.h>

#include "grpo/preset.h"

#define OFF(section, field)                                                            \
    (offsetof(struct config, section) + offsetof(struct config_##section, field))
#define INT(key, section, field, def, lo, hi, help)                                    \
    {                                                                                  \
        key, OPTION_INT, OFF(section, field), def, lo, hi, NULL, help                  \
    }
#define REAL(key, section, field, def, lo, hi, help)                                   \
    {                                                                                  \
        key, OPTION_REAL, OFF(section, field), def, lo, hi, NULL, help                 \
    }
#define BOOL(key, section, field, def, help)                                           \
    {                                                                                  \
        key, OPTION_BOOL, OFF(section, field), def, 0.0, 0.0, NULL, help               \
    }
#define TEXT(key, section, field, def, help)                                           \
    {                                                                                  \
        key, OPTION_STRING, OFF(section, field), def, 0.0, 0.0, NULL, help             \
    }
#define CHOICE(key, section, field, def, choices, help)                                \
    {                                                                                  \
        key, OPTION_CHOICE, OFF(section, field), def, 0.0, 0.0, choices, help          \
    }

#define AGGREGATION_CHOICES                                                            \
    "token_mean|sequence_mean|token_sum|sequence_sum|constant|padded|micro_token_mean"
#define KL_CHOICES "k1|abs|k2|k3|k3_clamped|k1+|abs+|k2+|k3+|k3_clamped+"

static const struct option items[] = {
    TEXT("run.dir", run, dir, "runs/run", "directory of everything the run writes"),
    INT("run.seed", run, seed, "1", 0.0, 9e15, "seed of all random numbers"),
    CHOICE("run.device", run, device, "cpu", "cpu|cuda", "where the ops run"),
    INT("run.gpu", run, gpu, "0", 0.0, 1023.0,
        "with device cuda: number of the GPU among those visible"),
    CHOICE(
        "run.matmul", run, matmul, "auto", "auto|exact|tensor",
        "matrix products of BF16 weights on a GPU: bf16 operands on tensor cores, or "
        "exactly the CPU's bits; auto: tensor cores where they apply"),
    INT("run.threads", run, threads, "0", 0.0, 1024.0,
        "threads of a rank; 0: all cores"),
    CHOICE("run.isa", run, isa, "auto", "auto|portable|avx2|avx512",
           "instruction set; results are the same bits"),
    INT("run.rollout_ranks", run, rollout_ranks, "0", 0.0, 65536.0,
        "ranks that only generate; 0: half of the world, rounded up"),
    INT("run.learner_ranks", run, learner_ranks, "0", 0.0, 65536.0,
        "ranks that only learn; 0: the rest"),
    BOOL("run.colocated", run, is_colocated, "false",
         "every rank generates and learns (always so with one rank)"),
    CHOICE("run.resume", run, resume, "auto", "auto|never|must",
           "continue from the newest checkpoint in run.dir"),
    REAL("run.watchdog_s", run, watchdog_s, "1800", 0.0, 1e9,
         "abort when a phase makes no progress for so long; 0: off"),
    CHOICE("run.log", run, log, "info", "debug|info|warn|error|off",
           "least level logged"),

    TEXT("model.path", model, path, "", "Hugging Face directory of the policy"),
    TEXT("model.tokenizer", model, tokenizer, "",
         "directory with tokenizer.json; empty: model.path"),
    CHOICE("model.dtype", model, dtype, "auto", "auto|f32|bf16|f16",
           "weights in memory and in checkpoints; auto: as on disk (master is fp32)"),
    CHOICE("model.softmax", model, softmax, "tokenizer", "tokenizer|full",
           "vocabulary rows counted: the tokenizer's tokens, or padding rows too, as "
           "transformers"),

    TEXT("data.train", data, train, "", "problems for training, JSONL"),
    TEXT("data.trajectories", data, trajectories, "",
         "learn from the completions in this JSONL instead of generating; as "
         "--trajectories FILE"),
    TEXT("data.eval", data, eval, "", "held-out problems, JSONL"),
    INT("data.limit", data, limit, "0", 0.0, 1e12,
        "first so many of data.train; 0: all"),
    INT("data.eval_limit", data, eval_limit, "0", 0.0, 1e12,
        "first so many of data.eval; 0: all"),
    INT("data.max_prompt", data, max_prompt, "512", 1.0, 1e6, "tokens of a prompt"),
    CHOICE("data.overlong", data, overlong, "error", "error|filter",
           "a longer prompt is an error, or left out and counted"),
    BOOL("data.shuffle", data, is_shuffled, "true", "permute each epoch by run.seed"),
    BOOL("data.lenient", data, is_lenient, "false",
         "leave out problems whose gold answer has no value, counted, instead of an "
         "error"),

    TEXT("prompt.preset", prompt, preset, "qa",
         "a name of the table below, or custom: then the strings after prompt.bos "
         "count"),
    TEXT("prompt.system", prompt, system, "",
         "system text; empty: none, or the preset's"),
    TEXT("prompt.date", prompt, date, "",
         "what {date} stands for, as 2026-01-02; presets that need it say so"),
    INT("prompt.shots", prompt, shots, "-1", -1.0, 1000.0,
        "worked examples before the question; -1: as the preset has it"),
    TEXT("prompt.shots_from", prompt, shots_from, "",
         "JSONL of question and answer pairs to draw them from; self: the file asked, "
         "each problem left out of its own"),
    INT("prompt.shots_seed", prompt, shots_seed, "42", 0.0, 9e15,
        "of Python's random.Random, which draws them in the order of the file asked"),
    CHOICE("prompt.bos", prompt, bos, "auto", "auto|true|false",
           "special tokens as the tokenizer adds them; auto: unless the preset has its "
           "own"),
    TEXT("prompt.prefix", prompt, prefix, "", "custom: before a question"),
    TEXT("prompt.suffix", prompt, suffix, "", "custom: after a question"),
    TEXT("prompt.begin", prompt, begin, "",
         "custom: before everything; {bos} and {eos} are the tokenizer's, here and "
         "below"),
    TEXT("prompt.system_prefix", prompt, system_prefix, "",
         "custom: before the system text"),
    TEXT("prompt.system_suffix", prompt, system_suffix, "",
         "custom: after the system text"),
    TEXT("prompt.opening", prompt, opening, "",
         "custom: after the last question's suffix, where the answer begins"),
    TEXT("prompt.answer_prefix", prompt, answer_prefix, "auto",
         "custom: before a worked example's answer; auto: a blank, unless the text so "
         "far "
         "ends in white space"),
    TEXT("prompt.answer_suffix", prompt, answer_suffix, "auto",
         "custom: after it; auto: a blank line"),

    INT("rollout.group_size", rollout, group_size, "8", 1.0, 4096.0,
        "completions sampled per prompt (G)"),
    INT("rollout.max_new", rollout, max_new, "256", 1.0, 1e6, "tokens of a completion"),
    REAL("rollout.temperature", rollout, temperature, "1.0", 1e-3, 100.0,
         "divides the logits, in rollout and learner"),
    REAL("rollout.top_p", rollout, top_p, "1.0", 1e-6, 1.0, "nucleus; 1: off"),
    INT("rollout.top_k", rollout, top_k, "0", 0.0, 1e6, "most likely tokens; 0: off"),
    TEXT("rollout.stop", rollout, stop, "",
         "stop strings, separated by |; empty: the prompt preset's"),
    INT("rollout.slots", rollout, slots, "64", 1.0, 65536.0,
        "sequences decoded at once on a rank"),
    INT("rollout.prefill_tokens", rollout, prefill_tokens, "2048", 1.0, 1e7,
        "rows of one prefill pass"),

    CHOICE(
        "reward.style", reward, style, "auto", REWARD_STYLES,
        "where the answer stands: gsm8k \"#### 18\", math \\boxed{} or \"answer is\", "
        "boxed, answer <answer> or \"Answer:\"; auto: any, last the last number"),
    CHOICE("reward.percent", reward, percent, "either", REWARD_PERCENTS,
           "50% is 50 and 0.5, is 0.5, or is 50"),
    CHOICE("reward.order", reward, order, "free", REWARD_ORDERS,
           "whether the order of a list (1, 2) counts; tuples are always in order"),
    CHOICE("reward.rounding", reward, rounding, "exact", REWARD_ROUNDINGS,
           "gold: a value that rounds to a decimal gold at its last place is right"),
    CHOICE("reward.fractions", reward, fractions, "any", REWARD_FRACTIONS,
           "reduced: 2/4 is not 1/2"),
    CHOICE("reward.code", reward, code, "arithmetic", REWARD_CODES,
           "arithmetic: an answer written as a Python function or <llm-code> block is "
           "evaluated, by an interpreter of arithmetic alone; off: it is no answer"),
    TEXT("reward.pattern", reward, pattern, "",
         "own PCRE2 pattern instead of the style's: group 1, or the rest of the line"),
    TEXT("reward.cut", reward, cut, "",
         "own PCRE2 pattern where a completion ends, instead of a new \"Question:\""),
    CHOICE("reward.truncated", reward, truncated, "score", SHAPE_TRUNCATIONS,
           "completions at rollout.max_new: an answer ended before counts, or wrong"),
    REAL("reward.overlong_buffer", reward, overlong_buffer, "0", 0.0, 1e9,
         "tokens below rollout.max_new over which DAPO's length penalty grows; less "
         "than 1: this share of rollout.max_new; 0: off"),
    REAL("reward.overlong_penalty", reward, overlong_penalty, "1.0", 0.0, 1e6,
         "that penalty at rollout.max_new, subtracted"),
    REAL("reward.correct", reward, correct, "1.0", -1e6, 1e6, "of a right answer"),
    REAL("reward.wrong", reward, wrong, "0.0", -1e6, 1e6, "of any other completion"),
    REAL("reward.form", reward, form, "0.0", -1e6, 1e6,
         "added to a wrong answer in the required form"),

    INT("grpo.steps", grpo, steps, "100", 1.0, 1e9, "rollout-and-update steps"),
    INT("grpo.prompts", grpo, prompts, "32", 1.0, 1e6, "prompts per step"),
    INT("grpo.mini_batch", grpo, mini_batch, "0", 0.0, 1e6,
        "prompts per optimiser update; 0: all of the step's"),
    INT("grpo.epochs", grpo, epochs, "1", 1.0, 100.0, "passes over a step's samples"),
    CHOICE("grpo.preset", grpo, preset, "none", PRESET_CHOICES,
           "named sets of options, listed below; keys given explicitly win"),
    CHOICE(
        "grpo.advantage", grpo, advantage, "group",
        "group|mean_only|batch_std|leave_one_out|rloo|reinforce_pp|"
        "reinforce_pp_baseline|opo|gpg|pass_at_k|gdpo",
        "from the rewards of a group: (r - mean) / (std + eps); r - mean (Dr. GRPO); "
        "..."),
    CHOICE("grpo.adv_std", grpo, adv_std, "unbiased", "unbiased|population",
           "sum of squares divided by n - 1, or by n"),
    REAL("grpo.adv_eps", grpo, adv_eps, "1e-6", 0.0, 1.0, "added to the std"),
    BOOL("grpo.adv_has_std", grpo, has_adv_std, "true",
         "pass_at_k and gdpo divide by the group's std"),
    CHOICE("grpo.adv_whiten", grpo, adv_whiten, "none", "none|batch|token",
           "advantages to mean 0 and variance 1 over the step's sequences or tokens"),
    CHOICE("grpo.adv_single", grpo, adv_single, "zero", "zero|reward",
           "advantage of a sample that is alone in its group"),
    REAL("grpo.gamma", grpo, gamma, "1.0", 0.0, 1.0, "discount of reinforce_pp"),
    TEXT("grpo.reward_weights", grpo, reward_weights, "",
         "of several reward functions, comma-separated; empty: 1 each"),
    TEXT("grpo.reward_clip", grpo, reward_clip, "",
         "\"low,high\" that the reward is clipped to; empty: off"),
    CHOICE("grpo.zero_variance", grpo, zero_variance, "keep", "keep|drop|refill",
           "groups of equal rewards stay in the token counts; leave the batch; or give "
           "way to further prompts, as many as are missing, until all groups differ "
           "(DAPO dynamic sampling)"),
    INT("grpo.refill_rounds", grpo, refill_rounds, "8", 1.0, 1000.0,
        "with refill: generation rounds of a step; flat groups left then are dropped"),
    INT("grpo.staleness", grpo, staleness, "0", 0.0, 1.0,
        "1: step t+1 is generated with the weights from before update t, at the same "
        "time as it where ranks are split; ratios are exact against those weights"),
    BOOL("grpo.check_stale", grpo, is_stale_checked, "false",
         "with staleness: learners keep the weights that sampled and check that they "
         "reproduce every log-prob and route (one more forward, for debugging)"),
    CHOICE("grpo.truncated", grpo, truncated, "keep", "keep|mask",
           "completions cut at rollout.max_new count, or are masked"),
    CHOICE("grpo.ratio", grpo, ratio, "token", "token|sequence|sequence_token|product",
           "what the importance ratio is of; sequence: GSPO"),
    REAL("grpo.ratio_clamp", grpo, ratio_clamp, "0", 0.0, 1e3,
         "limit of a token's log-ratio (verl: 20); 0: off"),
    CHOICE(
        "grpo.objective", grpo, objective, "ppo_clip",
        "ppo_clip|cispo|sapo|vespo|gpg|dppo_tv|dppo_kl|dro|kl_cov|gmpo|geo_mean|rloo",
        "policy term from ratio and advantage"),
    REAL("grpo.clip_low", grpo, clip_low, "0.2", 0.0, 1e6,
         "ratio clipped below 1 - this"),
    REAL("grpo.clip_high", grpo, clip_high, "0.2", 0.0, 1e6, "and above 1 + this"),
    REAL("grpo.clip_dual", grpo, clip_dual, "0", 0.0, 1e6,
         "loss of A < 0 at most -A times this (verl: 3); 0: off"),
    REAL("grpo.clip_delta", grpo, clip_delta, "0", 0.0, 1e6,
         "ratio at most this before the minimum (two-sided); 0: off"),
    CHOICE("grpo.cap", grpo, cap, "relative", "relative|absolute",
           "cispo: ratio in 1 - clip_low to 1 + clip_high, or at most clip_high"),
    REAL("grpo.tau_pos", grpo, tau_pos, "1.0", 1e-9, 1e6, "sapo, A > 0"),
    REAL("grpo.tau_neg", grpo, tau_neg, "1.05", 1e-9, 1e6, "sapo, A <= 0"),
    REAL("grpo.vespo_k_pos", grpo, vespo_k_pos, "2", -1e6, 1e6, "vespo, A >= 0"),
    REAL("grpo.vespo_lambda_pos", grpo, vespo_lambda_pos, "3", -1e6, 1e6, "the same"),
    REAL("grpo.vespo_k_neg", grpo, vespo_k_neg, "3", -1e6, 1e6, "vespo, A < 0"),
    REAL("grpo.vespo_lambda_neg", grpo, vespo_lambda_neg, "2", -1e6, 1e6, "the same"),
    REAL("grpo.dro_beta", grpo, dro_beta, "0.5", -1e6, 1e6,
         "of the squared log-ratio in dro"),
    REAL("grpo.cov_share", grpo, cov_share, "0.0002", 0.0, 1.0,
         "kl_cov: share of the tokens held back"),
    REAL("grpo.cov_coef", grpo, cov_coef, "0.1", -1e6, 1e6,
         "kl_cov: of their |log-ratio|"),
    CHOICE(
        "grpo.aggregation", grpo, aggregation, "token_mean", AGGREGATION_CHOICES,
        "from tokens to the loss: mean over a mini-batch's tokens, over sequences of "
        "token means, ..."),
    CHOICE("grpo.kl_aggregation", grpo, kl_aggregation, "same",
           "same|" AGGREGATION_CHOICES, "of the KL term"),
    CHOICE("grpo.entropy_aggregation", grpo, entropy_aggregation, "same",
           "same|" AGGREGATION_CHOICES, "of the entropy bonus"),
    REAL("grpo.norm_tokens", grpo, norm_tokens, "0", 0.0, 1e9,
         "divisor of aggregation constant; 0: rollout.max_new"),
    INT("grpo.micro_seqs", grpo, micro_seqs, "0", 0.0, 1e9,
        "sequences of a micro-batch of aggregation micro_token_mean; 0: by tokens"),
    INT("grpo.micro_loss_tokens", grpo, micro_loss_tokens, "24000", 1.0, 1e12,
        "response tokens of a micro-batch of micro_token_mean"),
    REAL("grpo.count_eps", grpo, count_eps, "0", 0.0, 1.0,
         "added to token counts in means (verl: 1e-8)"),
    REAL("grpo.kl_coef", grpo, kl_coef, "0", -1e6, 1e6,
         "of the KL against the reference in the loss (0: none)"),
    CHOICE("grpo.kl", grpo, kl, "k3", KL_CHOICES,
           "its estimator; +: with the gradient of k2"),
    BOOL("grpo.kl_weighted", grpo, is_kl_weighted, "false",
         "KL times the importance ratio: unbiased off-policy"),
    REAL("grpo.reward_kl_coef", grpo, reward_kl_coef, "0", -1e6, 1e6,
         "of the KL that is taken off the reward (0: none)"),
    CHOICE("grpo.reward_kl", grpo, reward_kl, "k1", KL_CHOICES, "its estimator"),
    REAL("grpo.entropy_coef", grpo, entropy_coef, "0", -1e6, 1e6,
         "entropy bonus per token"),
    REAL("grpo.entropy_quantile", grpo, entropy_quantile, "1.0", 0.0, 1.0,
         "share of the mini-batch's tokens, by entropy, that the policy term keeps"),
    BOOL("grpo.off_policy_mask", grpo, has_off_policy_mask, "false",
         "leave out sequences with A < 0 that the policy has moved away from"),
    REAL("grpo.off_policy_max", grpo, off_policy_max, "0.1", -1e6, 1e6,
         "from this mean of (behaviour - current) log-probs on"),
    CHOICE("grpo.old_logp", grpo, old_logp, "auto", "auto|rollout|learner",
           "the ratio is against the log-probs recorded at sampling, or against those "
           "the learner recomputes before the step's first update; auto: learner for "
           "data.trajectories, else rollout"),
    CHOICE(
        "grpo.is_correction", grpo, is_correction, "none",
        "none|token_truncate|token_mask|sequence_truncate|sequence_mask",
        "importance weights of old_logp against the recorded log-probs (TIS, IcePop)"),
    REAL("grpo.is_high", grpo, is_high, "2.0", 0.0, 1e308,
         "largest weight; 1e308: no limit"),
    REAL("grpo.is_low", grpo, is_low, "0", -1e308, 1e308, "least weight"),
    REAL("grpo.is_clamp", grpo, is_clamp, "0", 0.0, 1e3,
         "limit of the log of a weight (verl: 20); 0: off"),
    BOOL("grpo.is_normalised", grpo, is_normalised, "false",
         "divide the weights by their mean"),
    CHOICE("grpo.correct_with", grpo, correct_with, "old", "old|current",
           "corrections compare old_logp, or the current policy, with the recorded "
           "log-probs"),
    TEXT("grpo.reject", grpo, reject, "",
         "criteria that mask tokens or sequences: token_k1, seq_mean_k3, ..., "
         "comma-separated"),
    TEXT("grpo.reject_limit", grpo, reject_limit, "",
         "their limits: k1 a ratio lo_hi, others an upper bound"),
    CHOICE("grpo.reject_counts", grpo, reject_counts, "before", "before|after",
           "token counts of the loss from before or after rejection"),
    INT("grpo.ref_every", grpo, ref_every, "0", 0.0, 1e9,
        "steps after which the reference of a KL term moves to the policy; 0: frozen; "
        "1: EMA"),
    REAL("grpo.ref_mix", grpo, ref_mix, "0.6", 0.0, 1.0,
         "share a of the policy then: ref = a policy + (1 - a) ref (TR-DPO)"),
    CHOICE("grpo.routing_replay", grpo, routing_replay, "off", "off|r2|r3",
           "experts of the learner's passes: the routers' choice; r2: that of its pass "
           "before the first update; r3: those recorded at sampling"),
    CHOICE("grpo.router", grpo, router, "train", "train|freeze",
           "freeze: routers keep weight, master and moments, and leave the norms"),
    REAL("grpo.aux_coef", grpo, aux_coef, "0", 0.0, 10.0,
         "load-balancing loss over a mini-batch (one more forward)"),
    REAL("grpo.z_coef", grpo, z_coef, "0", 0.0, 10.0,
         "mean squared logsumexp of the routers over a mini-batch (one more forward)"),
    INT("grpo.leaves", grpo, leaves, "8", 1.0, 1024.0,
        "leaves of the gradient tree; part of the result, unlike ranks"),
    BOOL(
        "grpo.first_noop", grpo, is_first_noop, "false",
        "learning rate 0 in the first step, as verl's constant schedule with warm-up 0 "
        "had it when the paper's models were trained"),

    REAL("optim.lr", optim, lr, "1e-6", 0.0, 10.0, "peak learning rate of AdamW"),
    REAL("optim.min_lr", optim, min_lr, "0", 0.0, 10.0,
         "at the end of linear or cosine"),
    CHOICE("optim.schedule", optim, schedule, "constant", "constant|linear|cosine",
           "after the warm-up"),
    INT("optim.warmup", optim, warmup, "0", 0.0, 1e9, "updates of linear warm-up"),
    REAL("optim.beta1", optim, beta1, "0.9", 0.0, 0.999999, "first moment"),
    REAL("optim.beta2", optim, beta2, "0.999", 0.0, 0.9999999, "second moment"),
    REAL("optim.eps", optim, eps, "1e-8", 0.0, 1.0, "added to the root"),
    REAL("optim.weight_decay", optim, weight_decay, "0.01", 0.0, 10.0,
         "decoupled; norms are exempt"),
    REAL("optim.clip_l2", optim, clip_l2, "1.0", 0.0, 1e9,
         "global L2 norm of the gradient; 0: off"),
    REAL(
        "optim.clip_l1", optim, clip_l1, "0", 0.0, 1e9,
        "then its L1 norm (the paper's code: 1.0; it shrinks steps as models grow); 0: "
        "off"),
    CHOICE(
        "optim.offload", optim, offload, "auto", "auto|none|moments|all",
        "what of the optimiser's state lies in page-locked host memory when training "
        "on a GPU: its moments, all of it with the master weights, or, auto, as "
        "little as makes the run fit; updates are slower, their bits the same"),

    INT("learner.micro_tokens", learner, micro_tokens, "4096", 1.0, 1e8,
        "rows of one forward and backward pass; a group is never split"),
    INT("learner.head_rows", learner, head_rows, "0", 0.0, 1e6,
        "rows of logits in memory at once; 0: 256, on a GPU 2048"),
    CHOICE("learner.recompute", learner, recompute, "auto", "auto|none|layer",
           "keep all activations, or recompute each layer in the backward"),

    INT("eval.every", eval, every, "0", 0.0, 1e9,
        "steps between evaluations; 0: ends only"),
    BOOL("eval.at_start", eval, is_at_start, "true", "evaluate before training"),
    INT("eval.max_new", eval, max_new, "0", 0.0, 1e6,
        "tokens of a completion; 0: rollout.max_new"),
    INT("eval.samples", eval, samples, "1", 1.0, 4096.0, "completions per problem"),
    REAL("eval.temperature", eval, temperature, "0", 0.0, 100.0, "0: greedy"),
    REAL("eval.top_p", eval, top_p, "1.0", 1e-6, 1.0, "nucleus; 1: off"),
    INT("eval.seed", eval, seed, "42", 0.0, 9e15, "of its sampling"),

    INT("checkpoint.every", checkpoint, every, "0", 0.0, 1e9,
        "steps between checkpoints; 0: at the end only"),
    INT("checkpoint.keep_last", checkpoint, keep_last, "3", 1.0, 1e6, "newest kept"),
    INT("checkpoint.keep_every", checkpoint, keep_every, "0", 0.0, 1e9,
        "also every so many steps for good; 0: none"),
    INT("checkpoint.shard_mb", checkpoint, shard_mb, "5000", 1.0, 1e9,
        "largest safetensors file, MB"),

    INT("pretrain.steps", pretrain, steps, "1000", 1.0, 1e9, "optimiser updates"),
    INT("pretrain.batch", pretrain, batch, "64", 1.0, 1e6, "examples per update"),
    INT("pretrain.max_tokens", pretrain, max_tokens, "512", 2.0, 1e6,
        "tokens of an example; longer ones are cut"),
    CHOICE("pretrain.loss_on", pretrain, loss_on, "all", "all|completion",
           "tokens that count: all, or those after the prompt (SFT)"),
    REAL("pretrain.aux_coef", pretrain, aux_coef, "0.01", 0.0, 10.0,
         "load-balancing loss over a micro-batch"),
    REAL("pretrain.z_coef", pretrain, z_coef, "0.001", 0.0, 10.0,
         "mean squared logsumexp of the router"),
    INT("pretrain.val", pretrain, val, "0", 0.0, 1e6,
        "examples of data.eval for the validation loss; 0: none"),

    INT("shape.d_model", shape, d_model, "128", 1.0, 1e6, "from scratch: model width"),
    INT("shape.layers", shape, layers, "4", 1.0, 1e4, "layers"),
    INT("shape.heads", shape, heads, "4", 1.0, 1e4, "query heads"),
    INT("shape.kv_heads", shape, kv_heads, "4", 1.0, 1e4, "key and value heads"),
    INT("shape.head_dim", shape, head_dim, "0", 0.0, 1e4, "0: d_model / heads"),
    INT("shape.d_ff", shape, d_ff, "256", 1.0, 1e6, "width of an expert"),
    INT("shape.experts", shape, experts, "8", 1.0, 65535.0, "experts per layer"),
    INT("shape.top_k", shape, top_k, "2", 1.0, 1024.0, "experts per token"),
    INT("shape.vocab", shape, vocab, "0", 0.0, 1e7,
        "rows of the embedding; 0: the tokenizer's tokens, rounded up to 64"),
    INT("shape.max_positions", shape, max_positions, "4096", 1.0, 1e8, "context"),
    REAL("shape.rope_theta", shape, rope_theta, "10000", 1.0, 1e12, "rotary base"),
    REAL("shape.rms_eps", shape, rms_eps, "1e-5", 1e-12, 1.0, "norm epsilon"),
    BOOL("shape.tied", shape, is_tied, "false", "one matrix for embedding and head"),

    INT("log.samples", log, samples, "2", 0.0, 1e6,
        "prompts per step in samples.jsonl, and problems per evaluation, always the "
        "same"),
    BOOL(
        "log.trajectories", log, has_trajectories, "false",
        "every step's completions with log-probs and rewards in trajectories.jsonl, as "
        "--trajectories reads them"),
    BOOL("log.tensorboard", log, has_tensorboard, "true", "write an event file"),
};

const struct options *config_options(void)
{
    static const struct options table = {.items = items, .n = ARRAY_LEN(items)};
    return &table;
}

static int apply_words(struct config *c, int argc, char *const *argv)
{
    const struct options *const o = config_options();
    for (int i = 0; i < argc; i++) {
        const bool is_file = strchr(argv[i], '=') == NULL;
        if (is_file && i > 0)
            return ERR(ERR_USAGE,
                       "unexpected argument \"%s\": one INI file comes first, then "
                       "section.key=value",
                       argv[i]);
        TRY(is_file ? options_read_file(o, c, argv[i])
                    : options_override(o, c, argv[i]));
    }
    return STATUS_OK;
}

int config_parse(struct config *c, int argc, char *const *argv)
{
    const struct options *const o = config_options();
    *c = (struct config){0};
    TRY(options_set_defaults(o, c));
    TRY(apply_words(c, argc, argv));
    if (c->grpo.preset == PRESET_NONE)
        return STATUS_OK;
    /* what was given explicitly must win wherever it stood: once more, over the preset
     */
    const int preset = c->grpo.preset;
    options_release(o, c);
    TRY(options_set_defaults(o, c));
    TRY(preset_apply(preset, o, c));
    return apply_words(c, argc, argv);
}

void config_release(struct config *c) { options_release(config_options(), c); }

struct reward_options config_verifier(const struct config *c)
{
    const struct config_reward *const r = &c->reward;
    return (struct reward_options){.style = r->style,
                                   .percent = r->percent,
                                   .order = r->order,
                                   .rounding = r->rounding,
                                   .fractions = r->fractions,
                                   .code = r->code,
                                   .pattern = r->pattern,
                                   .cut = r->cut};
}

/* Whole tokens; of a share, at least one */
static int64_t overlong_tokens(double buffer, int64_t max_new)
{
    const bool is_share = buffer > 0.0 && buffer < 1.0;
    const int64_t n = llround(is_share ? buffer * (double)max_new : buffer);
    return is_share && n == 0 ? 1 : n;
}

struct shape_options config_shaping(const struct config *c)
{
    const struct config_reward *const r = &c->reward;
    return (struct shape_options){
        .correct = r->correct,
        .wrong = r->wrong,
        .form = r->form,
        .truncation = (enum shape_truncation)r->truncated,
        .overlong_buffer = overlong_tokens(r->overlong_buffer, c->rollout.max_new),
        .overlong_limit = c->rollout.max_new,
        .overlong_penalty = r->overlong_penalty};
}
