#!/usr/bin/env python3
"""Random option mixes for `grpo objective`, with the outputs of an independent reference.

  make_objective_cases.py GOLDEN.py SEED N > cases.jsonl   cases with their outputs
  make_objective_cases.py GOLDEN.py SEED N GRPO            compares the program's outputs

GOLDEN.py is the reference program of the objectives' fixtures (functions evaluate, ties,
error). A mix that the reference itself cannot compute (a division by zero) is left out."""
import importlib.util
import json
import math
import random
import subprocess
import sys
import tempfile

KEYS = ("loss", "micro_losses", "grad", "grad_entropy", "advantages", "mask", "weights")
KLS = ["kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3", "k1+", "abs+", "k2+", "k3+"]

# option: (share of cases that give it, values)
TRL = {
    "trainer": (.25, ["gmpo", "rloo", "grpo"]),
    "loss_type": (.8, ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "vespo", "luspo"]),
    "beta": (.4, [0., .04, .1]), "epsilon": (.4, [.05, .1, .3, 3e-4, 1.]),
    "epsilon_high": (.4, [None, .28, 5., 1.1, 4e-4]), "delta": (.2, [None, 1.3, 2.]),
    "num_iterations": (.6, [1, 2, 3]), "gradient_accumulation_steps": (.3, [1, 2, 3, 4]),
    "steps_per_generation": (.3, [None, 1, 2, 3, 4]),
    "importance_sampling_level": (.3, ["token", "sequence"]),
    "max_completion_length": (.3, [8, 64]), "scale_rewards": (.4, ["group", "batch", "none"]),
    "multi_objective_aggregation": (.2, ["sum_then_normalize", "normalize_then_sum"]),
    "mask_truncated_completions": (.3, [True, True, False]),
    "top_entropy_quantile": (.25, [.1, .2, .5, .8, 1.]), "entropy_coef": (.25, [0., .01, .1]),
    "off_policy_mask_threshold": (.2, [None, .05, .1, -.1, .5]),
    "use_bias_correction_kl": (.3, [True, False]), "use_vllm": (.5, [True, True, False]),
    "vllm_importance_sampling_correction": (.2, [True, False]),
    "vllm_importance_sampling_mode":
        (.6, ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]),
    "vllm_importance_sampling_clip_max": (.4, [2., 3., 1.2, None]),
    "vllm_importance_sampling_clip_min": (.4, [.5, None, .8]),
    "sapo_temperature_pos": (.2, [.5, 2.]), "sapo_temperature_neg": (.2, [.5, 2.]),
    "vespo_k_pos": (.2, [1., 3.]), "vespo_lambda_pos": (.2, [1., 2.]),
    "vespo_k_neg": (.2, [1., 2.]), "vespo_lambda_neg": (.2, [1., 3.]),
}
RLOO = {"normalize_advantages": (.4, [True, False]),
        "reward_clip_range": (.4, [None, [-.5, .8], [-1, 1]])}
VERL = {
    "adv_estimator": (.7, ["grpo", "grpo_vectorized", "grpo_passk", "rloo",
                           "rloo_vectorized", "reinforce_plus_plus",
                           "reinforce_plus_plus_baseline", "opo", "gpg", "gdpo"]),
    "norm_adv_by_std_in_grpo": (.3, [True, False]), "gamma": (.3, [.9, 1., .5]),
    "use_kl_in_reward": (.3, [True, True, False]), "kl_penalty": (.3, KLS),
    "kl_coef": (.3, [.001, .1, 0.]),
    "loss_mode": (.75, ["vanilla", "gspo", "cispo", "sapo", "geo_mean", "gpg", "dppo_tv",
                        "dppo_kl", "dro", "kl_cov"]),
    "dro_beta": (1., [.1, .5]),
    "loss_agg_mode": (.6, ["token-mean", "token-sum", "seq-mean-token-sum",
                           "seq-mean-token-mean", "seq-mean-token-sum-norm"]),
    "loss_scale_factor": (.2, [None, 8, 100]), "clip_ratio_low": (.4, [.05, .1, .3, 3e-4]),
    "clip_ratio_high": (.4, [.05, .28, 1., 4e-4]), "clip_ratio_c": (.3, [1.1, 2., 10.]),
    "entropy_coeff": (.3, [0., .01, .2]), "use_kl_loss": (.4, [True, True, False]),
    "kl_loss_coef": (.4, [.1, .01]), "kl_loss_type": (.6, KLS), "tau_pos": (.2, [.5, 2.]),
    "tau_neg": (.2, [.5, 2.]), "kl_cov_ratio": (.4, [.2, .5]), "ppo_kl_coef": (.3, [.5, 1.]),
    "rollout_is": (.5, [None, "token", "sequence"]),
    "rollout_is_threshold": (.5, [2., 1.1, "0.5_2.0", "0.8_1.25", 5]),
    "rollout_is_batch_normalize": (.3, [True, True, False]),
    "bypass_mode": (.25, [True, True, False]), "loss_type": (.3, ["ppo_clip", "reinforce"]),
    "micro_batch_size": (.3, [None, 1, 2, 3, 5]), "use_v1": (.3, [True, False]),
}


