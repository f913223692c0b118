#!/usr/bin/env bash
# The bundle for a machine with a GPU, on this one with none in sight: its programs start,
# need nothing but libc, and say that there is no device; comparisons can fail.
#   tests/run_gpu_bundle.sh BUNDLE
set -u
bundle=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=2
failed=0

ok() { echo "ok   $1"; }
bad() {
    echo "FAIL $1"
    failed=1
}

for f in "$bundle"/bin/*; do
    needed=$(ldd "$f" | grep -vE 'linux-vdso|ld-linux|lib(c|m|dl|rt|pthread)\.so|libcmocka')
    [ -z "$needed" ] || bad "$(basename "$f") needs$needed"
done
ok "nothing but libc is needed"

# expect NAME STATUS PATTERN COMMAND...
expect() {
    local name=$1 want=$2 pattern=$3 status
    shift 3
    "$@" >"$dir/out" 2>&1
    status=$?
    if [ $status = "$want" ] && grep -qE "$pattern" "$dir/out"; then
        ok "$name"
    else
        bad "$name: status $status, expected $want and \"$pattern\":"
        head -n 5 "$dir/out"
    fi
}
expect "grpo starts" 0 'usage: grpo' "$bundle/bin/grpo" train --help
printf '{"question":"1+1?","answer":"#### 2"}\n' >"$dir/data.jsonl"
expect "grpo train without a GPU" 75 'no usable GPU' "$bundle/bin/grpo" train \
    "$bundle/configs/smoke.ini" model.path="$dir" data.train="$dir/data.jsonl" run.dir="$dir/run" \
    run.device=cuda
expect "bench_gpu without a GPU" 75 'no usable GPU' "$bundle/bin/bench_gpu" --quick
expect "bench_gpu, unknown part" 2 'no part "speed"' "$bundle/bin/bench_gpu" speed
expect "a test without a GPU skips" 0 'SKIPPED' "$bundle/bin/gpu_tests" test_gemm
expect "gpu-check without a GPU" 75 'no usable GPU' "$bundle/gpu-check" --quick --out "$dir/results"
[ ! -e "$dir/results" ] || bad "gpu-check left results without a GPU"
expect "gpu-check, unknown option" 2 'unknown option --fast' "$bundle/gpu-check" --fast

case=$bundle/cases/mixtral-f32
if [ -d "$case" ]; then
    dump() {
        "$bundle/bin/grpo" dump "$case/model" --ids "$case/inputs.jsonl" --out "$dir/dump.st" \
            run.log=warn "$@"
    }
    compare=("$bundle/bin/compare_dump" "$case/expected.json" "$case/expected.safetensors"
             "$dir/dump.st")
    dump || bad "dump"
    expect "the stored values" 0 'of the limit' "${compare[@]}"
    dump model.dtype=bf16 || bad "dump of rounded weights"
    expect "rounded weights are told apart" 1 'of the limit' "${compare[@]}"
else
    echo "SKIP comparisons: no fixtures"
fi
exit $failed
