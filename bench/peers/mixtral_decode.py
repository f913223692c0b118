#!/usr/bin/env python3
"""Decoding at a context of 768 tokens, the shapes of `bench_gpu decode`, three ways:

loop      a hand-written decode step in torch: static bf16 cache, SDPA, grouped products,
          sampling and log-probabilities, captured as a CUDA graph where torch allows it,
          tokens copied to the host every step: the strong peer
generate  transformers' generate with a static cache, B = 1 and 64
paged     transformers' continuous batching (generate_batch), B = 64, with --paged 1

Each at B = 1, 64, 512 as memory and time allow; times are medians of whole steps."""
import time

from peer import VOCAB, absent, mixtral, median_seconds, options, progress, report, seconds_left, \
    sync, versions

CONTEXT = 768


class Loop:
    """One decode step of B sequences whose contexts are CONTEXT long."""

    def __init__(self, o, n_experts, n_seqs):
        import torch

        self.o, self.b, self.e = o, n_seqs, n_experts
        self.layers = 2 if o.tiny else 16
        self.d, self.f = (64, 96) if o.tiny else (1024, 2048)
        self.h, self.hd = (4, 16) if o.tiny else (8, 128)
        self.v = 512 if o.tiny else VOCAB
        self.dtype = torch.bfloat16
        d, f, e = self.d, self.f, n_experts

        def weight(*dims):
            return torch.randn(*dims, device=o.device, dtype=self.dtype).mul_(0.02)

        self.embed, self.head = weight(self.v, d), weight(self.v, d)
        self.w = [dict(qkv=weight(3 * d, d), o=weight(d, d), router=weight(e, d),
                       gate_up=weight(e, d, 2 * f), down=weight(e, f, d),
                       norm1=torch.ones(d, device=o.device, dtype=self.dtype),
                       norm2=torch.ones(d, device=o.device, dtype=self.dtype))
                  for _ in range(self.layers)]
        self.norm = torch.ones(d, device=o.device, dtype=self.dtype)
        self.k = [weight(n_seqs, self.h, CONTEXT, self.hd).mul_(50) for _ in self.w]
        self.vals = [weight(n_seqs, self.h, CONTEXT, self.hd).mul_(50) for _ in self.w]
        angle = (CONTEXT - 1) / 1e4 ** (torch.arange(self.hd // 2) * 2 / self.hd)
        self.cos = angle.cos().to(o.device, self.dtype)
        self.sin = angle.sin().to(o.device, self.dtype)
        self.ids = torch.randint(0, self.v, (n_seqs,), device=o.device)
        self.logp = torch.zeros(n_seqs, device=o.device)
        self.graph = None

    def rope(self, x):
        import torch

        a, b = x.chunk(2, -1)
        return torch.cat((a * self.cos - b * self.sin, b * self.cos + a * self.sin), -1)

    def experts(self, x, w):
        import torch

        top, chosen = (x @ w["router"].t()).float().topk(2, -1)
        weights = top.softmax(-1).to(self.dtype)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        counts = (flat[:, None] == torch.arange(self.e, device=x.device)).sum(0)
        ends = counts.cumsum(0).to(torch.int32)
        h = torch._grouped_mm(x[order // 2], w["gate_up"], offs=ends)
        gate, up = h.chunk(2, -1)
        y = torch._grouped_mm(torch.nn.functional.silu(gate) * up, w["down"], offs=ends)
        place = torch.empty_like(order)
        place[order] = torch.arange(order.numel(), device=x.device)
        return (y[place].view(self.b, 2, self.d) * weights[..., None]).sum(1)

    def step(self):
        import torch
        from torch.nn.functional import rms_norm, scaled_dot_product_attention

        x = self.embed[self.ids]
        for i, w in enumerate(self.w):
            qkv = (rms_norm(x, (self.d,), w["norm1"], 1e-5) @ w["qkv"].t())
            q, k, v = qkv.view(self.b, 3, self.h, 1, self.hd).unbind(1)
            self.k[i][:, :, CONTEXT - 1 :] = self.rope(k)
            self.vals[i][:, :, CONTEXT - 1 :] = v
            att = scaled_dot_product_attention(self.rope(q), self.k[i], self.vals[i])
            x = x + att.reshape(self.b, self.d) @ w["o"].t()
            x = x + self.experts(rms_norm(x, (self.d,), w["norm2"], 1e-5), w)
        logits = (rms_norm(x, (self.d,), self.norm, 1e-5) @ self.head.t()).float()
        logp = logits.log_softmax(-1)
        noise = torch.empty_like(logp).exponential_()
        token = (logp.exp() / noise).argmax(-1)
        self.logp.copy_(logp.gather(1, token[:, None])[:, 0])
        self.ids.copy_(token)

    def capture(self):
        import torch

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.graph = graph

    def run(self):
        if self.graph is None:
            self.step()
        else:
            self.graph.replay()
        return self.ids.cpu()


def run_loop(o, n_experts, n_seqs):
    import torch

    name = f"decode d1024-E{n_experts}-k2 B={n_seqs} G=1"
    how = "eager"
    try:
        loop = Loop(o, n_experts, n_seqs)
        with torch.no_grad():
            eager = median_seconds(o, loop.run, 10, 2, 1.5)
            if o.device == "cuda":
                try:
                    loop.capture()
                    how = "CUDA graph"
                except RuntimeError as e:
                    print(f"no graph: {str(e)[:120]}", flush=True)
            s = median_seconds(o, loop.run, 20, 2, 1.5)
    except torch.OutOfMemoryError as e:
        print(f"{name}: {str(e)[:100]}", flush=True)
        return
    report(o, name, n_seqs / s, "tokens/s", f"torch loop, {how}",
           f"{1e3 * s:.3f} ms a step, eager {1e3 * eager:.3f}; every context its own")


def run_generate(o, model, n_experts, n_seqs):
    import torch

    n_new = 9 if o.quick else 33
    ids = torch.randint(1, model.config.vocab_size, (n_seqs, CONTEXT - n_new // 2),
                        device=o.device)
    args = dict(attention_mask=torch.ones_like(ids), do_sample=True, cache_implementation="static",
                disable_compile=True, pad_token_id=0)

    def call(n):
        with torch.no_grad():
            model.generate(ids, max_new_tokens=n, min_new_tokens=n, **args)

    call(2)
    long = median_seconds(o, lambda: call(n_new), 2, 0)
    short = median_seconds(o, lambda: call(1), 2, 0)
    s = (long - short) / (n_new - 1)
    report(o, f"decode d1024-E{n_experts}-k2 B={n_seqs} G=1", n_seqs / s, "tokens/s",
           "transformers generate, static cache", f"{1e3 * s:.3f} ms a step, eager")


def run_paged(o, model, n_experts, n_seqs):
    import torch
    from transformers import GenerationConfig

    n_new = 16
    prompts = torch.randint(1, model.config.vocab_size, (n_seqs, CONTEXT)).tolist()

    def call(n):
        sync(o)
        t = time.perf_counter()
        model.generate_batch(prompts, generation_config=GenerationConfig(
            max_new_tokens=n, do_sample=True, eos_token_id=-1, pad_token_id=0))
        sync(o)
        return time.perf_counter() - t

    call(2)
    s = (call(n_new + 1) - call(1)) / n_new
    report(o, f"decode d1024-E{n_experts}-k2 B={n_seqs} G=1", n_seqs / s, "tokens/s",
           "transformers generate_batch", f"{1e3 * s:.3f} ms a step")


def try_transformers(o, n_experts):
    model = mixtral(o, n_experts)
    model.eval()
    for call, n_seqs in ((run_generate, 1), (run_generate, 64), (run_paged, 64)):
        if call is run_paged and not o.paged or seconds_left(o) < 5:
            continue
        progress(o, f"{call.__name__} B={n_seqs}")
        try:
            call(o, model, n_experts, 4 if o.tiny and n_seqs > 4 else n_seqs)
        except Exception as e:  # a library's failure is a result too
            print(f"{call.__name__} B={n_seqs}: {type(e).__name__}: {str(e)[:160]}", flush=True)


def main():
    o = options(__doc__.split("\n")[0], experts="16", paged=0)
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as e:
        absent(o, "decode, torch", str(e))
    if o.device == "cuda" and not torch.cuda.is_available():
        absent(o, "decode, torch", "no GPU")
    print(versions())
    progress(o, "imports")
    torch.manual_seed(1)
    for e in map(int, o.experts.split(",")):
        for n_seqs in (1, 4) if o.tiny else (64, 1, 512):
            if seconds_left(o) > 4:
                run_loop(o, e, n_seqs)
        if o.device == "cuda":
            torch.cuda.empty_cache()
    try_transformers(o, int(o.experts.split(",")[0]))


if __name__ == "__main__":
    main()
