#!/usr/bin/env bash
# `grpo tokenize` through the command line: JSONL there and back, malformed lines among good ones, U+0000,
# the table for people, exit statuses.
#   tests/run_tokenize.sh build/release
set -u
grpo=$1/bin/grpo
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

# name, expected, found
is() {
    if [ "$2" = "$3" ]; then
        echo "ok   $1"
    else
        echo "FAIL $1"
        printf '  expected: %s\n  found:    %s\n' "$2" "$3"
        failed=1
    fi
}

cat >"$dir/tokenizer.json" <<'EOF'
{"version": "1.0",
 "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true}],
 "normalizer": {"type": "Prepend", "prepend": "_"},
 "post_processor": {"type": "TemplateProcessing",
   "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
   "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
 "decoder": {"type": "Fuse"},
 "model": {"type": "BPE", "byte_fallback": true,
   "vocab": {"<s>": 0, "_": 1, "a": 2, "b": 3, "_a": 4, "<0x00>": 5, "<0x0A>": 6},
   "merges": [["_", "a"]]}}
EOF

out=$(printf '{"text": "ab"}\n{"txt": 1}\n{"text": "a\\u0000b<s>"}\nno json\n' |
    "$grpo" tokenize "$dir" --jsonl 2>"$dir/err")
is "exit status with malformed lines" 3 $?
is "a text" '{"ids":[4,3],"ids_special":[0,4,3],"decoded":"_ab","decoded_skip":"_ab"}' \
    "$(sed -n 1p <<<"$out")"
is "U+0000 and a special token" \
    '{"ids":[4,5,3,0],"ids_special":[0,4,5,3,0],"decoded":"_a<0x00>b<s>","decoded_skip":"_a<0x00>b"}' \
    "$(sed -n 3p <<<"$out")"
is "every line answered" 4 "$(wc -l <<<"$out")"
is "errors with their numbers" "standard input:2 standard input:4" \
    "$(grep -oE '^standard input:[0-9]+' "$dir/err" | paste -sd' ')"
is "errors in their places" 2 "$(grep -c '^{"error":"standard input:[24]' <<<"$out")"

out=$(printf '{"ids": [0, 4, 999, 3]}\n{"ids": [-1]}\n' | "$grpo" tokenize "$dir/tokenizer.json" - --decode 2>/dev/null)
is "exit status of decoding" 3 $?
is "decoding" '{"decoded":"<s>_ab","decoded_skip":"_ab"}' "$(sed -n 1p <<<"$out")"

printf 'ab\n' >"$dir/text"
out=$("$grpo" tokenize "$dir" "$dir/text" --special)
is "exit status of the table" 0 $?
is "the table" "0 4 3" "$(awk 'NR > 2 { printf "%s%d", sep, $1; sep = " " }' <<<"$out")"
is "the table's offsets" "0-0 0-1 1-2" \
    "$(awk 'NR > 2 { printf "%s%d-%d", sep, $2, $3; sep = " " }' <<<"$out")"

"$grpo" tokenize >/dev/null 2>&1
is "no arguments" 2 $?
"$grpo" tokenize "$dir/none" </dev/null >/dev/null 2>&1
is "no such file" 3 $?
"$grpo" tokenize --help | grep -q 'ids_special'
is "help" 0 $?
exit $failed
