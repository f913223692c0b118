#!/usr/bin/env bash
# Checks and measures the CUDA backend on this machine's GPU: the tests of every op against
# the CPU's results, stored values of other stacks, small GRPO runs against the same runs on
# the CPU, then the benchmarks and, where python3 has torch, their peers.
#
#   gpu-check [--quick] [--limit SECONDS] [--out DIR] [--only LIST]
#
# --quick: at most 2 minutes instead of 10 (--limit: so many), smaller sizes. --only: names
# with commas between them: checks (or tests, goldens, runs), bench (or decode, learner, step,
# exact, ops, products), peers (or a script's name). A log and one JSON of the run go to DIR
# (default bench/results). Status 0: every check passed and every benchmark ran, 1: not, 75:
# no GPU.
set -u
here=$(cd "$(dirname "$0")" && pwd)
is_quick=0 out=bench/results only=checks,bench,peers limit_s=0
while (($# > 0)); do
    case $1 in
    --quick) is_quick=1 ;;
    --limit) limit_s=${2:?--limit SECONDS} && shift ;;
    --out) out=${2:?--out DIR} && shift ;;
    --only) only=${2:?--only LIST} && shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) echo "gpu-check: unknown option $1 (--help)" >&2 && exit 2 ;;
    esac
    shift
done
# wanted NAME GROUP
wanted() { case ,$only, in *,$1,* | *,$2,*) return 0 ;; *) return 1 ;; esac }

bin=$here/bin
((limit_s > 0)) || limit_s=$((is_quick ? 120 : 600))
quick=()
((is_quick)) && quick=(--quick)
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} PYTHONUNBUFFERED=1

card=$("$bin/bench_gpu" --card 2>&1)
status=$?
if ((status != 0)); then
    echo "gpu-check: $card"
    exit $((status == 75 ? 75 : 1))
