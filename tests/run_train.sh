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

# --- a model to train: 2 layers of width 32, pretrained until it answers "#### digit", right one
# time in three to five, so that the rewards of most groups differ
"$grpo" synth "$dir/data" --seed 3 --pretrain 600 --train 64 --heldout 20 --max-number 20 \
    --vocab 300 >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
digits=$dir/data/digits.jsonl
for i in $(seq 400); do
    echo "{\"question\":\"$((i * 7 % 100)) or $((i * 13 % 100))?\",\"answer\":\"#### $((i % 3))\"}"
done >"$digits"
"$grpo" pretrain run.dir="$dir/base" model.tokenizer="$dir/data" data.train="$digits" \
    data.max_prompt=200 pretrain.max_tokens=60 pretrain.steps=40 pretrain.batch=16 \
    shape.d_model=32 shape.layers=2 shape.heads=2 shape.kv_heads=1 shape.d_ff=48 \
    shape.experts=6 shape.top_k=2 optim.lr=1e-2 \
    >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
model=$dir/base/checkpoints/step_40

# train NAME LAUNCHER... -- OVERRIDES...: runs into $dir/NAME
train() {
    local name=$1 launch=()
    shift
    while [ "$1" != -- ]; do
        launch+=("$1")
        shift
    done
    shift
    "${launch[@]}" "$grpo" train configs/smoke.ini model.path="$model" run.dir="$dir/$name" \
        data.train="$digits" optim.lr=1e-3 rollout.max_new=10 \
        data.max_prompt=200 checkpoint.every=1 "$@" >"$dir/log" 2>&1
}
# the hashes of checkpoints 2 (in the middle of the run) and 3
hash_of() {
    local step
    for step in 2 3; do
        "$grpo" inspect --hash "$dir/$1/checkpoints/step_$step" 2>"$dir/log" | tail -n 1
    done | paste -sd-
}

# same NAME: it must have the reference's hashes
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
[ ${#want} = 65 ] || bad "reference hash \"$want\""
[ "${want#*-}" != "$("$grpo" inspect --hash "$model" | tail -n 1)" ] || bad "nothing was learned"
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

# await FILE: until it is there, half a minute at most
await() {
    for _ in $(seq 3000); do
        [ -e "$1" ] && break
        sleep 0.01
    done
}

# killed NAME STEP OVERRIDES...: SIGKILL once checkpoint STEP is there, then the same command again
killed() {
    local name=$1 step=$2 lines
    shift 2
    train "$name" env -- "$@" 2>/dev/null &
    pid=$!
    await "$dir/$name/checkpoints/step_$step/MANIFEST.json"
    pkill -KILL -P $pid 2>/dev/null # grpo is the child of the subshell
    wait $pid 2>/dev/null
    train "$name" env -- "$@" || cat "$dir/log"
    same "$name"
    lines=$(grep -c '"step":[123],' "$dir/$name/metrics.jsonl")
    [ "$lines" = 3 ] || bad "$name: $lines metrics lines of steps 1 to 3"
}

# stopped NAME OVERRIDES...: SIGTERM gives a checkpoint and status 85, then the rest
stopped() {
    local name=$1 status
    shift
    train "$name" env -- "$@" &
    pid=$!
    await "$dir/$name/metrics.jsonl"
    pkill -TERM -P $pid 2>/dev/null
    wait $pid
    status=$?
    case $status in
    0 | 85) ok "$name: SIGTERM gives status $status" ;;
    *) bad "$name: SIGTERM gives status $status" && cat "$dir/log" ;;
    esac
    train "$name" env -- "$@" || cat "$dir/log"
    same "$name"
}

has_mpi=
if command -v mpirun >/dev/null && "$grpo" help >/dev/null && [ -z "${NO_MPI:-}" ]; then
    has_mpi=yes
    run=(mpirun --oversubscribe --bind-to none)
else
    echo "SKIP rank splits: no mpirun"
fi

# splits NAME OVERRIDES...
splits() {
    local name=$1
    shift
    [ -n "$has_mpi" ] || return
    train "$name"_1_1 "${run[@]}" -n 2 -- run.threads=1 "$@" && same "$name"_1_1
    train "$name"_2_1 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=1 "$@" && same "$name"_2_1
    train "$name"_1_2 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=2 "$@" && same "$name"_1_2
    train "$name"_colocated "${run[@]}" -n 2 -- run.threads=1 run.colocated=true "$@" &&
        same "$name"_colocated
}

killed killed_1 1
killed killed_2 2
stopped stopped
splits ranks
if [ -n "$has_mpi" ]; then
    train ranks_4 "${run[@]}" -n 4 -- run.threads=1 && same ranks_4
fi

# --- routing replay changes nothing on policy, and something after an update that moved routes
train replay_r2 env -- grpo.routing_replay=r2 && same replay_r2
train replay_r3 env -- grpo.routing_replay=r3 && same replay_r3
train old_recomputed env -- grpo.old_logp=learner && same old_recomputed
on_policy=$want

# differs NAME OTHER
differs() {
    if [ -n "$(hash_of "$1")" ] && [ "$(hash_of "$1")" != "$(hash_of "$2")" ]; then
        ok "$1 is not $2"
    else
        bad "$1 is the same as $2"
    fi
}
off=(grpo.epochs=2 grpo.mini_batch=4 optim.lr=2e-2)
train epochs env -- "${off[@]}"
train epochs_r2 env -- "${off[@]}" grpo.routing_replay=r2 && differs epochs_r2 epochs
train epochs_r3 env -- "${off[@]}" grpo.routing_replay=r3 && differs epochs_r3 epochs
want=$(hash_of epochs_r3) # one policy sampled and made the old pass
same epochs_r2

