#!/bin/sh
# The verifier's timings beside Math-Verify's, in one run on the same completions.
#   make bench && bench/reward.sh OBJECT_DIR
# Math-Verify comes from PyPI into a virtual environment, $VENV or below $TMPDIR; without
# Python, venv or the package this is said and the rest is printed.
set -eu
dir=${1:?usage: bench/reward.sh OBJECT_DIR}
here=$(dirname "$0")
venv=${VENV:-${TMPDIR:-/tmp}/moe-grpo-math-verify}
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
"$dir/bench/bench_reward" --write "$rows"
echo
if ! command -v python3 >/dev/null 2>&1; then
    echo "Math-Verify: not measured, no python3"
    exit 0
fi
if ! "$venv/bin/python" -c 'import math_verify' 2>/dev/null; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q \
        'math-verify[antlr4_13_2]==0.8.0'; } >"$rows.log" 2>&1; then
        echo "Math-Verify: not measured, it could not be installed:"
        tail -n 2 "$rows.log"
        rm -f "$rows.log"
        exit 0
    fi
    rm -f "$rows.log"
fi
printf '%-28s %8s %14s\n' "completions/s" processes measured
"$venv/bin/python" "$here/peers/math_verify_bench.py" "$rows"
