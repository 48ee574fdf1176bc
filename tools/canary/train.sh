#!/bin/sh
# Trains the canary model and writes data/canary.gguf: `train.sh [OUT.gguf]`.
# CC and CANARY_CFLAGS replace the compiler and its processor flags.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/data/canary.gguf}

flags=
if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
    flags=-march=x86-64-v3
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT INT TERM

# No -ffast-math: sums must keep their order, so that the same sources give the same bytes.
# shellcheck disable=SC2086 # flags are words
"${CC:-gcc}" -std=c17 -D_GNU_SOURCE -O3 ${CANARY_CFLAGS-$flags} \
    -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wall -Wextra -Wshadow -Wconversion \
    -o "$build/train" "$here"/*.c -lm -pthread

"$build/train" "$root/data/canary.tsv" "$here/phrases.tsv" "$here/words.txt" \
    "$here/strangers.txt" "$out"
