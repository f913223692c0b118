#!/usr/bin/env bash
# Builds every tests/fuzz/fuzz_<name>.c and runs it on its corpus: with libFuzzer where
# clang has its runtime, else with the driver beside the targets; address and undefined
# behaviour sanitizers where the compiler has them.
#   tests/run_fuzz.sh OBJECT_DIR
#   FUZZ_SECONDS=2   for each target; FUZZ=1 means 60. New inputs stay in
#                    OBJECT_DIR/fuzz-<engine>/corpus/<name>, crashing ones in .../crashes
set -u
dir=$(realpath "${1:?usage: tests/run_fuzz.sh OBJECT_DIR}")
cd "$(dirname "$0")/.." || exit 1
seconds=${FUZZ_SECONDS:-$([ "${FUZZ:-}" = 1 ] && echo 60 || echo 2)}

# can COMPILER FLAG: whether it links a program
can() {
    printf '%s\n' "$3" | "$1" -x c - "$2" -o /dev/null 2>/dev/null
}
target='#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n);
int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n) { return n > 9 && d[0]; }'
sanitize='-fsanitize=address,undefined -fno-sanitize-recover=all'
if can clang -fsanitize=fuzzer,address,undefined "$target"; then
    engine=libfuzzer compiler=clang flags="$sanitize -fsanitize=fuzzer-no-link"
elif can "${CC:-gcc}" -fsanitize=address,undefined 'int main(void) { return 0; }'; then
    engine=driver compiler=${CC:-gcc} flags=$sanitize
else
    engine=driver compiler=${CC:-gcc} flags=
fi

out=$dir/fuzz-$engine
make --no-print-directory -j"$(nproc)" BUILD=fuzz MPI=0 CUDA=0 CC="$compiler" O="$out" \
    FUZZ_ENGINE=$engine FUZZ_FLAGS="$flags" fuzz-bins >"$dir/fuzz-build.log" 2>&1 || {
    cat "$dir/fuzz-build.log"
    exit 1
}
mkdir -p "$out/crashes"
failed=0
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c) short=${source##*/fuzz_}
    short=${short%.c}
    mkdir -p "$out/corpus/$short"
    log=$out/$name.log
    # the first folder takes the inputs that reach new code
    "$out/tests/fuzz/$name" -max_total_time="$seconds" -timeout=30 -max_len=65536 \
        -artifact_prefix="$out/crashes/$short-" -print_final_stats=1 \
        "$out/corpus/$short" "tests/fuzz/corpus/$short" >"$log" 2>&1
    status=$?
    if ((status == 0)); then
        printf 'ok   %-16s %s s, %s\n' "$short" "$seconds" \
            "$(awk '/number_of_executed_units/ { n = $2 } / runs on / { n = $1 }
                    END { print n, "runs" }' "$log")"
        continue
    fi
    failed=1
    tail -n 60 "$log"
    echo "FAIL $short: the input is the newest of"
    ls -t "$out/crashes/$short"-* 2>/dev/null | head -n 3
    echo "     again: $out/tests/fuzz/$name INPUT"
done
exit $failed
