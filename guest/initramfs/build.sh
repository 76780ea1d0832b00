#!/bin/sh
# Compiles the initramfs's /init: build.sh OUTDIR leaves OUTDIR/banger-initramfs-init.
set -eu
out=${1:?usage: build.sh OUTDIR}
here=$(dirname "$(readlink -f "$0")")
mkdir -p "$out"
"${MUSL_CC:-musl-gcc}" -std=c11 -static -Os -Wall -Wextra -Werror -fstack-protector-strong -s \
  -o "$out/banger-initramfs-init" "$here/init.c"
