#!/usr/bin/env bash
# Each preset on the demo task: the same pretrained model, seed, data and steps, only grpo.preset
# differs. Then the paper's preset with its L1 clip on and off at two expert counts, whose updates the
# clip makes smaller the larger the model is. Writes OUT/presets.md (tables), OUT/presets.html (curves
# of all presets), OUT/clip_l1.html.
#
#   tools/presets.sh GRPO BASE DATA OUT
#
# BASE: the demo's pretrained checkpoint (runs/demo/base/checkpoints/step_400), DATA: its word problems
# (runs/demo/data). Environment: STEPS (12), PROMPTS (32), MINI_BATCH (16: two updates per step, so that
# ratios leave 1), LR (1e-4), PRESETS, EXPERTS ("4 32"), L1_STEPS (6), L1_PRE_STEPS (200), EVAL_LIMIT
# (200), ARGS (more section.key=value words for every run).
set -euo pipefail

[ $# = 4 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
grpo=$1 base=$2 data=$3 out=$4
steps=${STEPS:-12}
presets=${PRESETS:-none verl trl paper dapo dr_grpo gspo cispo}
read -ra experts <<<"${EXPERTS:-4 32}"
read -ra args <<<"${ARGS:-}"
mkdir -p "$out"
table=$out/presets.md

# the demo's configuration without the choices that a preset makes
sed -E '/^(advantage|zero_variance|aggregation|steps) *=/d; /^weight_decay *=/d' configs/demo.ini >"$out/run.ini"
common=(grpo.prompts="${PROMPTS:-32}" grpo.mini_batch="${MINI_BATCH:-16}" optim.lr="${LR:-1e-4}"
    data.train="$data/train.jsonl" eval.every=0 log.tensorboard=false "${args[@]}")

# field FILE KEY: the values of the steps, one a line
field() { grep '"reward_mean"' "$1" | sed -E "s/.*\"$2\":([^,}]*).*/\1/"; }
mean() { awk '{ s += $1 } END { if (NR) printf "%.4g", s / NR; else printf "-" }'; }
first() { head -n 1; }
last_quarter() { tail -n $(((steps + 3) / 4)); }

run() { # NAME WORDS...: into $out/NAME unless it is there and done
    local dir=$out/$1
    shift
    [ -e "$dir/summary.json" ] && return
    echo "== $dir" >&2
    "$grpo" train "$out/run.ini" run.dir="$dir" "${common[@]}" "$@" >"$out/log" 2>&1 ||
        { tail -n 20 "$out/log" >&2; exit 1; }
}

accuracy() { # RUN before|after
    sed -n "s/.*\"$2\":{\([^}]*\)}.*/\1/p" "$1/summary.json" | tr ',' '\n' |
        sed -n 's/^"accuracy":\(.*\)$/\1/p'
}

dirs=()
for p in $presets; do
    run "$p" grpo.preset="$p" grpo.steps="$steps" model.path="$base" \
        data.eval="$data/heldout.jsonl" data.eval_limit="${EVAL_LIMIT:-200}"
    dirs+=("$out/$p")
done
"$grpo" report "${dirs[@]}" --out "$out/presets.html" >/dev/null

{
    echo "| preset | reward, step 1 | reward, last quarter | held-out before | after | clipped low / high | update norm | reward of each step |"
    echo "|---|---|---|---|---|---|---|---|"
    for p in $presets; do
        m=$out/$p/metrics.jsonl
        printf '| %s | %.3f | %s | %s | %s | %s / %s | %s | %s |\n' "$p" \
            "$(field "$m" reward_mean | first)" "$(field "$m" reward_mean | last_quarter | mean)" \
            "$(accuracy "$out/$p" before)" "$(accuracy "$out/$p" after)" \
            "$(field "$m" clip_low | mean)" "$(field "$m" clip_high | mean)" \
            "$(field "$m" update_norm | mean)" \
            "$(field "$m" reward_mean | awk '{ printf "%s%.2f", (NR > 1 ? " " : ""), $1 }')"
    done
} >"$table"

# --- the L1 clip: paper's preset, two expert counts, each pretrained alike
dirs=()
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
for e in "${experts[@]}"; do
    pre=$out/base_E$e pre_steps=${L1_PRE_STEPS:-200}
    if [ ! -e "$pre/checkpoints/step_$pre_steps" ]; then
        echo "== $pre" >&2
        "$grpo" pretrain configs/demo-pretrain.ini run.dir="$pre" model.tokenizer="$data" \
            data.train="$data/pretrain.jsonl" pretrain.steps="$pre_steps" pretrain.val=0 \
            shape.experts="$e" >"$out/log" 2>&1 || { tail -n 20 "$out/log" >&2; exit 1; }
    fi
    n=$("$grpo" inspect "$pre/checkpoints/step_$pre_steps" |
        sed -nE 's/^ *parameters ([0-9]+) total.*/\1 parameters/p')
    for clip in 0 1; do
        name=paper_E${e}_l1_$clip
        run "$name" grpo.preset=paper optim.clip_l1=$clip grpo.steps="${L1_STEPS:-6}" \
            model.path="$pre/checkpoints/step_$pre_steps" eval.at_start=false
        dirs+=("$out/$name")
        printf '| %s | %s | %s | %s |\n' "$e (${n:-?})" "$clip" \
            "$(field "$out/$name/metrics.jsonl" grad_norm_l1 | mean)" \
            "$(field "$out/$name/metrics.jsonl" update_norm | awk '{ printf "%s%.3g", (NR > 1 ? " " : ""), $1 }')" >>"$rows"
    done
done
"$grpo" report "${dirs[@]}" --out "$out/clip_l1.html" >/dev/null
{
    echo
    echo "Paper preset (its first step has learning rate 0), L2 norm of the weights' change per update:"
    echo
    echo "| experts | optim.clip_l1 | gradient's L1 norm | update norm of each step |"
    echo "|---|---|---|---|"
    cat "$rows"
} >>"$table"
cat "$table"