def make_input(r, engine):
    n_groups, size = r.randint(1, 3), r.choice([1, 2, 3, 4, 4])
    mixed = r.random() < .15
    group = [g for g in range(n_groups) for _ in range(r.randint(1, 5) if mixed else size)]
    if r.random() < .1:
        r.shuffle(group)
    n, n_rewards, longest = len(group), r.choice([1, 1, 2, 3]), r.choice([1, 3, 5, 8])
    lengths = [r.randint(1, longest) for _ in range(n)]
    kind, spread = r.choice(["right", "right", "real", "flat"]), r.choice([.01, .2, .2, 1., 3.])
    each = lambda f: [[f(i, t) for t in range(k)] for i, k in enumerate(lengths)]
    move = lambda rows, s: [[round(x + r.gauss(0, s), 4) for x in row] for row in rows]

    def reward():
        if engine == "trl" and r.random() < .08:
            return None
        return dict(right=float(r.randint(0, 1)), real=round(r.gauss(0, 1), 3), flat=.5)[kind]
    logp = each(lambda i, t: -round(r.expovariate(1.) + 1e-4, 4))
    old = move(logp, spread) if r.random() < .9 else logp
    old = [[min(x, -1e-4) for x in row] for row in old]
    rollout = move(old, r.choice([.05, .5]))
    if engine == "trl" and r.random() < .3:
        rollout = [[None if r.random() < .1 else x for x in row] for row in rollout]
    holes = r.choice([0, 0, .2, .6])
    mask = each(lambda i, t: int(r.random() >= holes))
    mask = [[0]*len(row) if r.random() < .1 else row for row in mask]
    return dict(group=group, rewards=[[reward() for _ in range(n_rewards)] for _ in group],
                width=max(lengths) + r.choice([0, 0, 3]), mask=mask,
                truncated=[int(r.random() < .2) for _ in group], logp=logp, logp_old=old,
                logp_ref=move(logp, r.choice([.05, .5])), logp_rollout=rollout,
                entropy=each(lambda i, t: round(3*r.random(), 4)))


def make_rules(r):
    names = [a + "_k" + b for a in ("token", "seq_sum", "seq_mean", "seq_max") for b in "123"]
    names = r.sample(names, r.choice([1, 1, 2, 3]))
    limits = [r.choice(["0.5_2.0", "0.8_1.3", "2.0"] if n.endswith("k1") else
                       [.05, .5, .01, 2.]) for n in names]
    one = limits[0] if len(limits) == 1 else ",".join(map(str, limits))
    return dict(rollout_rs=",".join(names), rollout_rs_threshold=one)


def make_options(r, engine, n_rewards):
    table = dict(TRL if engine == "trl" else VERL)
    o = {k: r.choice(v) for k, (share, v) in table.items() if r.random() < share}
    if o.get("trainer") == "rloo":
        o.update({k: r.choice(v) for k, (share, v) in RLOO.items() if r.random() < share})
    if engine == "trl" and r.random() < .3:
        o["reward_weights"] = [r.choice([1., .5, 2.]) for _ in range(n_rewards)]
    if o.get("adv_estimator") == "gdpo" and r.random() < .5:
        o["gdpo_reward_weights"] = [r.choice([1., .5]) for _ in range(n_rewards)]
    if engine == "verl" and r.random() < .45:
        o.update(make_rules(r))
    return o


def plain(x):
    """Non-finite numbers as strings"""
    if isinstance(x, list):
        return [plain(a) for a in x]
    if isinstance(x, float) and not math.isfinite(x):
        return "nan" if x != x else "inf" if x > 0 else "-inf"
    return x


def numbers(x):
    return [numbers(a) for a in x] if isinstance(x, list) else float(x)


def make_cases(golden, seed, n):
    r, cases = random.Random(seed), []
    while len(cases) < n:
        engine = r.choice(["trl", "verl"])
        data = make_input(r, engine)
        options = make_options(r, engine, len(data["rewards"][0]))
        case = dict(id=f"{seed}/{len(cases)}", engine=engine, options=options, input=data)
        try:
            output = golden.evaluate(case)
            ties = golden.ties(case)
        except (ZeroDivisionError, ValueError):
            continue
        if not any(map(any, output["grad_entropy"])):
            del output["grad_entropy"]
        case["output"] = {k: plain(v) for k, v in output.items() if v is not None}
        if ties:
            case["ties"] = ties
        cases.append(case)
    return cases


def compare(golden, grpo, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
        f.writelines(json.dumps(c) + "\n" for c in cases)
        f.flush()
        run = subprocess.run([grpo, "objective", f.name], capture_output=True, text=True)
    worst, n_bad = 0., 0
    for case, line in zip(cases, run.stdout.splitlines(), strict=True):
        got, want = json.loads(line), case["output"]
        if "error" in got:
            print("REFUSED", case["id"], got["error"])
            n_bad += 1
            continue
        got, want = ({k: numbers(d[k]) for k in KEYS if k in d and k in want}
                     for d in (got, want))
        for i, t in case.get("ties", []):
            got["grad"][i][t] = want["grad"][i][t]
        errors = {k: golden.error(got.get(k, []), want[k]) for k in want}
        worst = max(worst, *errors.values())
        if any(not e <= 1e-9 for e in errors.values()):
            n_bad += 1
            print("BAD", case["id"], case["engine"], case["options"], errors)
    print(f"{len(cases)} cases, {n_bad} differ, largest relative error {worst:.1e}")
    return n_bad


def main():
    spec = importlib.util.spec_from_file_location("golden", sys.argv[1])
    golden = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(golden)
    cases = make_cases(golden, int(sys.argv[2]), int(sys.argv[3]))
    if len(sys.argv) > 4:
        sys.exit(compare(golden, sys.argv[4], cases) > 0)
    for case in cases:
        print(json.dumps(case, separators=(",", ":")))


if __name__ == "__main__":
    main()
