#!/usr/bin/env bash
# clang-format has nothing to change. Its versions disagree, so only 14 judges.
set -u
cd "$(dirname "$0")/.."
tool=$(command -v clang-format-14 || command -v clang-format)
case $("${tool:-false}" --version 2>/dev/null) in
*" version 14."*) ;;
*)
    echo "SKIP check_format: no clang-format 14"
    exit 77
    ;;
esac
shopt -s nullglob
files=({core,cpu,cuda,dist,reward,model,rollout,grpo,emulator,bench,tests,tests/*}/*.{c,h,cu,cuh})
"$tool" --dry-run --Werror "${files[@]}" 2>&1 | grep -E '(error|warning):' |
    sed 's/ \[-Wclang-format-violations\]//'
exit "$((PIPESTATUS[0] != 0))"
