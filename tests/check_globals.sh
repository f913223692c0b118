#!/usr/bin/env bash
# No mutable globals: every symbol in a writable section of the folders' objects is listed
# below with its reason. Constant tables of pointers lie in .data.rel.ro, which the loader
# makes read-only, and pass.
#   tests/check_globals.sh OBJECT_DIR      77: not a release build
set -u
dir=$(realpath "${1:?usage: tests/check_globals.sh OBJECT_DIR}")
cd "$(dirname "$0")/.." || exit 1

allowed='
core/status message         # the message of the last error, one per thread
core/log current_level      # log level
core/log world_rank         # the rank in the prefix of log lines
core/log world_size         # and of how many
core/mem n_allocations      # the counter that shows that a step allocates nothing
core/mem alloc_hook         # test hook
core/mem alloc_hook_user    # its argument
dist/watchdog dog           # one per process: shared by its thread and the callers
emulator/counts all         # the counters of every kernel
emulator/machine pool       # register files and shared memory, kept between launches
emulator/memory table       # what kernels may reach
emulator/settings once      # what the environment says,
emulator/settings settings  # read at first use
emulator/workers pool       # threads that help with launches
emulator/runtime state     # the runtime is one per process: its lock and settings
emulator/runtime last_error            # of a thread, for cudaGetLastError
emulator/runtime_event events          # with valid handles
emulator/runtime_graph graphs          # with valid handles
emulator/runtime_launch pushed         # between <<<...>>> and the stub, per thread
emulator/runtime_memory blocks         # the table of allocations
emulator/runtime_module modules        # what start-up code registered
emulator/runtime_stream default_stream # there is one
emulator/runtime_stream n_submitted    # numbers the submissions
emulator/runtime_stream streams        # with valid handles
grpo/train stop_requested   # all that a signal handler may touch
'

if grep -qE -e '-fsanitize|--coverage' "$dir/flags.stamp"; then
    echo "SKIP check_globals: the compiler's instrumentation adds globals of its own"
    exit 77
fi
objects=$(find "$dir"/{core,cpu,cuda,dist,reward,model,rollout,grpo,emulator} -name '*.o' 2>/dev/null |
    sort)
if [ -z "$objects" ]; then
    echo "no objects below $dir: build first"
    exit 1
fi

# nm -f sysv: name | value | class | type | size | line | section
found=$(
    for o in $objects; do
        unit=${o#"$dir"/}
        unit=$(sed -E 's/(\.(portable|avx2|avx512))?\.o$//' <<<"$unit")
        # an object whose source is gone is not linked any more
        [ -e "$unit.c" ] || [ -e "$unit.cu" ] || continue
        nm -f sysv "$o" | awk -F'|' -v unit="$unit" '
            NF >= 7 {
                gsub(/ /, "", $1); gsub(/ /, "", $3); gsub(/ /, "", $4); gsub(/ /, "", $7)
                if ($4 == "SECTION" || $4 == "FILE") next
                if ($1 ~ /^\.gomp_critical_user_/) next   # the lock of an omp critical
                writable = $7 ~ /^\.(data|bss|tdata|tbss|lbss|ldata)/ || $7 == "*COM*"
                if (!writable || $7 ~ /^\.data\.rel\.ro/) next
                # what nvcc writes to register kernels
                if (unit ~ /^cuda\// && $1 ~ /__device_stub__|__cuda|__nv_/) next
                sub(/\.[0-9]+$/, "", $1)          # a local static
                print unit, $1, $7
            }'
    done
)
failed=0
while read -r unit name section; do
    [ -n "$unit" ] || continue
    if ! grep -qE "^$unit $name +#|^$unit $name\$" <<<"$allowed"; then
        echo "$unit.c: mutable global '$name' in $section"
        failed=1
    fi
done <<<"$found"
exit $failed
