#!/usr/bin/env bash
# Whole runs on a tiny generated model: the same checkpoint hash from the same run twice, other thread
# counts, instruction sets, micro-batch budgets, rank splits, and after SIGKILL and resume; then wrong
# input: exit status, message, nothing half-written.
#   tests/run_train.sh build/release
set -u
grpo=$1/bin/grpo
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} LSAN_OPTIONS=detect_leaks=0
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

ok() { echo "ok   $1"; }
bad() {
    echo "FAIL $1"
    failed=1
}

# --- a model to train: 2 layers of width 32, pretrained for a few steps
"$grpo" synth "$dir/data" --seed 3 --pretrain 600 --train 64 --heldout 20 --max-number 20 \
    --vocab 300 >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
"$grpo" pretrain run.dir="$dir/base" model.tokenizer="$dir/data" \
    data.train="$dir/data/pretrain.jsonl" data.max_prompt=200 pretrain.max_tokens=300 \
    pretrain.steps=6 pretrain.batch=16 shape.d_model=32 shape.layers=2 shape.heads=2 \
    shape.kv_heads=1 shape.d_ff=48 shape.experts=6 shape.top_k=2 optim.lr=3e-3 \
    >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
model=$dir/base/checkpoints/step_6

# train NAME LAUNCHER... -- OVERRIDES...: runs into $dir/NAME
train() {
    local name=$1 launch=()
    shift
    while [ "$1" != -- ]; do
        launch+=("$1")
        shift
    done
    shift
    "${launch[@]}" "$grpo" train configs/smoke.ini model.path="$model" \
        data.train="$dir/data/train.jsonl" run.dir="$dir/$name" optim.lr=1e-3 \
        data.max_prompt=200 checkpoint.every=1 "$@" >"$dir/log" 2>&1
}
hash_of() { "$grpo" inspect --hash "$dir/$1/checkpoints/step_3" 2>"$dir/log" | tail -n 1; }

# same NAME: its step 3 must have the reference's hash
same() {
    local got
    got=$(hash_of "$1")
    if [ -n "$got" ] && [ "$got" = "$want" ]; then
        ok "$1: $got"
    else
        bad "$1: hash \"$got\", expected $want"
        cat "$dir/log"
    fi
}

train ref env -- || { cat "$dir/log"; exit 1; }
want=$(hash_of ref)
[ ${#want} = 32 ] || bad "reference hash \"$want\""
[ "$want" != "$("$grpo" inspect --hash "$model" | tail -n 1)" ] || bad "nothing was learned"
if grep -v '"logp_diff_max":0,' "$dir/ref/metrics.jsonl" | grep -q '"step":[1-9]'; then
    bad "logp_diff_max is not 0"
else
    ok "max |logp_rollout - logp_learner| == 0 in every step"
fi

train again env -- && same again
train threads_1 env -- run.threads=1 && same threads_1
train micro_tokens env -- learner.micro_tokens=64 learner.head_rows=7 && same micro_tokens
train recompute env -- learner.recompute=layer rollout.slots=5 && same recompute
train portable env -- run.isa=portable run.threads=1 && same portable
if grep -q avx2 /proc/cpuinfo; then
    train avx2 env -- run.isa=avx2 && same avx2
fi

# --- evaluations show the same problems each time, before and after; with shots
train shown env -- data.eval="$dir/data/heldout.jsonl" data.max_prompt=900 \
    prompt.preset=mixtral prompt.shots=2 prompt.shots_from="$dir/data/pretrain.jsonl" ||
    cat "$dir/log"
shown() {
    grep -F "\"step\":$1,\"split\":\"eval\"," "$dir/shown/samples.jsonl" |
        grep -o '"problem_index":[0-9]*,"sample":[0-9]*'
}
if [ "$(shown 0 | wc -l)" = 2 ] && [ "$(shown 0)" = "$(shown 3)" ]; then
    ok "samples.jsonl: the same problems before and after"
else
    bad "samples.jsonl: \"$(shown 0)\" before, \"$(shown 3)\" after"
fi

# --- killed after the first and after the second checkpoint, then resumed
for step in 1 2; do
    train killed_$step env -- &
    pid=$!
    for _ in $(seq 3000); do
        [ -e "$dir/killed_$step/checkpoints/step_$step/MANIFEST.json" ] && break
        sleep 0.01
    done
    pkill -KILL -f "run.dir=$dir/killed_$step" 2>/dev/null
    wait $pid 2>/dev/null
    train killed_$step env -- || cat "$dir/log"
    same killed_$step
    lines=$(grep -c '"step":[123],' "$dir/killed_$step/metrics.jsonl")
    [ "$lines" = 3 ] || bad "killed_$step: $lines metrics lines of steps 1 to 3"
done

# --- SIGTERM: a checkpoint, status 85, then the rest
train stopped env -- &
pid=$!
for _ in $(seq 3000); do
    [ -e "$dir/stopped/metrics.jsonl" ] && break
    sleep 0.01
done
pkill -TERM -f "grpo train .*run.dir=$dir/stopped" 2>/dev/null
wait $pid
status=$?
case $status in
0 | 85) ok "SIGTERM: status $status" ;;
*) bad "SIGTERM: status $status" && cat "$dir/log" ;;
esac
train stopped env -- || cat "$dir/log"
same stopped

