#!/bin/sh
# Builds the guest helper: build.sh OUTDIR leaves OUTDIR/banger-vsock-pingd, static and stripped.
set -eu
out=${1:?usage: build.sh OUTDIR}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
version=$(sed -n 's/^ *"version": "\([0-9A-Za-z.+-]*\)".*/\1/p' "$here/../../package.json" | head -n 1)
mkdir -p "$out"
cd "$here"
# Written beside its place and renamed, so that a build that fails leaves what was there.
"${CC:-musl-gcc}" -std=c11 -D_GNU_SOURCE -DBANGER_VERSION="\"${version:-0.0.0}\"" \
  -Os -Wall -Wextra -Werror -Wshadow -Wconversion -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes \
  -fstack-protector-strong -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections -static -Wl,--gc-sections,-z,noseparate-code -s \
  -o "$out/.banger-vsock-pingd.new" \
  main.c link.c transport.c control.c shutdown.c loop.c session.c frame.c \
  kinds.c echo.c relay.c wire.c user.c exec.c session-kill.c lines.c listen.c status.c report.c copy-send.c copy-receive.c
mv -f "$out/.banger-vsock-pingd.new" "$out/banger-vsock-pingd"
