# shellcheck shell=sh
# What the image scripts share: progress lines, the mirror's options, and a work directory that is gone unless the script succeeded.

# shellcheck disable=SC2034 # the scripts that read this file use them
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
  # shellcheck disable=SC2034 # the scripts that read this file use them
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

# A private apt: its own lists and sources, the host's apt.conf (proxies), nothing of the host's state read or written.
private_apt() {
  tool=$1
  shift
  "$tool" -q -o Dir::State="$work/apt/state" -o Dir::State::Lists="$work/apt/lists" \
    -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
    -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::Etc::Trusted=/dev/null -o Dir::Etc::TrustedParts=/dev/null \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Acquire::Languages=none -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
    -o APT::Sandbox::User= "$@"
}

read_package_lists() {
  mkdir -p "$work/apt/state" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
  : >"$work/apt/status"
  debian_sources "[arch=amd64 signed-by=$keyring] " >"$work/apt/sources.list"
  step "read the package lists of $suite"
  private_apt apt-get -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false update >&2
}

# begin_work OUTPUT: $work is space beside OUTPUT, $scratch is for temporary files, $stage becomes OUTPUT in finish_work. Whatever else
# happens, all vanish.
begin_work() {
  target=$1
  mkdir -p "$(dirname "$target")"
  trap clean_work EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  work=$(mktemp -d "$(dirname "$target")/.banger-build.XXXXXX")
  stage=$work/stage
  # Other users of a namespace must be able to pass through it, which directories of the caller's own may not allow.
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/banger-build.XXXXXX")
  chmod 0711 "$work"
  # … and the root of a namespace, who is a subordinate id out here, makes its temporary files where ours are: as in /tmp, each its own.
  chmod 1733 "$scratch"
  export TMPDIR="$scratch"
}

clean_work() {
  trap - EXIT
  if [ -n "${child:-}" ]; then end_child; fi
  for tree in "${work:-}" "${scratch:-}"; do
    if [ -n "$tree" ] && [ -d "$tree" ]; then remove_tree "$tree"; fi
  done
}

# A tree made inside a user namespace holds files of subordinate ids, which only that namespace can delete.
remove_tree() {
  rm -rf "$1" 2>/dev/null || unshare --user --map-auto --map-root-user rm -rf "$1" || rm -rf "$1"
}

# apt under mmdebstrap does not hear TERM: nothing of theirs lies outside $work and $scratch, so they need not tidy up.
end_child() {
  for how in TERM KILL; do
    # Just begun, it does not lead its group yet.
    kill -s "$how" -- "-$child" 2>/dev/null || kill -s "$how" "$child" 2>/dev/null || true
    rounds=0
    while kill -s 0 -- "-$child" 2>/dev/null && [ "$rounds" -lt 10 ]; do sleep 0.1; rounds=$((rounds + 1)); done
  done
  wait "$child" 2>/dev/null || true
}

finish_work() {
  mv -T "$stage" "$target"
  clean_work
}

# A shell runs its traps only between commands: wait for a child instead, and take it along when interrupted. The child leads a process
# group of its own, because mmdebstrap, told to end, waits for the apt that it runs.
run_interruptible() {
  # A background command's input is /dev/null unless it comes by another number.
  exec 3<&0
  setsid "$@" <&3 3<&- &
  child=$!
  exec 3<&-
  wait "$child" || { status=$?; child=''; return "$status"; }
  child=''
}
