#!/bin/sh
# Lines executed per source file, from the gcov data below the object directory. A line
# counts once, executed if any object that holds it ran it: files of cpu/ are compiled for
# several instruction sets, inline functions into many objects.
#   tools/coverage.sh OBJECT_DIR
set -eu
dir=${1:?usage: tools/coverage.sh OBJECT_DIR}
find "$dir" -name '*.gcda' ! -path '*/tests/*' | sort | while read -r data; do
    gcov -t "$data" 2>/dev/null
done | awk -F: '
    { gsub(/ /, "", $1); gsub(/ /, "", $2) }
    $2 == 0 { if ($3 == "Source") file = $4; next }
    file ~ /^\// || $1 == "-" || $1 == "" { next }   # system headers; no code
    {
        key = file SUBSEP $2
        if (!(key in ran)) { ran[key] = 0; lines[file]++ }
        if ($1 !~ /^[#=]/ && !ran[key]) { ran[key] = 1; hit[file]++ }
    }
    END {
        for (f in lines) {
            printf "%6.1f %%  %5d of %5d  %s\n", 100 * hit[f] / lines[f], hit[f], lines[f], f | "sort -k6"
            total += lines[f]; all += hit[f]
        }
        close("sort -k6")
        if (total == 0) { print "no coverage data in the object directory"; exit 1 }
        printf "%6.1f %%  %5d of %5d  all\n", 100 * all / total, all, total
    }'
