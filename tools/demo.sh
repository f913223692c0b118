#!/usr/bin/env bash
# The demo: generate word problems, pretrain a small MoE on them in mixed answer styles, post-train
# it with GRPO on two MPI ranks (one generates, one learns), evaluate before and after, report.
#
#   tools/demo.sh GRPO [short|long]          RUN=runs/demo by default
set -euo pipefail

grpo=$1
kind=${2:-short}
case $kind in
short) run=${RUN:-runs/demo} config=configs/demo.ini pre_steps=${PRE_STEPS:-400}
       synth=(--pretrain 40000 --train 8000 --heldout 500 --min-steps 1 --max-steps 2
              --max-number 20) ;;
long)  run=${RUN:-runs/demo-long} config=configs/demo-long.ini pre_steps=${PRE_STEPS:-2000}
       synth=(--pretrain 120000 --train 20000 --heldout 1000 --min-steps 1 --max-steps 3
              --max-number 30 --distractors 0.1 --facts 0.1) ;;
*)     echo "usage: $0 GRPO [short|long]" >&2; exit 2 ;;
esac

start=$(date +%s)
cores=$(nproc)
rm -rf "$run"
mkdir -p "$run"
say() { printf '\n== %s\n' "$*"; }

say "word problems -> $run/data"
"$grpo" synth "$run/data" --seed 1 "${synth[@]}" --marker 0.35 --prose 0.35 --terse 0.2 \
    --careless 0.1 --vocab 512

say "pretraining on mixed answer styles -> $run/base"
"$grpo" pretrain configs/demo-pretrain.ini run.dir="$run/base" \
    model.tokenizer="$run/data" data.train="$run/data/pretrain.jsonl" \
    data.eval="$run/data/heldout.jsonl" pretrain.steps="$pre_steps"

# two ranks take turns (rollout, then learner), so each may use every core
launch=()
if command -v mpirun >/dev/null && "$grpo" inspect --help >/dev/null; then
    root=()
    [ "$(id -u)" -ne 0 ] || root=(--allow-run-as-root)
    launch=(mpirun "${root[@]}" --oversubscribe --bind-to none -n 2)
fi
say "GRPO: ${launch[*]:-one rank}"
"${launch[@]}" "$grpo" train "$config" run.dir="$run" run.threads="$cores" \
    model.path="$run/base/checkpoints/step_$pre_steps" \
    data.train="$run/data/train.jsonl" data.eval="$run/data/heldout.jsonl"

end=$(date +%s)
say "done in $((end - start)) s"
tools/demo_summary.sh "$run/summary.json" $((end - start))
echo "report: $run/report.html"
