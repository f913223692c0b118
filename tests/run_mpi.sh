#!/bin/sh
# Runs the communicator's test under mpirun with 1..5 ranks, then lets one rank stop,
# die or abort and checks the exit status of the job.
#   tests/run_mpi.sh build/release/tests/dist/test_comm
set -u
test_comm=${1:?usage: tests/run_mpi.sh TEST_COMM_BINARY}
if ! command -v mpirun >/dev/null 2>&1; then
    echo "SKIP run_mpi: no mpirun on PATH"
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
fi
# MPI's own one-time allocations are not ours to report
LSAN_OPTIONS=detect_leaks=0
export LSAN_OPTIONS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

# expect NAME STATUS COMMAND...
expect() {
    name=$1 want=$2
    shift 2
    timeout -k 5 90 "$@" >"$log" 2>&1
    got=$?
    if [ "$got" -eq "$want" ]; then
        echo "ok   $name"
    else
        echo "FAIL $name: exit status $got, expected $want"
        cat "$log"
        failed=1
    fi
}

run="mpirun --oversubscribe --bind-to none"
for n in 1 2 3 4 5; do
    expect "mpi, $n ranks" 0 $run -n "$n" "$test_comm"
done
expect "a stopped rank: watchdog" 70 $run -n 2 "$test_comm" stop
expect "a killed rank" 137 $run -n 2 "$test_comm" kill
expect "abort with 85" 85 $run -n 2 "$test_comm" abort
exit $failed
