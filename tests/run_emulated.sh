#!/usr/bin/env bash
# Whole runs of the CUDA backend without a GPU: `grpo` linked with the emulator trains a tiny
# model. Exact mode must end in the CPU's checkpoints, also with streams and asynchronous copies
# at the other end of what is allowed, with other code, options and a change of device in between;
# tensor mode must have equal log-probs on-policy.
#   tests/run_emulated.sh build/release
set -u
grpo=$1/emulated/bin/grpo
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} LSAN_OPTIONS=detect_leaks=0

ok() { echo "ok   $1"; }
bad() {
    echo "FAIL $1"
    failed=1
}

"$grpo" synth "$dir/data" --seed 3 --pretrain 200 --train 16 --heldout 4 --max-number 20 \
    --vocab 280 >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
digits=$dir/data/digits.jsonl
for i in $(seq 60); do
    echo "{\"question\":\"$((i * 7 % 100)) or $((i * 13 % 100))?\",\"answer\":\"#### $((i % 3))\"}"
done >"$digits"

# pretrain NAME OVERRIDES...: a model with heads of 32 dims, for the tensor cores' attention
pretrain() {
    local name=$1
    shift
    "$grpo" pretrain run.dir="$dir/$name" model.tokenizer="$dir/data" data.train="$digits" \
        data.max_prompt=200 pretrain.max_tokens=40 pretrain.steps=3 pretrain.batch=4 \
        shape.d_model=64 shape.layers=2 shape.heads=2 shape.kv_heads=1 shape.d_ff=48 \
        shape.experts=4 shape.top_k=2 optim.lr=1e-2 "$@" >"$dir/log" 2>&1 || cat "$dir/log"
}
# train NAME MODEL OVERRIDES...
train() {
    local name=$1 model=$dir/$2/checkpoints/step_3
    shift 2
    "$grpo" train configs/smoke.ini model.path="$model" run.dir="$dir/$name" \
        data.train="$digits" grpo.steps=3 grpo.prompts=4 rollout.group_size=4 \
        rollout.max_new=12 data.max_prompt=40 optim.lr=1e-3 "$@" >"$dir/log" 2>&1 ||
        cat "$dir/log"
}
hash_of() { "$grpo" inspect --hash "$dir/$1" 2>"$dir/log" | tail -n 1; }
# same NAME GOT WANT
same() {
    if [ -n "$3" ] && [ "$2" = "$3" ]; then
        ok "$1: $2"
    else
        bad "$1: hash \"$2\", the CPU's is \"$3\""
        cat "$dir/log"
    fi
}
cuda=(run.device=cuda run.matmul=exact)

pretrain base run.device=cpu
pretrain emulated "${cuda[@]}"
same "pretrain, exact" "$(hash_of emulated/checkpoints/step_3)" "$(hash_of base/checkpoints/step_3)"

train cpu base run.device=cpu
want=$(hash_of cpu/checkpoints/step_3)
EMULATOR_TRACE=1 train exact base "${cuda[@]}"
grep -q 'PTX emulator' "$dir/log" || bad "not the emulator's device"
grep -q 'emulator: a graph' "$dir/log" || bad "no recorded graph was launched"
same "train, exact" "$(hash_of exact/checkpoints/step_3)" "$want"
EMULATOR_STREAMS=late EMULATOR_ASYNC=early train late base "${cuda[@]}"
same "train, exact, streams late, copies early" "$(hash_of late/checkpoints/step_3)" "$want"

EMULATOR_SM=80 train portable base "${cuda[@]}"
same "train, exact, code of sm_80" "$(hash_of portable/checkpoints/step_3)" "$want"
train host base "${cuda[@]}" optim.offload=all
same "train, exact, optimiser's state on the host" "$(hash_of host/checkpoints/step_3)" "$want"

# from one device to the other in the middle of a run
train there base run.device=cpu grpo.steps=2
train there base "${cuda[@]}"
same "resume from the CPU on the device" "$(hash_of there/checkpoints/step_3)" "$want"
train back base "${cuda[@]}" grpo.steps=2
train back base run.device=cpu
same "resume from the device on the CPU" "$(hash_of back/checkpoints/step_3)" "$want"

options=(grpo.routing_replay=r3 grpo.staleness=1 grpo.ref_every=1 grpo.ref_mix=0.5 grpo.aux_coef=0.01
    rollout.top_p=0.9)
train cpu_options base run.device=cpu "${options[@]}"
train options base "${cuda[@]}" "${options[@]}"
same "train, exact, ${options[*]}" "$(hash_of options/checkpoints/step_3)" \
    "$(hash_of cpu_options/checkpoints/step_3)"

# a device too small: the plan and the option to change, status 75
EMULATOR_MEMORY=64M train small base "${cuda[@]}"
if grep -q 'does not fit the device.*moments.*on the host.*lower learner.micro_tokens' "$dir/log"; then
    ok "a device of 64 MiB: refused with the plan"
else
    bad "a device of 64 MiB"
    cat "$dir/log"
fi

pretrain narrow run.device=cpu model.dtype=bf16
# equal NAME RUN: log-probs of the rollout are the learner's
equal() {
    if [ "$(grep -c '"logp_diff_max":0,' "$dir/$2/metrics.jsonl")" = 3 ]; then
        ok "$1: max |logp_rollout - logp_learner| == 0 in every step"
    else
        bad "$1: logp_diff_max is not 0 in three steps"
        cat "$dir/log"
    fi
}
train tensor narrow run.device=cuda run.matmul=tensor
equal "train, tensor" tensor
EMULATOR_RACES=1 EMULATOR_ASYNC=early train raced narrow run.device=cuda run.matmul=tensor
equal "train, tensor, watched for races" raced
same "train, tensor, again" "$(hash_of raced/checkpoints/step_3)" "$(hash_of tensor/checkpoints/step_3)"
EMULATOR_SM=80 train mma narrow run.device=cuda run.matmul=tensor
equal "train, tensor, code of sm_80" mma
exit $failed
