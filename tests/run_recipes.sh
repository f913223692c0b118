#!/usr/bin/env bash
# Recipes whose statistics span ranks (recomputed log-probs, corrections, KL in the reward, whitening,
# entropy quantile, covariance share): the same checkpoint hash on one rank, other cuts and threads, and
# rank splits. Every preset trains; the record says what is in force; a wrong recipe is refused early.
#   tests/run_recipes.sh build/release
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

"$grpo" synth "$dir/data" --seed 5 --pretrain 300 --train 64 --heldout 8 --max-number 20 \
    --vocab 300 >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
"$grpo" pretrain run.dir="$dir/base" model.tokenizer="$dir/data" \
    data.train="$dir/data/pretrain.jsonl" data.max_prompt=200 pretrain.max_tokens=300 \
    pretrain.steps=4 pretrain.batch=16 shape.d_model=32 shape.layers=2 shape.heads=2 \
    shape.kv_heads=1 shape.d_ff=48 shape.experts=6 shape.top_k=2 optim.lr=3e-3 \
    >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
model=$dir/base/checkpoints/step_4

# rewards of a random model are all 0: the entropy bonus and KL give gradients
recipes=(
    "grpo.old_logp=learner grpo.is_correction=token_truncate grpo.is_normalised=true
     grpo.reject=token_k1,seq_max_k2 grpo.reject_limit=0.5_2,3 grpo.advantage=opo
     grpo.reward_kl_coef=0.5 grpo.kl_coef=0.1 grpo.kl_weighted=true"
    "grpo.advantage=reinforce_pp grpo.gamma=0.9 grpo.reward_kl_coef=0.5 grpo.entropy_quantile=0.4
     grpo.entropy_coef=0.05 grpo.aggregation=micro_token_mean grpo.micro_loss_tokens=100
     grpo.truncated=keep"
    "grpo.advantage=reinforce_pp_baseline grpo.objective=kl_cov grpo.cov_share=0.3
     grpo.reward_kl_coef=0.5 grpo.correct_with=current grpo.is_correction=sequence_mask
     grpo.is_normalised=true grpo.reject=seq_mean_k3 grpo.reject_limit=0.5"
)
train() { # NAME LAUNCHER... -- WORDS...
    local name=$1 launch=()
    shift
    while [ "$1" != -- ]; do
        launch+=("$1")
        shift
    done
    shift
    "${launch[@]}" "$grpo" train configs/smoke.ini model.path="$model" \
        data.train="$dir/data/train.jsonl" run.dir="$dir/$name" optim.lr=1e-3 \
        data.max_prompt=200 grpo.steps=2 grpo.mini_batch=2 grpo.epochs=2 "$@" >"$dir/log" 2>&1
}
hash_of() { "$grpo" inspect --hash "$dir/$1/checkpoints/step_2" 2>"$dir/log" | tail -n 1; }
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

has_mpi=$(command -v mpirun)
run=(mpirun --oversubscribe --bind-to none)
for i in "${!recipes[@]}"; do
    read -ra words <<<"$(tr '\n' ' ' <<<"${recipes[$i]}")"
    train "recipe_$i" env -- "${words[@]}" || { cat "$dir/log"; bad "recipe_$i"; continue; }
    want=$(hash_of "recipe_$i")
    grep -q '"grad_norm":0,' "$dir/recipe_$i/metrics.jsonl" && bad "recipe_$i: no gradient"
    train "cut_$i" env -- "${words[@]}" learner.micro_tokens=64 run.threads=1; same "cut_$i"
    if [ -n "$has_mpi" ] && [ -z "${NO_MPI:-}" ]; then
        train "split_$i" "${run[@]}" -n 3 -- "${words[@]}" run.threads=1 run.learner_ranks=2
        same "split_$i"
        train "colocated_$i" "${run[@]}" -n 2 -- "${words[@]}" run.threads=1 \
            run.colocated=true
        same "colocated_$i"
    fi
done
[ -n "$has_mpi" ] && [ -z "${NO_MPI:-}" ] || echo "SKIP rank splits: no mpirun"

for p in verl trl paper dapo dr_grpo gspo cispo; do
    if train "preset_$p" env -- grpo.preset=$p && grep -q '^# denominator: ' "$dir/preset_$p/config.ini" &&
        grep -q '"update_norm":' "$dir/preset_$p/metrics.jsonl" &&
        grep -q '"off_policy_ess":' "$dir/preset_$p/metrics.jsonl"; then
        ok "preset $p"
    else
        bad "preset $p"
        cat "$dir/log"
    fi
done

"$grpo" train configs/smoke.ini model.path="$model" data.train="$dir/data/train.jsonl" \
    run.dir="$dir/wrong" grpo.reject=token_k7 grpo.reject_limit=1 >"$dir/out" 2>&1
status=$?
if [ $status = 2 ] && grep -q 'token_k7' "$dir/out" && [ ! -e "$dir/wrong/checkpoints" ]; then
    ok "a wrong recipe is refused"
else
    bad "a wrong recipe: status $status"
    cat "$dir/out"
fi
printf '{"engine":"trl"}\n' >"$dir/cases.jsonl"
"$grpo" objective "$dir/cases.jsonl" >"$dir/out" 2>"$dir/err"
status=$?
if [ $status = 3 ] && grep -q 'cases.jsonl:1: input' "$dir/out"; then
    ok "grpo objective: malformed line, status 3"
else
    bad "grpo objective: status $status"
fi
exit $failed