# --- everywhere NAME OVERRIDES...: alone, over ranks, killed, stopped: one hash, and not that of
# the run without the overrides. Leaves it in $want.
everywhere() {
    local name=$1
    shift
    train "$name" env -- "$@" || { bad "$name" && cat "$dir/log"; return; }
    want=$(hash_of "$name")
    [ "$want" != "$on_policy" ] || bad "$name changes nothing"
    train "$name"_threads_1 env -- run.threads=1 learner.micro_tokens=64 "$@" && same "$name"_threads_1
    killed "$name"_killed_1 1 "$@"
    killed "$name"_killed_2 2 "$@"
    stopped "$name"_stopped "$@"
    splits "$name" "$@"
}
everywhere stale grpo.staleness=1
train stale_checked env -- grpo.staleness=1 grpo.check_stale=true && same stale_checked
if [ -n "$has_mpi" ]; then
    train stale_checked_1_2 "${run[@]}" -n 3 -- grpo.staleness=1 grpo.check_stale=true \
        run.threads=1 run.learner_ranks=2 && same stale_checked_1_2
fi
few=(grpo.zero_variance=refill reward.form=0) # rewards are 0 or 1: a third of the groups are flat
everywhere refill "${few[@]}"
grep -q '"refill_rounds":[2-8]' "$dir/refill/metrics.jsonl" || bad "refill: one round in every step"
everywhere stale_refill "${few[@]}" grpo.staleness=1 grpo.routing_replay=r2 grpo.refill_rounds=2

# over NAME OVERRIDES...: as everywhere, with less of it
over() {
    local name=$1
    shift
    train "$name" env -- "$@" || { bad "$name" && cat "$dir/log"; return; }
    want=$(hash_of "$name")
    [ "$want" != "$on_policy" ] || bad "$name changes nothing"
    killed "$name"_killed_2 2 "$@"
    [ -z "$has_mpi" ] || {
        train "$name"_1_2 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=2 "$@" &&
            same "$name"_1_2
    }
}
over reference grpo.ref_every=1 grpo.ref_mix=0.25 grpo.kl_coef=0.5
over router grpo.aux_coef=0.05 grpo.z_coef=0.01 grpo.zero_variance=drop
over frozen grpo.router=freeze

# --- trajectories: a run's own, learned from again, make the same weights
want=$on_policy
train written env -- log.trajectories=true && same written
given=(--trajectories "$dir/written/trajectories.jsonl")
train given env -- "${given[@]}" && same given
train given_r2 env -- "${given[@]}" grpo.routing_replay=r2 run.threads=1 && same given_r2
killed given_killed_1 1 "${given[@]}"
if [ -n "$has_mpi" ]; then
    train given_3 "${run[@]}" -n 3 -- run.threads=1 "${given[@]}" && same given_3
    train written_1_2 "${run[@]}" -n 3 -- run.threads=1 run.learner_ranks=2 log.trajectories=true &&
        same written_1_2
    cmp -s "$dir/written/trajectories.jsonl" "$dir/written_1_2/trajectories.jsonl" ||
        bad "trajectories.jsonl differs between rank splits"
fi
train routes env -- "${off[@]}" grpo.routing_replay=r3 log.trajectories=true
want=$(hash_of routes)
train given_routes env -- "${off[@]}" grpo.routing_replay=r3 \
    --trajectories "$dir/routes/trajectories.jsonl" && same given_routes
# stripped to texts and golds: tokenised and scored here, log-probs unknown; eos ends what ended so
sed -E 's/"(prompt_tokens|tokens|logp)":\[[^]]*\],?//g; s/"reward":[^,]*,//g' \
    "$dir/written/trajectories.jsonl" >"$dir/texts.jsonl"
train texts env -- rollout.max_new=40 --trajectories "$dir/texts.jsonl" || { bad texts && cat "$dir/log"; }
grep -q '"share_correct":0\.[0-9]' "$dir/texts/metrics.jsonl" || bad "texts: nothing is right"

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
head -n 3 "$dir/written/trajectories.jsonl" >"$dir/few.jsonl"
refuse "too few trajectories" 3 'few.jsonl: 3 groups' "${smoke[@]}" data.trajectories="$dir/few.jsonl"
sed '2s/"logp":\[/"logp":[-1,/' "$dir/written/trajectories.jsonl" >"$dir/lengths.jsonl"
refuse "a log-prob too many" 3 'lengths.jsonl:2: completion 0' "${smoke[@]}" \
    --trajectories "$dir/lengths.jsonl"
refuse "no file after --trajectories" 2 'trajectories needs a value' "${smoke[@]}" --trajectories
refuse "refill of a file" 2 'zero_variance' "${smoke[@]}" grpo.zero_variance=refill \
    --trajectories "$dir/written/trajectories.jsonl"
printf '{"question":"1+1?","answer":"none"}\n' >"$dir/gold.jsonl"
refuse "gold without a value" 3 'gold.jsonl:1' "${smoke[@]}" data.train="$dir/gold.jsonl"
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
