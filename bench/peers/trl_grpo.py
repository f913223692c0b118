#!/usr/bin/env python3
"""GRPO steps of TRL's GRPOTrainer beside `grpo train`, both measured here: the same random
checkpoint, word problems, prompt text, group size, completion length and learning rate;
no reference model, one update per step. The demo's shape (4 layers of width 128, 8 experts).

The time of a step is generation, rewards, update; the first one is left out. TRL runs in
bf16 autocast over fp32 weights (its way); ours with bf16 weights and fp32 master.
Needs torch, transformers, trl and datasets; --grpo names the program."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from peer import absent, options, report, seconds_left, sync, versions

SHAPE = ["shape.d_model=128", "shape.layers=4", "shape.heads=4", "shape.kv_heads=4",
         "shape.d_ff=256", "shape.experts=8", "shape.top_k=2"]
NAME = "GRPO step, demo checkpoint"


def grpo(o, *words):
    r = subprocess.run([o.grpo, *words], capture_output=True, text=True,
                       timeout=max(1, seconds_left(o)), check=False)
    if r.returncode != 0:
        sys.exit(f"grpo {words[0]}: status {r.returncode}: {r.stderr[-400:]}")


def make_checkpoint(o, work):
    grpo(o, "synth", f"{work}/data", "--seed", "3", "--pretrain", "600", "--train", "512",
         "--heldout", "20", "--vocab", "512")
    grpo(o, "pretrain", f"run.dir={work}/base", f"model.tokenizer={work}/data",
         f"data.train={work}/data/pretrain.jsonl", "data.max_prompt=200",
         "pretrain.max_tokens=300", "pretrain.steps=1", "pretrain.batch=2", "optim.lr=1e-9",
         *SHAPE)
    return f"{work}/base/checkpoints/step_1"


def run_ours(o, work, model):
    device = ["run.device=cuda", "model.dtype=bf16"] if o.device == "cuda" else []
    grpo(o, "train", f"model.path={model}", f"data.train={work}/data/train.jsonl",
         f"run.dir={work}/run", f"grpo.steps={o.steps}", f"grpo.prompts={o.prompts}",
         f"rollout.group_size={o.group}", f"rollout.max_new={o.new}", "data.max_prompt=200",
         f"rollout.slots={o.prompts * o.group}", "learner.micro_tokens=8192", "optim.lr=1e-6",
         "reward.form=0.1", *device)
    with open(f"{work}/run/metrics.jsonl") as f:
        steps = [m for m in map(json.loads, f) if "time_step_s" in m][1:]
    s = statistics.median(m["time_step_s"] for m in steps)
    tokens = statistics.mean(m["response_len_mean"] for m in steps)
    report(o, NAME, s, "s", "", f"{o.prompts} x {o.group} completions of {tokens:.1f} tokens: "
           f"rollout {statistics.median(m['time_rollout_s'] for m in steps):.3f} s, learner "
           f"{statistics.median(m['time_learn_s'] for m in steps):.3f}")


def run_trl(o, work, model):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    class Clock(TrainerCallback):
        def __init__(self):
            self.took = []

        def on_step_begin(self, *_, **__):
            sync(o)
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            sync(o)
            self.took.append(time.perf_counter() - self.start)

    with open(f"{work}/data/train.jsonl") as f:
        prompts = [f"Question: {json.loads(line)['question']}\nAnswer:" for line in f]
    tokens = []

    def reward(completion_ids, **_):
        tokens.append(statistics.mean(len(ids) for ids in completion_ids))
        return [float(i % 3 == 0) for i in range(len(completion_ids))]

    clock = Clock()
    args = GRPOConfig(
        output_dir=f"{work}/trl", per_device_train_batch_size=o.prompts * o.group,
        num_generations=o.group, max_completion_length=o.new, max_steps=o.steps,
        learning_rate=1e-6, lr_scheduler_type="constant", beta=0.0, temperature=1.0,
        loss_type="grpo", bf16=o.device == "cuda", use_cpu=o.device == "cpu",
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        gradient_checkpointing=False, router_aux_loss_coef=0.0, seed=1)
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, experts_implementation="grouped_mm"),
        reward_funcs=reward, args=args, train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        callbacks=[clock])
    trainer.train()
    report(o, NAME, statistics.median(clock.took[1:]), "s", "TRL GRPOTrainer, generate",
           f"{o.prompts} x {o.group} completions of {statistics.mean(tokens):.1f} tokens; "
           f"{torch.__version__}")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    o = options(__doc__.split("\n")[0], grpo=os.path.join(here, "../bin/grpo"), prompts=32,
                group=8, new=64, steps=4)
    if o.tiny:
        o.prompts, o.group, o.new = 4, 4, 12
    if not os.access(o.grpo, os.X_OK):
        absent(o, NAME, f"no program {o.grpo}")
    try:
        import datasets  # noqa: F401
        import torch
        import trl
    except ImportError as e:
        absent(o, NAME, str(e))
    if o.device == "cuda" and not torch.cuda.is_available():
        absent(o, NAME, "no GPU")
    print(versions(), "trl", trl.__version__)
    with tempfile.TemporaryDirectory() as work:
        model = make_checkpoint(o, work)
        run_ours(o, work, model)
        run_trl(o, work, model)


if __name__ == "__main__":
    main()
