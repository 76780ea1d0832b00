#!/bin/sh
# Builds one helper of the host, static: build.sh NAME OUTDIR compiles native/NAME into OUTDIR/banger-NAME. CC and CFLAGS as usual.
set -eu
name=${1:?usage: build.sh NAME OUTDIR}
out=${2:?usage: build.sh NAME OUTDIR}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# One that answers a packet each ten microseconds is worth a few more bytes.
case $name in dns-front) optimize=-O2 ;; *) optimize=-Os ;; esac
mkdir -p "$out"
# Written beside its place and renamed, so that a build that fails leaves what was there.
# shellcheck disable=SC2086 # CFLAGS is a list
${CC:-musl-gcc} -std=c11 -Wall -Wextra -Werror -Wshadow -Wformat=2 \
  ${CFLAGS:-$optimize -static -s -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fstack-protector-strong -Wl,--gc-sections -Wl,-z,noexecstack} \
  -o "$out/.banger-$name.$$" "$here/$name"/*.c
mv "$out/.banger-$name.$$" "$out/banger-$name"
