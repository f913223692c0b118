#!/usr/bin/env python3
"""The peer of bench_tokenizer: Hugging Face's `tokenizers` on one thread, the same pieces of text.
    python bench/peers/tokenizers_bench.py TOKENIZER.json TEXT
"""
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402

PIECE = 4096


def pieces(data):
    at = 0
    while at < len(data):
        end = min(at + PIECE, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        yield data[at:end].decode()
        at = end


def best(call, budget_s):
    times = []
    while len(times) < 3 or sum(times) < budget_s:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


start = time.perf_counter()
tok = tokenizers.Tokenizer.from_file(sys.argv[1])
load = time.perf_counter() - start
data = open(sys.argv[2], "rb").read()
texts = list(pieces(data))
encode = best(lambda: [tok.encode(t, add_special_tokens=False) for t in texts], 1.0)
ids = [i for t in texts for i in tok.encode(t, add_special_tokens=False).ids]
decode = best(lambda: tok.decode(ids, skip_special_tokens=False), 0.5)
mb = 1e-6 * len(data)
print(f"    tokenizers  load {load:6.3f} s   encode {mb / encode:7.1f} MB/s   decode "
      f"{mb / decode:7.1f} MB/s   {len(ids)} tokens   (release {tokenizers.__version__})")
