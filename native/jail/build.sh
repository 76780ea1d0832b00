#!/bin/sh
# Builds banger-jail, static, into the directory named by the first argument.
set -eu
out=${1:?usage: build.sh OUTDIR}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$out"
# shellcheck disable=SC2086 # CFLAGS is a list
${CC:-musl-gcc} -std=c11 -Wall -Wextra -Werror -Wshadow -Wformat=2 \
  ${CFLAGS:--Os -static -s -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fstack-protector-strong -Wl,--gc-sections -Wl,-z,noexecstack} \
  -o "$out/.banger-jail.$$" "$here"/*.c
mv "$out/.banger-jail.$$" "$out/banger-jail"
