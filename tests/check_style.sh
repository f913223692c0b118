#!/usr/bin/env bash
# What clang-format does not see: sizes of files, lines and functions, leftovers, backends
# chosen by #if, header guards, and whether every header compiles alone.
set -u
cd "$(dirname "$0")/.."
CC=${CC:-gcc}
shopt -s nullglob
folders='core cpu cuda dist reward model rollout grpo emulator bench tests tests/*'
sources=() headers=()
for f in $folders; do
    sources+=("$f"/*.{c,h,cu,cuh})
    headers+=("$f"/*.h)
done
if ((${#sources[@]} == 0)); then
    echo "no sources found: run from a checkout"
    exit 1
fi
failed=0
fail() {
    echo "$1"
    failed=1
}
# fails if its input has lines
report() {
    local line
    while IFS= read -r line; do
        fail "$line"
    done
}

# Sizes. A function begins with a brace alone in the first column and ends with the next
# one there; kernels are the functions declared __global__.
report < <(LC_ALL=C awk '
    FNR == 1 { if (NR > 1) end_file(); file = FILENAME; body = 0; is_kernel = 0 }
    { last = FNR }
    /\t/ { print file ":" FNR ": a tab" }
    /[ \t]$/ { print file ":" FNR ": blanks at the end of the line" }
    {
        text = $0
        gsub(/[\200-\277]/, "", text)   # continuation bytes of UTF-8 take no column
        if (length(text) > 88)
            print file ":" FNR ": " length(text) " columns, the limit is 88"
    }
    /__global__/ { is_kernel = 1 }
    /^\{[ \t]*$/ { body = FNR }
    /^\}/ {
        limit = is_kernel ? 120 : 60
        if (body && FNR - body + 1 > limit)
            print file ":" body ": function of " FNR - body + 1 " lines, the limit is " limit
        body = 0; is_kernel = 0
    }
    function end_file() {
        if (last > 600) print file ":" last ": file of " last " lines, the limit is 600"
    }
    END { end_file() }
' "${sources[@]}")

report < <(grep -nHE '\b(TODO|FIXME|XXX|HACK)\b' "${sources[@]}" |
    sed 's/$/   <- leftover/')

# A backend is chosen by the file that is linked; only main.c asks which exist.
for f in "${sources[@]}"; do
    case $f in grpo/main.c | cuda/* | tests/cuda/* | *.cu | *.cuh) continue ;; esac
    report < <(grep -nHE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b.*CUDA' "$f" |
        sed 's/$/   <- choose a file, not a branch/')
done

for h in "${headers[@]}"; do
    guard=$(tr 'a-z/.-' 'A-Z___' <<<"$h")
    if ! awk -v guard="$guard" '
        /^#/ { n++; if (n == 1 && $0 != "#ifndef " guard) bad = 1
                    if (n == 2 && $0 != "#define " guard) bad = 1 }
        END { exit bad || n < 3 }' "$h"; then
        fail "$h:1: expected the include guard $guard"
    fi
    if ! errors=$("$CC" -std=c11 -D_GNU_SOURCE -I. -fsyntax-only -Wall -x c "$h" 2>&1); then
        fail "$h:1: does not compile alone:"
        echo "$errors"
    fi
done
exit $failed
