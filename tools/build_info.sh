#!/bin/sh
# What `make info` prints; the Makefile passes its findings in the environment.
line() { printf '%-10s %s\n' "$1" "$2"; }
first() { "$@" 2>/dev/null | head -n 1; }

line build "$BUILD in $O"
if command -v "$CC" >/dev/null 2>&1; then
    line compiler "$(first "$CC" --version)"
else
    line compiler "$CC not found (make deps)"
fi
if [ -n "$HAVE_MPI" ]; then
    line MPI "$(first mpicc --showme:version), $HAVE_MPI"
else
    line MPI "no (MPI=$MPI, mpicc $(command -v mpicc || echo 'not found'))"
fi
if [ -z "$NVCC" ]; then
    line CUDA "no (CUDA=$CUDA, nvcc not found or not wanted)"
elif [ "$N_CUDA_FILES" = 0 ]; then
    line CUDA "$("$NVCC" --version | sed -n 's/.*release /release /p'), $NVCC; no cuda/*.cu to build"
else
    line CUDA "$("$NVCC" --version | sed -n 's/.*release /release /p'), $NVCC; $N_CUDA_FILES files"
fi
if command -v nvidia-smi >/dev/null 2>&1; then
    line GPU "$(first nvidia-smi --query-gpu=name,driver_version --format=csv,noheader)"
fi

# name, pkg-config's name, header for when pkg-config is absent
lib() {
    if version=$(pkg-config --modversion "$2" 2>/dev/null); then
        line "$1" "$version"
    elif [ -e "/usr/include/$3" ]; then
        line "$1" "/usr/include/$3 (version unknown)"
    else
        line "$1" "not found (make deps)"
    fi
}
lib PCRE2 libpcre2-8 pcre2.h
lib jansson jansson jansson.h
lib inih inih ini.h
lib xxHash libxxhash xxhash.h
lib utf8proc libutf8proc utf8proc.h
lib cmocka cmocka cmocka.h

flags=$(sed -n 's/^flags[^:]*://p' /proc/cpuinfo 2>/dev/null | head -n 1)
isa=portable
case " $flags " in *" avx2 "*) isa="$isa avx2" ;; esac
case " $flags " in *" avx512bw "*) isa="$isa avx512" ;; esac
line machine "$(uname -m), $(getconf _NPROCESSORS_ONLN) CPUs, kernels that run here: $isa"
