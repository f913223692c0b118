#!/usr/bin/env python3
"""torch._grouped_mm on the shapes of bench/bench_gemm_cuda.cu: forward, gradient of the
rows, gradient of the weights. Medians of event-timed calls on random data. Its results
are bf16 (half the output bytes of ours) and its weight gradient does not accumulate.

usage: grouped_gemm.py [reps]        needs torch >= 2.8 and a Hopper GPU
"""
import sys

import torch

SHAPES = [  # name, E, n, k, m
    ("E16 gate_up", 16, 4096, 1024, 48000),
    ("E16 down", 16, 1024, 2048, 48000),
    ("E64 gate_up", 64, 4096, 1024, 48000),
    ("E64 down", 64, 1024, 2048, 48000),
    ("E16 gate_up 1024", 16, 4096, 1024, 16384),
    ("E16 down 1024", 16, 1024, 2048, 16384),
    ("E256 gate_up", 256, 4096, 1024, 48000),
    ("E256 down", 256, 1024, 2048, 48000),
    ("E128 gate_up", 128, 4096, 1024, 48000),
]


def loads(n_mats, m):
    """The same uneven loads as the C benchmark's."""
    weights = [50 + e * 37 % 101 for e in range(n_mats)]
    total, before, ends = sum(weights), 0, []
    for w in weights:
        before += w
        ends.append(m * before // total)
    return torch.tensor(ends, dtype=torch.int32, device="cuda")


def median_seconds(call, reps):
    for i in range(3):
        call(i % 2)
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(reps)]
    for i, (start, end) in enumerate(events):
        start.record()
        call(i % 2)
        end.record()
    torch.cuda.synchronize()
    return sorted(s.elapsed_time(e) for s, e in events)[reps // 2] * 1e-3


def random_bf16(*dims):
    return torch.rand(*dims, device="cuda").mul_(2).sub_(1).bfloat16()


def main():
    reps = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    a, b = random_bf16(8192, 8192), random_bf16(8192, 8192)
    s = median_seconds(lambda _: a @ b.t(), reps)
    print(f"torch 8192^3: {2 * 8192**3 / s * 1e-12:.1f} TFLOP/s")
    del a, b
    for name, n_mats, n, k, m in SHAPES:
        ends = loads(n_mats, m)
        x = [random_bf16(m, k) for _ in range(2)]
        dy = [random_bf16(m, n) for _ in range(2)]
        w = [random_bf16(n_mats, n, k) for _ in range(2)]
        forms = {
            "fwd": lambda i: torch._grouped_mm(x[i], w[i].transpose(1, 2), offs=ends),
            "dx": lambda i: torch._grouped_mm(dy[i], w[i], offs=ends),
            "dw": lambda i: torch._grouped_mm(dy[i].t(), x[i], offs=ends),
        }
        for form, call in forms.items():
            try:
                s = median_seconds(call, reps)
            except RuntimeError as e:
                print(f"{name:22} {n_mats:4} {m // n_mats:6} {form:4} failed: {str(e)[:90]}")
                continue
            rate = 2 * m * n * k / s * 1e-12
            print(f"{name:22} {n_mats:4} {m // n_mats:6} {form:4} torch "
                  f"{s * 1e6:9.1f} us {rate:7.1f} TFLOP/s", flush=True)
        del x, dy, w, forms
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
