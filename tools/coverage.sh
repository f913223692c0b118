#!/bin/sh
# Lines and branches executed per source file and per folder, from the gcov data below the
# object directory. A line or branch counts once, executed if any object that holds it ran
# it: files of cpu/ are compiled for several instruction sets, inline functions into many
# objects. A branch is one way out of a condition; it is executed when it was taken.
#   tools/coverage.sh OBJECT_DIR
set -eu
dir=${1:?usage: tools/coverage.sh OBJECT_DIR}
find "$dir" -name '*.gcda' ! -path '*/tests/*' | sort | while read -r data; do
    gcov -t -b -c "$data" 2>/dev/null
done | awk -F: '
    # "branch  1 taken 12 (fallthrough)" or "... never executed", below its line
    /^branch/ {
        if (!is_code) next
        split($0, word, " ")
        key = file SUBSEP line SUBSEP word[2]
        if (!(key in way)) { way[key] = 0; ways[file]++ }
        if (word[3] == "taken" && word[4] > 0 && !way[key]) { way[key] = 1; taken[file]++ }
        next
    }
    /^(call|function|unconditional)/ { next }
    { gsub(/ /, "", $1); gsub(/ /, "", $2) }
    $2 == 0 { if ($3 == "Source") file = $4; is_code = 0; next }
    { is_code = !(file ~ /^\// || $1 == "-" || $1 == ""); line = $2 }   # system headers; no code
    is_code {
        key = file SUBSEP line
        if (!(key in ran)) { ran[key] = 0; lines[file]++ }
        if ($1 !~ /^[#=]/ && !ran[key]) { ran[key] = 1; hit[file]++ }
    }
    function show(name, n_hit, n_lines, n_taken, n_ways) {
        return sprintf("%6.1f %% %6d of %6d  %6.1f %% %6d of %6d  %s", 100 * n_hit / n_lines,
            n_hit, n_lines, n_ways ? 100 * n_taken / n_ways : 100, n_taken, n_ways, name)
    }
    END {
        print "   lines                     branches                 file"
        for (f in lines) {
            print show(f, hit[f], lines[f], taken[f], ways[f]) | "sort -k11"
            folder = f; sub(/\/.*/, "/", folder)
            l[folder] += lines[f]; h[folder] += hit[f]; w[folder] += ways[f]; t[folder] += taken[f]
            total += lines[f]; all += hit[f]; total_ways += ways[f]; all_taken += taken[f]
        }
        close("sort -k11")
        if (total == 0) { print "no coverage data in the object directory"; exit 1 }
        for (f in l) print show(f, h[f], l[f], t[f], w[f]) | "sort -k11"
        close("sort -k11")
        print show("all", all, total, all_taken, total_ways)
    }'
