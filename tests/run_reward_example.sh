#!/usr/bin/env bash
# libreward.a in a stranger's program: the example of docs/reward.md is compiled and linked
# as the page says, elsewhere, and prints what the page says.
#   tests/run_reward_example.sh OBJECT_DIR
set -eu
dir=$(realpath "${1:?usage: tests/run_reward_example.sh OBJECT_DIR}")
cd "$(dirname "$0")/.."
root=$PWD
if grep -qE -e '-fsanitize|--coverage' "$dir/flags.stamp"; then
    echo "SKIP run_reward_example: instrumented objects need the compiler's own libraries"
    exit 77
fi
[ -e "$dir/libreward.a" ] || make --no-print-directory O="$dir" libreward.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' docs/reward.md >"$work/example.c"
lines=$(awk '/^int main/ { on = 1 } on' "$work/example.c" | wc -l)
if ((lines < 10)); then
    echo "docs/reward.md has no example"
    exit 1
fi
cd "$work"
"${CC:-gcc}" -std=c11 -Wall -Wextra -Werror -I"$root" example.c "$dir/libreward.a" -lpcre2-8 -lm -o example
got=$(./example)
want=$(sed -n 's/^It prints `\(.*\)`\..*/\1/p' "$root/docs/reward.md")
if [ -z "$want" ] || [ "$got" != "$want" ]; then
    echo "the example printed: $got"
    echo "docs/reward.md says: $want"
    exit 1
fi
# nothing but PCRE2, the C library and its mathematics
if ldd example | grep -E 'jansson|inih|xxhash|utf8proc|mpi|cuda|gomp'; then
    echo "the example needs more than PCRE2"
    exit 1
fi
echo "ok"
