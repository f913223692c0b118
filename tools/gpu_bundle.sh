#!/usr/bin/env bash
# Puts beside the linked programs of a bundle what they need: cmocka, the runner, run files,
# peers, cases of the fixtures, and which commit this is.
#   tools/gpu_bundle.sh BUNDLE SHARED
set -euo pipefail
bundle=$1 shared=$2
mkdir -p "$bundle"/{lib,configs,peers,cases}

cmocka=$("${CC:-gcc}" -print-file-name=libcmocka.so)
install -m 755 "$(readlink -f "$cmocka")" "$bundle/lib/libcmocka.so.0"
install -m 755 tools/gpu_check.sh "$bundle/gpu-check"
install -m 644 tools/gpu_check.awk "$bundle/"
install -m 644 configs/smoke.ini "$bundle/configs/"
install -m 755 bench/peers/*.py "$bundle/peers/"

rm -rf "$bundle/cases"
mkdir "$bundle/cases"
for name in mixtral-f32 mixtral-bf16 mixtral-gqa mixtral-paper mixtral-e64 mixtral-k1; do
    from=$shared/fixtures/checkpoints/cases/$name
    if [ -d "$from" ]; then
        cp -r "$from" "$bundle/cases/"
        chmod -R u+w "$bundle/cases/$name"
    fi
done

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
if [ "$commit" != unknown ] && [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    commit=$commit-dirty
fi
echo "$commit" >"$bundle/COMMIT"

echo "$bundle: commit $commit, $(find "$bundle/bin" -type f | wc -l) programs," \
    "$(find "$bundle/cases" -mindepth 1 -maxdepth 1 | wc -l) cases," \
    "$(du -sm "$bundle" | cut -f1) MB; copy it and run ./gpu-check there"
