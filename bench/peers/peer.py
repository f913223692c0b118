"""Shared by the peers: options, medians, results in the shape that bench_gpu prints, the
paper's model in transformers, and a time limit that ends the script with what it has."""
import argparse
import json
import os
import signal
import statistics
import sys
import threading
import time

VOCAB = 99574


def options(description, **defaults):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--quick", action="store_true", help="smaller sizes, fewer repetitions")
    p.add_argument("--json", help="append one object per figure to this file")
    p.add_argument("--limit", type=float, default=0, help="seconds; 0: 22 quick, 85 else")
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true", help="a tiny model: does the script work?")
    for name, value in defaults.items():
        p.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    o = p.parse_args()
    o.limit = o.limit or (22 if o.quick else 85)
    o.start = time.monotonic()
    guard(o.limit)
    return o


def guard(seconds):
    """Ends the process: an exception would wait for a library call that hangs."""

    def end():
        print(f"stopped after {seconds:.0f} s", flush=True)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def seconds_left(o):
    return o.limit - (time.monotonic() - o.start)


def progress(o, what):
    print(f"# {time.monotonic() - o.start:.1f} s: {what}", flush=True)


def report(o, name, value, unit, peer, detail=""):
    print(f"{name:<46} {value:12.6g} {unit:<9} {peer:<40} {detail}", flush=True)
    if o.json:
        with open(o.json, "a") as f:
            f.write(json.dumps({"name": name, "value": value, "unit": unit, "peer": peer,
                                "detail": detail}, separators=(",", ":")) + "\n")


def absent(o, name, why):
    print(f"{name}: absent: {why}", flush=True)
    if o.json:
        with open(o.json, "a") as f:
            f.write(json.dumps({"name": name, "skipped": f"absent: {why}"},
                               separators=(",", ":")) + "\n")
    sys.exit(77)


def sync(o):
    import torch

    if o.device == "cuda":
        torch.cuda.synchronize()


def median_seconds(o, call, n, warm_up=1, budget_s=1e9):
    """Of calls that end synchronised; at least two are counted."""
    for _ in range(warm_up):
        call()
    sync(o)
    took, start = [], time.perf_counter()
    while len(took) < n and (len(took) < 2 or time.perf_counter() - start < budget_s):
        t = time.perf_counter()
        call()
        sync(o)
        took.append(time.perf_counter() - t)
    return statistics.median(took)


def mixtral(o, n_experts, layers=16):
    """The paper's shape, random bf16 weights made on the device, torch's grouped products."""
    import torch
    import transformers

    config = transformers.MixtralConfig(
        vocab_size=512 if o.tiny else VOCAB, hidden_size=64 if o.tiny else 1024,
        intermediate_size=96 if o.tiny else 2048, num_hidden_layers=2 if o.tiny else layers,
        num_attention_heads=4 if o.tiny else 8, num_key_value_heads=4 if o.tiny else 8,
        head_dim=16 if o.tiny else 128, num_local_experts=n_experts, num_experts_per_tok=2,
        rms_norm_eps=1e-5, rope_theta=1e4, max_position_embeddings=4096,
        tie_word_embeddings=False, sliding_window=None, bos_token_id=None, eos_token_id=None,
        pad_token_id=0, attention_dropout=0.0, router_jitter_noise=0.0)
    config._attn_implementation = "sdpa"
    config._experts_implementation = "grouped_mm"
    with torch.device("meta"):
        model = transformers.MixtralForCausalLM(config)
    model = model.to(torch.bfloat16).to_empty(device=o.device)
    for name, p in model.named_parameters():
        with torch.no_grad():
            p.fill_(1.0) if "norm" in name else p.normal_(0.0, 0.02)
    rope = model.model.rotary_emb
    model.model.rotary_emb = type(rope)(config).to(o.device)
    progress(o, "model made")
    return model


def versions():
    import torch
    import transformers

    return f"torch {torch.__version__}, transformers {transformers.__version__}"
