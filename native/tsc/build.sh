#!/bin/sh
# Builds banger-tsc, static, into the directory named by the first argument.
set -eu
out=${1:?usage: build.sh OUTDIR}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$out"
${CC:-musl-gcc} -std=c11 -Os -Wall -Wextra -Werror -Wshadow -Wformat=2 -fno-asynchronous-unwind-tables -fstack-protector-strong \
  -ffunction-sections -fdata-sections -static -Wl,--gc-sections -Wl,-z,noexecstack -s \
  -o "$out/.banger-tsc.$$" "$here/tsc.c"
mv "$out/.banger-tsc.$$" "$out/banger-tsc"