fi
# cuBLAS, for the yardsticks: the toolkit's, or the one that came with torch
for f in /usr/local/cuda*/lib64/libcublas.so.1[23] \
    "$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' 2>/dev/null)"/nvidia/*/lib/libcublas.so.1[23]; do
    [ -e "$f" ] && export LD_LIBRARY_PATH="${f%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" && break
done

mkdir -p "$out" || exit 1
out=$(cd "$out" && pwd)
tmp=$(mktemp -d)
commit=$(cat "$here/COMMIT")
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
day=$(date -u +%Y-%m-%dT%H:%M:%SZ)
run_name=gpu-$(date -u +%Y%m%d-%H%M%S)-$commit
logs=$out/$run_name.log
touch "$tmp/checks" "$tmp/figures" "$tmp/peers"
say() { printf '%s\n' "$*" | tee -a "$logs"; }
say "card: $card; driver ${driver:-unknown}; commit $commit; $day"

write_json() {
    local list
    {
        printf '{"date":"%s","card":"%s","driver":"%s","commit":"%s","quick":%s,"seconds":%d,\n' \
            "$day" "$card" "$driver" "$commit" "$( ((is_quick)) && echo true || echo false)" $SECONDS
        for list in checks figures peers; do
            printf '"%s":[\n%s\n]%s\n' $list "$(sed '$!s/$/,/' "$tmp/$list")" \
                "$([ $list = peers ] || echo ,)"
        done
        echo '}'
    } >"$out/$run_name.json"
    rm -rf "$tmp"
}
# also when the run is cut short
trap write_json EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 1' INT TERM

# seconds left of `own`, or 0 when the run's time is used up
time_for() {
    local left=$((limit_s - SECONDS))
    echo $((left < 3 ? 0 : left < $1 ? left : $1))
}

# result NAME STATUS SECONDS DETAIL: one line of the checks
result() {
    say "$(printf '%-7s %-44s %5.1f s  %s' "$2" "$1" "$3" "$4")"
    printf '{"name":"%s","status":"%s","seconds":%.1f,"detail":"%s"}\n' "$1" "$2" "$3" \
        "$(tr -d '\042\134' <<<"$4" | tr '\n\t' '  ' | cut -c1-200)" >>"$tmp/checks"
}

# run_check NAME SECONDS COMMAND...: passed if the status is 0; the last line is the detail
run_check() {
    local name=$1 seconds detail start=$EPOCHREALTIME took verdict=passed
    seconds=$(time_for "$2")
    shift 2
    if ((seconds == 0)); then
        result "$name" "not run" 0 "out of time"
        return 1
    fi
    # the commands are functions of this script
    timeout -k 2 "$seconds" bash -c '"$@"' _ "$@" >"$tmp/log" 2>&1 &
    wait $!
    status=$?
    took=$(awk "BEGIN {print $EPOCHREALTIME - $start}")
    detail=$(grep -v '^$' "$tmp/log" | tail -n 1)
    ((status == 124 || status == 137)) && detail="stopped after $seconds s"
    ((status == 0)) || verdict=failed
    ((status == 0)) && grep -q '^\[ *SKIPPED' "$tmp/log" && ! grep -q '^\[ *PASSED' "$tmp/log" &&
        verdict=skipped
    result "$name" "$verdict" "$took" "$detail"
    { echo "--- $name: status $status" && tail -n 60 "$tmp/log"; } >>"$logs"
    [ "$verdict" = passed ]
}

one_test() { # its log and status, for run_tests
    timeout -k 2 "$2" "$bin/gpu_tests" "$1" >"$tmp/$1.log" 2>&1
    echo $? >"$tmp/$1.status"
}

# four at once: they are small
run_tests() {
    local t status seconds=$((is_quick ? 30 : 90)) start=$SECONDS
    local tests
    [ -x "$bin/gpu_tests" ] || { result tests "not run" 0 "this bundle has none" && return; }
    mapfile -t tests < <("$bin/gpu_tests")
    for t in "${tests[@]}"; do
        while (($(jobs -rp | wc -l) >= 4)); do wait -n; done
        one_test "$t" "$seconds" &
    done
    wait
    for t in "${tests[@]}"; do
        status=$(cat "$tmp/$t.status")
        local verdict=passed
        ((status == 0)) || verdict=failed
        ((status == 0)) && ! grep -q '^\[ *PASSED' "$tmp/$t.log" && verdict=skipped
        result "$t" $verdict 0 "$(grep -E '^\[ *(PASSED|FAILED|SKIPPED) *\] [0-9]+ test' "$tmp/$t.log" |
            tr '\n' ' ')status $status"
        [ $verdict = passed ] || { echo "--- $t" && tail -n 60 "$tmp/$t.log"; } >>"$logs"
    done
    say "tests took $((SECONDS - start)) s"
}

# the CPU's results are compared with stored ones by the tests of model/; here the GPU's, and
# in exact mode byte for byte with the CPU's
golden() {
    local dir=$here/cases/$1 grads=$2 words=("${@:3}")
    "$bin/grpo" dump "$dir/model" --ids "$dir/inputs.jsonl" --out "$tmp/gpu.st" --grads "$grads" \
        run.device=cuda run.log=warn "${words[@]}" || return
    "$bin/compare_dump" "$dir/expected.json" "$dir/expected.safetensors" "$tmp/gpu.st"
}
exact_golden() {
    golden "$1" "$2" run.matmul=exact || return
    "$bin/grpo" dump "$here/cases/$1/model" --ids "$here/cases/$1/inputs.jsonl" --out "$tmp/cpu.st" \
        --grads "$2" run.device=cpu run.log=warn || return
    cmp "$tmp/cpu.st" "$tmp/gpu.st" && echo "the CPU's bytes; $("$bin/compare_dump" \
        "$here/cases/$1/expected.json" "$here/cases/$1/expected.safetensors" "$tmp/gpu.st")"
}
run_goldens() {
    local dir
    for dir in "$here"/cases/*/; do
        [ -d "$dir" ] || { result goldens "not run" 0 "this bundle has no cases" && return; }
        dir=$(basename "$dir")
        run_check "golden $dir exact, ce" 20 exact_golden "$dir" ce
        ((is_quick)) || run_check "golden $dir exact, pg" 20 exact_golden "$dir" pg
    done
}

