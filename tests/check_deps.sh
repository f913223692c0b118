#!/usr/bin/env bash
# Include edges. A folder may include only the folders its line below names, a file only
# project headers by "dir/file.h", and headers must not include each other in a circle.
set -u
cd "$(dirname "$0")/.."

allowed() {
    case $1 in
    core) echo core ;;
    cpu) echo cpu core ;;
    cuda) echo cuda core ;;
    dist) echo dist core ;;
    reward) echo reward core ;;
    model) echo model core dist ;;
    rollout) echo rollout core dist model reward ;;
    grpo) echo grpo core dist model reward rollout ;;
    emulator) echo emulator core ;;
    tests | bench) echo core cpu cuda dist reward model rollout grpo emulator tests bench ;;
    *) echo ;;
    esac
}

failed=0
fail() {
    echo "$1"
    failed=1
}

# file:line:header of every quoted include
includes=$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' \
    {core,cpu,cuda,dist,reward,model,rollout,grpo,emulator,bench,tests,tests/*}/*.{c,h,cu,cuh} \
    2>/dev/null | sed -E 's/^([^:]*:[0-9]+):[^"]*"([^"]*)".*/\1:\2/')
if [ -z "$includes" ]; then
    echo "no includes found: run from a checkout"
    exit 1
fi

edges=$(mktemp)
trap 'rm -f "$edges"' EXIT
while IFS=: read -r file line header; do
    folder=${file%%/*} target=${header%%/*}
    if [ "$target" = "$header" ]; then
        fail "$file:$line: \"$header\": include it as \"folder/file.h\""
        continue
    fi
    case " $(allowed "$folder") " in
    *" $target "*) ;;
    *)
        case "$file $header" in
        "grpo/main.c cpu/cpu.h" | "grpo/main.c cuda/cuda.h") ;; # it names the backend
        *) fail "$file:$line: \"$header\": $folder/ may include $(allowed "$folder")" ;;
        esac
        ;;
    esac
    if [ ! -f "$header" ]; then
        fail "$file:$line: \"$header\": no such file"
    fi
    case $file in *.h | *.cuh) echo "$file $header" >>"$edges" ;; esac
done <<<"$includes"

# tsort names the members of a circle on stderr
circle=$(tsort "$edges" 2>&1 >/dev/null)
if [ -n "$circle" ]; then
    fail "headers include each other in a circle:"
    echo "$circle"
fi
exit $failed
