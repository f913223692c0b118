#!/usr/bin/env python3
"""Math-Verify on the completions that bench_reward wrote, one process.

    math_verify_bench.py FILE.jsonl [ROWS]
"""
import json
import logging
import sys
import time

from math_verify import parse, verify

logging.disable(logging.CRITICAL)


def main():
    with open(sys.argv[1]) as f:
        rows = [json.loads(line) for line in f]
    # every k-th row, so that all of the file is seen
    n = min(len(rows), int(sys.argv[2]) if len(sys.argv) > 2 else 500)
    rows = rows[:: max(1, len(rows) // n)][:n]
    golds = [parse(row["gold"]) for row in rows]
    start = time.perf_counter()
    n_right = 0
    for row, gold in zip(rows, golds):
        n_right += bool(verify(gold, parse(row["response"])))
    seconds = time.perf_counter() - start
    print("%-28s %8d %14.0f %8s  %d of %d right" % ("Math-Verify", 1, n / seconds, "", n_right, n))


main()
