#!/usr/bin/env bash
# Prints the demo's before and after, and puts the whole demo's wall time into summary.json.
#   tools/demo_summary.sh SUMMARY.json WALL_SECONDS
set -euo pipefail
file=$1
wall=$2

# value of KEY inside the object NAME: summary.json is written by grpo, one line, flat objects
field() {
    sed -n "s/.*\"$1\":{\([^}]*\)}.*/\1/p" "$file" | tr ',' '\n' |
        sed -n "s/^\"$2\":\(.*\)\$/\1/p"
}
percent() { awk -v x="$1" 'BEGIN { printf "%.1f%%", 100 * x }'; }

printf '%-8s %-26s %-12s %s\n' '' 'accuracy [95 % interval]' 'in the form' 'right within the form'
for when in before after; do
    printf '%-8s %-26s %-12s %s\n' "$when" \
        "$(percent "$(field $when accuracy)") [$(percent "$(field $when lo)"), $(percent "$(field $when hi)")]" \
        "$(percent "$(field $when form)")" "$(percent "$(field $when accuracy_given_form)")"
done
sed -i "s/\"wall_s\":[0-9.]*/\"wall_s\":$wall/" "$file"
