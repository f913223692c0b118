#!/usr/bin/env python3
"""Makes tests/core/pyrandom_cases.jsonl with Python's own random module (3.11, 3.12 and
3.13 give the same file).

Each line is one generator: "seed" as 32-bit words, least significant first, and "calls",
made one after the other: [method, arguments..., result]. A long result is given as
[length, xor, weighted sum modulo 2**64, last].
"""
import json
import random
import sys

SEEDS = [0, 1, 42, 1234, 2**31 - 1, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**64 - 1,
         2**64 + 5, 3**200, 7**9000]
SIZES = [(0, 0), (1, 1), (5, 0), (5, 5), (21, 4), (21, 5), (22, 4), (22, 5), (22, 21), (85, 6),
         (86, 6), (85, 21), (86, 21), (277, 22), (278, 22), (277, 85), (278, 85),
         (7473, 4), (1319, 6), (10552, 6), (7473, 1000), (2**40 + 3, 9), (2**62 + 1, 3)]


def digest(values):
    xor = total = 0
    for i, v in enumerate(values):
        xor ^= v
        total = (total + v * (i + 1)) % 2**64
    return [len(values), str(xor), str(total), str(values[-1])]


def calls_of(r):
    for bits in (1, 7, 31, 32, 33, 53, 63, 64):
        yield ["bits", bits, str(r.getrandbits(bits))]
    yield ["bits_many", 32, digest([r.getrandbits(32) for _ in range(200000)])]
    for n in (1, 2, 3, 4, 10, 1000, 2**31, 2**32, 2**32 + 1, 2**63 - 1):
        yield ["below", n, str(r.randrange(n))]
    yield ["below_many", 7473, digest([r.randrange(7473) for _ in range(50000)])]
    for n, k in SIZES:
        drawn = r.sample(range(n), k)
        yield ["sample", n, k, digest(drawn) if k > 20 else drawn]
    for n in (0, 1, 2, 10, 3000):
        x = list(range(n))
        r.shuffle(x)
        yield ["shuffle", n, digest(x) if n > 20 else x]


def main():
    with open(sys.argv[1], "w", encoding="ascii") as out:
        for seed in SEEDS:
            words = [seed & 0xFFFFFFFF]
            while seed >> 32 * len(words):
                words.append(seed >> 32 * len(words) & 0xFFFFFFFF)
            line = {"seed": words, "calls": list(calls_of(random.Random(seed)))}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


main()
