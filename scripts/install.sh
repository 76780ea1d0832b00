#!/bin/sh
# Installs what was built into PREFIX, or takes away exactly what an installation put there.
# usage: install.sh install|uninstall. PREFIX (/usr/local) and DESTDIR come from the environment. Nothing outside both is touched.
set -eu

verb=${1:?usage: install.sh install|uninstall}
root=$(dirname "$(dirname "$(readlink -f "$0")")")
prefix=${PREFIX:-/usr/local}
case $prefix in /*) ;; *) printf 'error: PREFIX is not absolute: %s\n' "$prefix" >&2; exit 2 ;; esac
# DESTDIR is where the files go now, PREFIX where they will be found.
base=${DESTDIR:-}$prefix
runtime=${BANGER_RUNTIME_DIR:-$root/runtime}
list=$base/lib/banger/installed-files

say() { printf '%s\n' "$*"; }
die() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  try: %s\n' "$2" >&2
  exit 1
}

# Everything that is put somewhere is written down; of directories only those that were not there before.
note() { printf '%s\n' "$1" >>"$work/list"; }

make_directory() {
  [ -d "$1" ] && return 0
  make_directory "$(dirname "$1")"
  mkdir "$1"
  case $1 in "$base"/* | "$base") note "${1#"$base"}/" ;; esac
}

# put MODE SOURCE TARGET-below-PREFIX: by rename, so that a running banger keeps the file it was started from.
put() {
  make_directory "$(dirname "$base/$3")"
  cp -p "$2" "$base/$3.new"
  chmod "$1" "$base/$3.new"
  mv -f "$base/$3.new" "$base/$3"
  note "/$3"
}

link() {
  ln -sfn "$1" "$base/$2"
  note "/$2"
}

put_tree() {
  (cd "$1" && find . -type f ! -path './.fetch/*' | LC_ALL=C sort) >"$work/tree"
  while IFS= read -r file; do
    mode=0644
    if [ -x "$1/$file" ]; then mode=0755; fi
    put "$mode" "$1/$file" "$2/${file#./}"
  done <"$work/tree"
}

# The line that `banger setup` would write for a user named USER, for whoever configures a machine by other means.
render_sudoers() {
  "$root/.tools/bin/bun" -e '
    import { renderSudoers } from "./src/host/setup.ts";
    process.stdout.write(renderSudoers({ user: "USER", uid: 1000 }));' >"$work/sudoers"
  chmod 0440 "$work/sudoers"
  if command -v visudo >/dev/null || [ -x /usr/sbin/visudo ]; then
    PATH=$PATH:/usr/sbin visudo -cqf "$work/sudoers" || die "visudo does not accept the line for sudoers"
  fi
}

install_all() {
  [ -x "$root/build/banger" ] || die "$root/build/banger is missing" "make build"
  [ -x "$runtime/banger-shim" ] || die "shim is missing: it was looked for in $runtime." "make bundle"
  cd "$root"
  make_directory "$base/lib/banger"
  if [ -f "$list" ]; then cp "$list" "$work/before"; fi
  put 0755 build/banger bin/banger
  link banger bin/bangerd
  link banger bin/banger-root
  put_tree "$runtime" lib/banger
  put 0644 runtime-bundle.toml share/doc/banger/runtime-bundle.toml
  put 0644 README.md share/doc/banger/README.md
  render_sudoers
  put 0444 "$work/sudoers" share/doc/banger/sudoers.example
  build/banger completion bash >"$work/bash"
  build/banger completion zsh >"$work/zsh"
  build/banger completion fish >"$work/fish"
  put 0644 "$work/bash" share/bash-completion/completions/banger
  put 0644 "$work/zsh" share/zsh/site-functions/_banger
  put 0644 "$work/fish" share/fish/vendor_completions.d/banger.fish
  .tools/bin/bun scripts/man.ts "$work/man"
  put_tree "$work/man" share/man/man1
  sed -e "s|^ExecStart=.*|ExecStart=$prefix/bin/bangerd|" -e '/^#   /d' systemd/bangerd.service >"$work/unit"
  put 0644 "$work/unit" lib/systemd/user/bangerd.service
  note /lib/banger/installed-files
  # What an earlier version had and this one has not goes; directories that it made stay ours.
  if [ -f "$work/before" ]; then
    grep '/$' "$work/before" >>"$work/list" || true
    remove_listed "$work/before" "$work/list"
  fi
  LC_ALL=C sort -u "$work/list" >"$list"
  say "installed into $base: $("$base/bin/banger" --version 2>/dev/null || echo banger)"
  [ -n "${DESTDIR:-}" ] || say "next: banger setup (once for each user with sudo), then banger image build"
}

# remove_listed LIST [KEEP]: files first, then directories from the deepest on, where they are empty.
remove_listed() {
  keep=${2:-/dev/null}
  grep -v '/$' "$1" | while IFS= read -r file; do
    case $file in /* ) ;; *) continue ;; esac
    case $file in *..*) continue ;; esac
    if ! grep -qxF "$file" "$keep"; then rm -f "$base$file"; fi
  done
  { grep '/$' "$1" || true; } | LC_ALL=C sort -r | while IFS= read -r directory; do
    case $directory in *..*) continue ;; esac
    if [ -d "$base$directory" ]; then rmdir --ignore-fail-on-non-empty "$base$directory"; fi
  done
}

uninstall_all() {
  [ -f "$list" ] || die "nothing is installed in $base: it was looked for in $base/lib/banger."
  cp "$list" "$work/before"
  remove_listed "$work/before"
  # A directory that was empty before, as packagers give one, is empty again.
  parent=$base
  while [ -n "${DESTDIR:-}" ] && [ "${#parent}" -gt "${#DESTDIR}" ]; do
    if [ -d "$parent" ]; then rmdir --ignore-fail-on-non-empty "$parent"; fi
    parent=$(dirname "$parent")
  done
  if [ -d "$base/lib/banger" ]; then say "left as it is: $base/lib/banger (banger setup --undo removes a helper there)"; fi
  say "uninstalled from $base"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/list"
umask 022
case $verb in
  install) install_all ;;
  uninstall) uninstall_all ;;
  *) die "usage: install.sh install|uninstall" ;;
esac
