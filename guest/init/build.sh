#!/bin/sh
# Builds the first-stage init: build.sh OUTDIR leaves OUTDIR/banger-init, static and stripped.
set -eu
out=${1:?usage: build.sh OUTDIR}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$out"
cd "$here"
# Written beside its place and renamed, so that a build that fails leaves what was there.
"${CC:-musl-gcc}" -std=c11 -Os -Wall -Wextra -Werror -Wshadow -Wformat=2 -Wstrict-prototypes \
  -fstack-protector-strong -ffunction-sections -fdata-sections -static -Wl,--gc-sections -s \
  -o "$out/.banger-init.new" \
  main.c console.c document.c files.c accounts.c identity.c mounts.c network.c early-sshd.c grow.c
mv -f "$out/.banger-init.new" "$out/banger-init"