# --- rank splits
if command -v mpirun >/dev/null && "$grpo" help >/dev/null && [ -z "${NO_MPI:-}" ]; then
    run=(mpirun --oversubscribe --bind-to none)
    train ranks_1_1 "${run[@]}" -n 2 -- run.threads=1 && same ranks_1_1
    train ranks_2_1 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=1 && same ranks_2_1
    train ranks_1_2 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=2 && same ranks_1_2
    train ranks_4 "${run[@]}" -n 4 -- run.threads=1 && same ranks_4
    train colocated_2 "${run[@]}" -n 2 -- run.threads=1 run.colocated=true && same colocated_2
else
    echo "SKIP rank splits: no mpirun"
fi

# --- wrong input: refuse NAME STATUS PATTERN WORDS...
refuse() {
    local name=$1 want_status=$2 pattern=$3
    shift 3
    "$grpo" "$@" >"$dir/out" 2>&1
    local status=$?
    if [ $status != "$want_status" ] || ! grep -qE "$pattern" "$dir/out"; then
        bad "$name: status $status (expected $want_status), pattern $pattern:"
        head -n 3 "$dir/out"
    else
        ok "$name"
    fi
}
smoke=(train configs/smoke.ini model.path="$model" run.dir="$dir/wrong")
data="data.train=$dir/data/train.jsonl"
refuse "unknown command" 2 'no command "trian"' trian
refuse "unknown key" 2 'rollout.group_size' "${smoke[@]}" "$data" rollout.groupsize=3
refuse "value out of range" 2 'rollout.temperature' "${smoke[@]}" "$data" rollout.temperature=-1
refuse "no such config" 3 'nowhere.ini' train nowhere.ini
refuse "no such data" 3 'missing.jsonl' "${smoke[@]}" data.train="$dir/missing.jsonl"
refuse "no such model" 3 'no/model' train configs/smoke.ini model.path=no/model \
    run.dir="$dir/wrong" "$data"
printf '{"question":"1+1?","answer":"#### 2"}\n{"question":"x","answer":\n' >"$dir/cut.jsonl"
refuse "malformed line" 3 'cut.jsonl:2' "${smoke[@]}" data.train="$dir/cut.jsonl"
printf '{"question":"1+1?","answer":"no number"}\n' >"$dir/gold.jsonl"
refuse "gold that is no number" 3 'gold.jsonl:1' "${smoke[@]}" data.train="$dir/gold.jsonl"
refuse "prompt too long" 3 'data.max_prompt' "${smoke[@]}" "$data" data.max_prompt=3 \
    data.overlong=error
cp -r "$model" "$dir/broken"
truncate -s -100 "$dir/broken/model.safetensors"
refuse "truncated safetensors" 3 'model.safetensors' inspect "$dir/broken"
cp "$model/model.safetensors" "$dir/broken/"
sed -i 's/"num_local_experts": *6/"num_local_experts": 5/' "$dir/broken/config.json"
refuse "shape against config" 3 'experts|block_sparse_moe' inspect "$dir/broken"
cp "$model/config.json" "$dir/broken/"
sed -i 's/"hidden_act": *"silu"/"hidden_act": "gelu"/' "$dir/broken/config.json"
refuse "unsupported activation" 3 'hidden_act' inspect "$dir/broken"
[ ! -e "$dir/wrong/checkpoints" ] || bad "a refused run left checkpoints"

exit $failed
