#!/bin/sh
# make test: set up, build, run; whatever happens, the last line on standard output counts.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
if ! { scripts/setup.sh test && make --no-print-directory products && scripts/grant.sh; }; then
  echo 'The machine could not be set up or the project not be built: no test was run.'
  echo '0 passed, 1 failed, 0 skipped'
  exit 1
fi
exec .tools/bin/bun scripts/test.ts "$@"
