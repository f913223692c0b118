#!/usr/bin/env python3
"""The learner's work in transformers: forward, log-probabilities of every token, backward,
and AdamW, on the shape and tokens of `bench_gpu learner`.

MixtralForCausalLM in bf16 with torch's grouped products (CUTLASS) and SDPA, nothing
recomputed but the head, whose logits are made 2048 rows at a time, as ours. AdamW(fused)
on bf16 weights with bf16 moments: less memory traffic than our fp32 master and moments.
`--compile` adds a torch.compile run where time is left."""
import statistics
import time

from peer import absent, mixtral, options, progress, report, seconds_left, sync, versions

TOKENS, HEAD_ROWS = 1024, 2048


def head_loss(model, hidden, ids):
    """Mean negative log-probability, logits of HEAD_ROWS rows at a time."""
    import torch
    from torch.utils.checkpoint import checkpoint

    def chunk(x, target):
        logits = model.lm_head(x).float()
        return torch.nn.functional.cross_entropy(logits, target, reduction="sum")

    rows = hidden.flatten(0, 1)
    target = ids.flatten().roll(-1)
    loss = rows.new_zeros((), dtype=torch.float32)
    for i in range(0, rows.shape[0], HEAD_ROWS):
        loss = loss + checkpoint(chunk, rows[i : i + HEAD_ROWS], target[i : i + HEAD_ROWS],
                                 use_reentrant=False)
    return loss / rows.shape[0]


def measure(o, model, body, ids, optimizer):
    """Median seconds of forward with head, backward, update; and the first loss."""
    forward, backward, update, first = [], [], [], None
    warm_up = 1 if o.quick else 2
    for i in range(warm_up + (3 if o.quick else 8)):
        if i > warm_up and seconds_left(o) < 2 * (t3 - t0):
            break
        sync(o)
        t0 = time.perf_counter()
        loss = head_loss(model, body(input_ids=ids, use_cache=False).last_hidden_state, ids)
        sync(o)
        t1 = time.perf_counter()
        loss.backward()
        sync(o)
        t2 = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        sync(o)
        t3 = time.perf_counter()
        first = loss.item() if first is None else first
        if i == 0:
            progress(o, f"first pass, {t3 - t0:.2f} s")
        if i >= warm_up:
            forward.append(t1 - t0)
            backward.append(t2 - t1)
            update.append(t3 - t2)
    return *(statistics.median(x) for x in (forward, backward, update)), first


def run(o, n_experts, how):
    import torch

    torch.manual_seed(1)
    model = mixtral(o, n_experts)
    model.train()
    n_seqs = 2 if o.tiny else 16 if o.quick else 24
    ids = torch.randint(0, model.config.vocab_size, (n_seqs, 64 if o.tiny else TOKENS),
                        device=o.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.95), fused=True)
    body = model.model
    if how == "compiled":
        body = torch.compile(body, mode="max-autotune-no-cudagraphs")
    while True:
        try:
            forward, backward, update, loss = measure(o, model, body, ids, optimizer)
            break
        except torch.OutOfMemoryError:
            optimizer.zero_grad(set_to_none=True)
            ids = ids[: len(ids) * 3 // 4]
            torch.cuda.empty_cache()
            if len(ids) == 0:
                raise
    n = ids.numel()
    name = f"learner d1024-E{n_experts}-k2"
    peer = f"transformers grouped_mm{', ' + how if how else ''}"
    report(o, f"{name} fwd+head+bwd", n / (forward + backward), "tokens/s", peer,
           f"{len(ids)} x {ids.shape[1]} tokens: forward and log-probs {1e3 * forward:.1f} ms, "
           f"backward {1e3 * backward:.1f}; loss {loss:.3f}")
    report(o, f"{name} with update", n / (forward + backward + update), "tokens/s", peer,
           f"AdamW on bf16 {1e3 * update:.1f} ms")


def main():
    o = options(__doc__.split("\n")[0], experts=16, compile=0)
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as e:
        absent(o, "learner, transformers", str(e))
    if o.device == "cuda" and not torch.cuda.is_available():
        absent(o, "learner, transformers", "no GPU")
    print(versions())
    progress(o, "imports")
    run(o, o.experts, "")
    if o.compile and seconds_left(o) > 20:
        if o.device == "cuda":
            torch.cuda.empty_cache()
        run(o, o.experts, "compiled")


if __name__ == "__main__":
    main()
