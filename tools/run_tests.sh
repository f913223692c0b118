#!/usr/bin/env bash
# Runs test programs one after another, then test scripts, and counts:
#   tools/run_tests.sh BINARY... [-- 'SCRIPT ARGUMENT'...]
# A binary counts by cmocka's summary lines; one that crashes, hangs or prints no summary is
# one more failure. A script is one test: exit 0 passed, 77 or a line "SKIP ..." skipped.
# The last line is the sum. Logs stay beside the binaries.
#   O=DIR  TEST_TIMEOUT=300  SCRIPT_TIMEOUT=900  SKIP_SCRIPTS="names"
set -u
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
passed=0 failed=0 skipped=0
failures=()

# count WORD LOG: the number on cmocka's line "[  WORD  ] N test(s)"
count() {
    sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$2" | awk '{n += $1} END {print n + 0}'
}

run_binary() {
    local binary=$1 log=$1.log status p f s start=$EPOCHREALTIME
    timeout -k 5 "${TEST_TIMEOUT:-300}" "$binary" >"$log" 2>&1
    status=$?
    p=$(count PASSED "$log") f=$(count FAILED "$log") s=$(count SKIPPED "$log")
    if ((status == 124 || status == 137)); then
        echo "stopped after ${TEST_TIMEOUT:-300} s" >>"$log"
    fi
    # failures that cmocka did not list: a crash, a hang, a leak report, an empty program
    if ((status != 0 && f == 0)) || ((p + f + s == 0)); then
        f=$((f + 1))
    fi
    printf '%s %-40s %3d passed, %d failed, %d skipped (%.1f s)\n' \
        "$( ((f == 0)) && echo 'ok  ' || echo FAIL)" "${binary#"${O:-}"/}" \
        "$p" "$f" "$s" "$(awk "BEGIN {print $EPOCHREALTIME - $start}")"
    if ((f > 0)); then
        cat "$log"
        echo "exit status $status"
        failures+=("$binary")
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

run_script() {
    local script=${1%% *} argument=${1#* } name status log result
    name=$(basename "$script" .sh)
    case " ${SKIP_SCRIPTS:-} " in
    *" $name "*)
        echo "skip $script: not for this build"
        skipped=$((skipped + 1))
        return
        ;;
    esac
    mkdir -p "${O:-build}/tests"
    log=${O:-build}/tests/$name.log
    timeout -k 5 "${SCRIPT_TIMEOUT:-900}" "$script" "$argument" >"$log" 2>&1
    status=$?
    result='ok  '
    if ((status == 77)) || { ((status == 0)) && grep -q '^SKIP' "$log"; }; then
        result=skip skipped=$((skipped + 1))
    elif ((status == 0)); then
        passed=$((passed + 1))
    else
        result=FAIL failed=$((failed + 1))
        failures+=("$script")
    fi
    echo "$result $script"
    # what a failure says, and every skip
    if [ "$result" = FAIL ]; then
        cat "$log"
        echo "exit status $status"
    else
        grep '^SKIP' "$log"
    fi
}

while (($# > 0)); do
    if [ "$1" = -- ]; then
        shift
        break
    fi
    run_binary "$1"
    shift
done
for call in "$@"; do
    run_script "$call"
done
for f in "${failures[@]}"; do
    echo "failed: $f"
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
