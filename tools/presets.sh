#!/usr/bin/env bash
# Each preset on the demo task: the same pretrained model, seed, data, steps and learning rate, only
# grpo.preset differs. Then the paper's preset with its L1 clip on and off at two expert counts, whose
# updates the clip makes smaller the larger the model is. Writes OUT/presets.md (tables),
# OUT/presets.svg (share of right completions, step by step), OUT/presets.html and OUT/clip_l1.html
# (all curves). Runs that are there and done are kept.
#
#   tools/presets.sh GRPO BASE DATA OUT
#
# BASE: the demo's pretrained checkpoint (runs/demo/base/checkpoints/step_400), DATA: its word problems
# (runs/demo/data). Environment: STEPS (20), PROMPTS (32), MINI_BATCH (16: two updates per step, so that
# ratios leave 1), LR (1e-4), PRESETS, EXPERTS ("8 32"), L1_STEPS (6), L1_PRE_STEPS (120), EVAL_LIMIT
# (300), ARGS (more section.key=value words for every run).
set -euo pipefail

[ $# = 4 ] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
grpo=$1 base=$2 data=$3 out=$4
steps=${STEPS:-20}
# paper-L1: the paper's preset without its second clip
presets=${PRESETS:-verl trl paper paper-L1 dapo dr_grpo gspo cispo}
read -ra experts <<<"${EXPERTS:-8 32}"
read -ra args <<<"${ARGS:-}"
mkdir -p "$out"

# the demo's configuration without the choices that a preset makes
sed -E '/^(advantage|zero_variance|aggregation|steps|weight_decay) *=/d' configs/demo.ini >"$out/run.ini"
common=(grpo.prompts="${PROMPTS:-32}" grpo.mini_batch="${MINI_BATCH:-16}" optim.lr="${LR:-1e-4}"
    data.train="$data/train.jsonl" eval.every=0 log.tensorboard=false "${args[@]}")

# field RUN KEY: the values of the steps, one a line
field() { grep '"reward_mean"' "$out/$1/metrics.jsonl" | sed -nE "s/.*\"$2\":([^,}]*).*/\1/p"; }
# drawn RUN KEY: over all that was sampled; with refill more than what was learned from
drawn() {
    local all
    all=$(field "$1" "drawn_$2")
    [ -z "$all" ] || { echo "$all"; return; }
    field "$1" "${3:-$2}"
}
mean() { awk '{ s += $1 } END { if (NR) printf "%.3g", s / NR; else printf "-" }'; }
quarter() { "$1" -n $(((steps + 3) / 4)); }

run() { # NAME WORDS...: into $out/NAME unless it is there and done
    local dir=$out/$1
    shift
    [ -e "$dir/summary.json" ] && return
    echo "== $dir" >&2
    "$grpo" train "$out/run.ini" run.dir="$dir" "${common[@]}" "$@" >"$out/log" 2>&1 ||
        { tail -n 20 "$out/log" >&2; exit 1; }
}

accuracy() { # RUN before|after: percent and its 95 % interval
    sed -nE "s/.*\"$2\":\{([^}]*)\}.*/\1/p" "$out/$1/summary.json" | tr ',' '\n' |
        awk -F: '{ gsub(/[" []/, "", $1); v[$1] = $2 }
            END { printf "%.1f [%.1f, %.1f]", 100 * v["accuracy"], 100 * v["lo"], 100 * v["hi"] }'
}

# said RUN KEY: what the head of config.ini says first under the key
said() { sed -nE "s/^# $2: ([^;]*).*/\1/p" "$out/$1/config.ini" | sed 's/ against recorded log-probs//'; }

for p in $presets; do
    words=(grpo.preset="${p%-L1}")
    [ "$p" != paper-L1 ] || words+=(optim.clip_l1=0)
    run "$p" "${words[@]}" grpo.steps="$steps" model.path="$base" \
        data.eval="$data/heldout.jsonl" data.eval_limit="${EVAL_LIMIT:-300}"
done
read -ra names <<<"$presets"
"$grpo" report "${names[@]/#/$out/}" --out "$out/presets.html" >/dev/null
for p in $presets; do
    echo "$p" $(drawn "$p" share_correct)
done | tools/presets_svg.sh >"$out/presets.svg"

{
    echo "| preset | reward, first quarter | last quarter | held-out before, % | after | clipped low / high | update norm |"
    echo "|---|---|---|---|---|---|---|"
    for p in $presets; do
        printf '| %s | %s | %s | %s | %s | %s / %s | %s |\n' "$p" \
            "$(drawn "$p" reward_mean | quarter head | mean)" \
            "$(drawn "$p" reward_mean | quarter tail | mean)" \
            "$(accuracy "$p" before)" "$(accuracy "$p" after)" \
            "$(field "$p" clip_low | mean)" "$(field "$p" clip_high | mean)" \
            "$(field "$p" update_norm | mean)"
    done
    echo
    echo "| preset | advantage | objective | denominator | KL | gradient |"
    echo "|---|---|---|---|---|---|"
    for p in $presets; do
        echo "| $p | $(said "$p" advantage) | $(said "$p" objective) | $(said "$p" denominator)" \
            "| $(said "$p" "KL in the loss") | $(said "$p" optimiser | sed "s/gradient's //; s/, weight.*//") |"
    done
} >"$out/table.md"

# --- the L1 clip: paper's preset, two expert counts, each pretrained alike
dirs=()
: >"$out/rows.md"
for e in "${experts[@]}"; do
    pre=$out/base_E$e pre_steps=${L1_PRE_STEPS:-120}
    if [ ! -e "$pre/checkpoints/step_$pre_steps" ]; then
        echo "== $pre" >&2
        "$grpo" pretrain configs/demo-pretrain.ini run.dir="$pre" model.tokenizer="$data" \
            data.train="$data/pretrain.jsonl" pretrain.steps="$pre_steps" pretrain.val=0 \
            shape.experts="$e" >"$out/log" 2>&1 || { tail -n 20 "$out/log" >&2; exit 1; }
    fi
    n=$("$grpo" inspect "$pre/checkpoints/step_$pre_steps" |
        sed -nE 's/^ *parameters ([0-9]+) total.*/\1/p')
    for clip in 0 1; do
        name=paper_E${e}_l1_$clip
        run "$name" grpo.preset=paper optim.clip_l1=$clip grpo.steps="${L1_STEPS:-6}" \
            model.path="$pre/checkpoints/step_$pre_steps" eval.at_start=false
        dirs+=("$out/$name")
        printf '| %s | %s | %s | %s | %s |\n' "$e" "${n:-?}" "$clip" \
            "$(field "$name" grad_norm_l1 | mean)" \
            "$(field "$name" update_norm | awk '{ printf "%s%.3g", (NR > 1 ? " " : ""), $1 }')" >>"$out/rows.md"
    done
done
"$grpo" report "${dirs[@]}" --out "$out/clip_l1.html" >/dev/null
{
    cat "$out/table.md"
    echo
    echo "Paper preset (its first step has learning rate 0): L2 norm of the weights' change, mean over a step's updates."
    echo
    echo "| experts | parameters | optim.clip_l1 | gradient's L1 norm | update norm of each step |"
    echo "|---|---|---|---|---|"
    cat "$out/rows.md"
} >"$out/presets.md"
rm "$out/table.md" "$out/rows.md"
cat "$out/presets.md"
