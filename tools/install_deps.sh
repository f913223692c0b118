#!/bin/sh
# Installs the Debian packages that building, testing and the demo need, and only those
# that are missing. Starts from a bare Debian 12: a POSIX shell and dpkg.
#   DEPS=skip   leaves the system alone
#   FUZZ=1      also clang and its libFuzzer
set -eu
packages="gcc make pkg-config libc6-dev libopenmpi-dev openmpi-bin libpcre2-dev
    libjansson-dev libinih-dev libxxhash-dev libutf8proc-dev libcmocka-dev"
if [ "${FUZZ:-}" = 1 ]; then
    packages="$packages clang libclang-rt-14-dev"
fi

if [ "${DEPS:-}" = skip ]; then
    exit 0
fi
if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: not a Debian system, nothing installed; needed, by Debian's names:"
    echo "deps:" $packages
    exit 0
fi

missing=
for p in $packages; do
    # a package may be provided by another one of the same files, as pkgconf is
    status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    if [ "$status" != installed ]; then
        missing="$missing $p"
    fi
done
if [ -z "$missing" ]; then
    exit 0
fi
echo "deps: missing:$missing"

sudo=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "deps: not root and no sudo; as root: apt-get install$missing" >&2
        exit 1
    fi
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
install="$sudo apt-get install -y --no-install-recommends"
# Bare images ship without package lists, older ones with lists that name packages which
# are gone: fetch them when there are none, and once more if installing fails.
if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | head -n 1)" ]; then
    $sudo apt-get update
fi
# shellcheck disable=SC2086 # words are split on purpose
$install $missing || { $sudo apt-get update && $install $missing; }
