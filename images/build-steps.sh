# shellcheck shell=sh
# What the image scripts share: progress lines, the mirror's options, and a work directory that is gone unless the script succeeded.

suite=trixie
mirror=${BANGER_DEBIAN_MIRROR:-http://deb.debian.org/debian}
security_mirror=${BANGER_DEBIAN_SECURITY_MIRROR:-}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# A line that a daemon can show: "step: what happens now".
step() { printf 'step: %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

need() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || die "the command $tool is missing"
  done
  # An unprivileged user's PATH often lacks where mkfs and depmod live.
  PATH=$PATH:/usr/sbin:/sbin
}

set_mirror_option() {
  case $1 in
    --suite) suite=$2 ;;
    --mirror) mirror=$2 ;;
    --security-mirror) security_mirror=$2 ;;
    --keyring) keyring=$2 ;;
  esac
}

# sources.list lines; $1 goes between "deb" and the URL. A mirror that is not Debian's own is not assumed to carry security updates
# beside it, so those still come from Debian unless told otherwise.
debian_sources() {
  security=${security_mirror:-http://deb.debian.org/debian-security}
  printf 'deb %s%s %s main\n' "${1-}" "$mirror" "$suite"
  case $mirror in http://* | https://*) printf 'deb %s%s %s-updates main\n' "${1-}" "$mirror" "$suite" ;; esac
  [ "$security" = none ] || printf 'deb %s%s %s-security main\n' "${1-}" "$security" "$suite"
}

# begin_work OUTPUT: $work is scratch space beside OUTPUT, $stage becomes OUTPUT in finish_work. Whatever else happens, both vanish.
begin_work() {
  target=$1
  mkdir -p "$(dirname "$target")"
  work=$(mktemp -d "$(dirname "$target")/.banger-build.XXXXXX")
  stage=$work/stage
  trap clean_work EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

clean_work() {
  trap - EXIT
  if [ -n "${child:-}" ]; then kill "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; fi
  if [ -n "${work:-}" ] && [ -d "$work" ]; then remove_tree "$work"; fi
}

# A tree made inside a user namespace holds files of subordinate ids, which only that namespace can delete.
remove_tree() {
  rm -rf "$1" 2>/dev/null || unshare --user --map-auto --map-root-user rm -rf "$1" || rm -rf "$1"
}

finish_work() {
  mv -T "$stage" "$target"
  clean_work
}

# A shell runs its traps only between commands: wait for a child instead, and take it along when interrupted.
run_interruptible() {
  # A background command's input is /dev/null unless it comes by another number.
  exec 3<&0
  "$@" <&3 3<&- &
  child=$!
  exec 3<&-
  wait "$child" || { status=$?; child=''; return "$status"; }
  child=''
}