# a small model pretrained for a few steps on the CPU, then three GRPO steps
prepare_run() {
    "$bin/grpo" synth "$tmp/data" --seed 3 --pretrain 600 --train 64 --heldout 20 --max-number 20 \
        --vocab 300 || return
    "$bin/grpo" pretrain run.dir="$tmp/base" model.tokenizer="$tmp/data" \
        data.train="$tmp/data/pretrain.jsonl" data.max_prompt=200 pretrain.max_tokens=300 \
        pretrain.steps=6 pretrain.batch=16 shape.d_model=64 shape.layers=2 shape.heads=2 \
        shape.kv_heads=1 shape.d_ff=48 shape.experts=6 shape.top_k=2 optim.lr=3e-3
}
train() { # NAME OVERRIDES...
    "$bin/grpo" train "$here/configs/smoke.ini" model.path="$tmp/base/checkpoints/step_6" \
        data.train="$tmp/data/train.jsonl" run.dir="$tmp/$1" optim.lr=1e-3 data.max_prompt=200 \
        checkpoint.every=1 "${@:2}"
}
hash_of() { "$bin/grpo" inspect --hash "$tmp/$1/checkpoints/step_3" 2>/dev/null | tail -n 1; }
on_policy() { # every step's largest |logp difference| is 0
    grep -q '"step":3' "$tmp/$1/metrics.jsonl" || { echo "no step 3"; return 1; }
    ! grep '"step":[123],' "$tmp/$1/metrics.jsonl" | grep -v '"logp_diff_max":0,'
}
same_run() { # DTYPE: exact mode gives the CPU's checkpoint
    train "cpu_$1" run.device=cpu model.dtype="$1" || return
    train "gpu_$1" run.device=cuda run.matmul=exact model.dtype="$1" || return
    local cpu gpu
    cpu=$(hash_of "cpu_$1") gpu=$(hash_of "gpu_$1")
    echo "checkpoint hash: CPU $cpu, GPU $gpu"
    [ ${#cpu} = 32 ] && [ "$cpu" = "$gpu" ] && on_policy "gpu_$1"
}
tensor_run() {
    train tensor run.device=cuda run.matmul=tensor model.dtype=bf16 || return
    train tensor_again run.device=cuda run.matmul=tensor model.dtype=bf16 rollout.slots=5 \
        learner.micro_tokens=64 || return
    on_policy tensor || { echo "rollout and learner disagree"; return 1; }
    echo "difference 0 in every step; hash $(hash_of tensor), other batches $(hash_of tensor_again)"
}
run_trainings() {
    run_check "small run: data and base model" 30 prepare_run || return
    run_check "GRPO run F32 exact: the CPU's checkpoint" 30 same_run f32
    run_check "GRPO run BF16 exact: the CPU's checkpoint" 30 same_run bf16
    run_check "GRPO run BF16 tensor: on-policy exact" 30 tensor_run
}

# bench NAME SECONDS COMMAND...: its output goes on, figures come as JSON lines
bench() {
    local name=$1 seconds start=$EPOCHREALTIME status
    seconds=$(time_for "$2")
    shift 2
    if ((seconds == 0)); then
        result "bench $name" "not run" 0 "out of time"
        return
    fi
    timeout -k 2 "$seconds" "$@" > >(tee -a "$logs") 2>&1 &
    wait $!
    status=$?
    sleep 0.1 # the last lines, before what follows
    result "bench $name" "$(case $status in 0) echo passed ;; 77) echo skipped ;; *) echo failed ;; esac)" \
        "$(awk "BEGIN {print $EPOCHREALTIME - $start}")" "status $status"
}
run_benches() {
    local part
    for part in decode learner step exact ops; do
        wanted $part bench || continue
        bench "$part" $((is_quick ? 20 : 80)) "$bin/bench_gpu" "${quick[@]}" --json "$tmp/figures" $part
    done
    if wanted products bench && [ -x "$bin/bench_gemm_cuda" ]; then
        bench products $((is_quick ? 10 : 40)) "$bin/bench_gemm_cuda" plan $((is_quick ? 5 : 15)) \
            > >(tee "$tmp/gemm")
        wait $!
        awk -f "$here/gpu_check.awk" -v mode=gemm "$tmp/gemm" >>"$tmp/figures"
    fi
}
# each ends by itself, with what it has
run_peers() {
    local script seconds
    for script in mixtral_learner mixtral_decode trl_grpo; do
        wanted $script peers || continue
        seconds=$(time_for $((is_quick ? 25 : 90)))
        bench "peer $script" "$seconds" python3 "$here/peers/$script.py" "${quick[@]}" \
            --limit $((seconds - 1)) --json "$tmp/peers"
    done
    if wanted grouped_gemm peers; then
        bench "peer grouped_gemm" $((is_quick ? 20 : 40)) python3 "$here/peers/grouped_gemm.py" \
            $((is_quick ? 5 : 15)) > >(tee "$tmp/peer_gemm")
        wait $!
        awk -f "$here/gpu_check.awk" -v mode=gemm_peer "$tmp/peer_gemm" >>"$tmp/peers"
    fi
}

export bin here tmp
export -f golden exact_golden prepare_run train hash_of on_policy same_run tensor_run
wanted tests checks && run_tests
wanted goldens checks && run_goldens
wanted runs checks && run_trainings
run_benches
if [[ $only =~ peers|mixtral|trl|grouped ]]; then
    if python3 -c 'import torch' 2>/dev/null; then
        run_peers
    else
        result peers "not run" 0 "python3 has no torch"
    fi
fi

say ""
awk -f "$here/gpu_check.awk" -v mode=table "$tmp/peers" "$tmp/figures" | tee -a "$logs"
n_failed=$(grep -c '"status":"failed"' "$tmp/checks")
say "$(grep -c '"status":"passed"' "$tmp/checks") passed, $n_failed failed," \
    "$(grep -c '"status":"skipped"' "$tmp/checks") skipped," \
    "$(grep -c '"status":"not run"' "$tmp/checks") not run, in $SECONDS s: $out/$run_name.json"
((n_failed == 0))
