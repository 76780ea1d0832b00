#!/bin/sh
# Decides what this machine lacks for a purpose, shows it, asks once on a terminal, and installs it: packages, Bun, dependencies.
# usage: setup.sh build|run|test|kernel. YES=1 answers for you. Nothing is written outside packages and this checkout.
set -eu

purpose=${1:?usage: setup.sh build|run|test|kernel}
root=$(dirname "$(dirname "$(readlink -f "$0")")")
cd "$root"
bun_version=$(sed -n 's/.*[{ ]"bun": "\([0-9.]*\)".*/\1/p' package.json | head -n 1)
bun=.tools/bin/bun

# Whom this machine trusts, npm and Bun trust too: they bring lists of their own, which do not know the owner of a proxy.
certificates=/etc/ssl/certs/ca-certificates.crt

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $1"
  [ $# -lt 2 ] || say "  try: $2"
  exit 1
}

# One program a line that must be there, and the package it comes in.
needs_of_build() {
  cat <<'LIST'
gcc gcc
musl-gcc musl-tools
LIST
}

# The VMM, images (root file system, kernel object), the network, and reaching a guest.
needs_of_run() {
  needs_of_build
  cat <<'LIST'
qemu-system-x86_64 qemu-system-x86
mmdebstrap mmdebstrap
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
mkfs.ext4 e2fsprogs
mksquashfs squashfs-tools
depmod kmod
objcopy binutils
cpio cpio
xz xz-utils
zstd zstd
ip iproute2
nft nftables
ssh openssh-client
/usr/sbin/update-ca-certificates ca-certificates
LIST
  [ "$(id -u)" = 0 ] || printf '%s\n' 'newuidmap uidmap' 'pasta passt'
}

# Debian's kernel from its sources.
needs_of_kernel() {
  cat <<'LIST'
gcc gcc
make make
bc bc
bison bison
flex flex
/usr/include/libelf.h libelf-dev
objcopy binutils
xz xz-utils
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
/usr/sbin/update-ca-certificates ca-certificates
LIST
}

needs_of_test() {
  needs_of_run
  cat <<'LIST'
newuidmap uidmap
pasta passt
sudo sudo
clang clang
/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan-x86_64.a libclang-rt-dev
shellcheck shellcheck
dig bind9-dnsutils
kdig knot-dnsutils
drill ldnsutils
dnsmasq dnsmasq-base
dbus-daemon dbus-daemon
ping iputils-ping
rsync rsync
tmux tmux
zsh zsh
fish fish
LIST
}

# Debian 12 knows the sanitizers' library by the number of its clang only.
name_package() {
  if [ "$1" = libclang-rt-dev ] && ! apt-cache pkgnames "$1" 2>/dev/null | grep -qx "$1"; then
    echo libclang-rt-14-dev
  else
    echo "$1"
  fi
}

# A user's PATH often lacks the directories of system programs.
has_program() {
  # shellcheck disable=SC2086 # a pattern
  case $1 in /*) ls $1 >/dev/null 2>&1 ;; *) PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1" >/dev/null ;; esac
}

list_missing() {
  "needs_of_$purpose" | while read -r program package; do
    has_program "$program" || name_package "$package"
  done
  if [ ! -x "$bun" ] && ! has_program npm && ! has_program bun; then echo npm; fi
}

# Files of an executable may be linked by another name, and what is named otherwise does not know itself: `bun` it must be.
keep_bun() {
  [ "$("$1" --version 2>/dev/null)" = "$bun_version" ] || return 1
  mkdir -p .tools/bin
  if [ "$(basename "$1")" = bun ]; then
    ln -sfn "$1" "$bun"
  else
    rm -f "$bun"
    ln "$1" "$bun" 2>/dev/null || cp --reflink=auto "$1" "$bun"
  fi
  ln -sfn bun .tools/bin/bunx
}

has_bun() { [ "$("$bun" --version 2>/dev/null)" = "$bun_version" ]; }

find_bun() {
  found=$(command -v bun) || return 1
  keep_bun "$(readlink -f "$found")"
}

# The package's install script puts the binary in place; where it is not allowed to run, the binary is still where it was unpacked.
install_bun() {
  trust_as_this_machine
  say "==> Bun $bun_version, into .tools"
  mkdir -p .tools
  if has_program npm; then
    npm install --prefix .tools --cache .tools/npm-cache --no-audit --no-fund --no-update-notifier --loglevel=error "bun@$bun_version" >&2
  else
    (cd .tools && bun add --exact "bun@$bun_version" >&2)
  fi
  for candidate in .tools/node_modules/bun/bin/bun.exe .tools/node_modules/@oven/bun-linux-*/bin/bun; do
    if keep_bun "$root/$candidate"; then
      rm -rf .tools/npm-cache
      return
    fi
  done
  die "Bun $bun_version was installed and does not run on this machine"
}

has_dependencies() { cmp -s bun.lock node_modules/.installed-bun.lock; }

install_dependencies() {
  trust_as_this_machine
  say "==> dependencies, into node_modules"
  # A cache of its own: nothing of this checkout is left behind when it is removed.
  BUN_INSTALL_CACHE_DIR=$root/.tools/bun-cache "$root/$bun" install --frozen-lockfile --no-progress >&2
  cp bun.lock node_modules/.installed-bun.lock
  rm -rf .tools/bun-cache
}

trust_as_this_machine() {
  if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$certificates" ]; then export NODE_EXTRA_CA_CERTS="$certificates"; fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  has_program apt-get || die "this needs a Debian or Ubuntu machine; missing here: $missing" "install what brings those programs, then make $purpose"
  say "==> packages"
  as_root apt-get -q -o DPkg::Lock::Timeout=300 update >&2 || say "the package lists could not all be read; going on with what there is"
  # shellcheck disable=SC2086 # a list of packages
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends $missing </dev/null >&2
  [ -z "$(list_missing)" ] || die "still missing after installing: $(list_missing | tr '\n' ' ')"
}

# Whether this user may become root, told by the groups that Debian and Ubuntu have for it. Who is in none gets VMs in namespaces, and
# sudo is not called: it would report the attempt.
may_use_sudo() {
  has_program sudo && id -nG | grep -qwE 'sudo|wheel|admin'
}

boots_guests() { [ "$purpose" = run ] || [ "$purpose" = test ]; }

# What a user without root still needs once, which banger itself does and can print: the root-owned helper and its sudoers line.
lacks_privilege() {
  boots_guests && [ "$(id -u)" != 0 ] && [ ! -e /usr/local/lib/banger/banger-root ] && may_use_sudo
}

# The kernel lets nobody make a tap without privilege; opening the device is what udev allows everyone, and not every machine has udev.
lacks_tun() {
  boots_guests && [ "$(id -u)" != 0 ] && [ ! -w /dev/net/tun ]
}

open_tun() {
  say "==> /dev/net/tun"
  if [ ! -e /dev/net/tun ]; then as_root modprobe tun; fi
  as_root chmod 0666 /dev/net/tun
}

ask() {
  # Without a terminal there is nobody to ask, and whoever typed the command wants it done.
  if [ "${YES:-}" = 1 ] || [ ! -t 0 ] || [ ! -t 2 ]; then return 0; fi
  printf 'Go on? [Y/n] ' >&2
  read -r answer || answer=n
  case $answer in '' | y | Y | yes | Yes) ;; *) die "nothing was installed" ;; esac
}

[ "$(uname -m)" = x86_64 ] || die "only x86_64 machines so far; this is $(uname -m)"
[ -n "$bun_version" ] || die "package.json names no version of Bun"
missing=$(list_missing | sort -u | tr '\n' ' ')

if ! has_bun; then find_bun || true; fi
if [ -n "$missing" ] || ! has_bun || ! has_dependencies || lacks_privilege || lacks_tun; then
  say "make $purpose needs this first:"
  [ -z "$missing" ] || say "  packages, by apt-get as root:   $missing"
  has_bun || say "  Bun $bun_version, into .tools of this checkout"
  has_dependencies || say "  the dependencies in bun.lock, into node_modules of this checkout"
  if lacks_privilege; then
    say "  by sudo, once: a root-owned copy of banger in /usr/local/lib/banger and one line in /etc/sudoers.d,"
    say "  so that bridges, taps and firewall rules of VMs can be made (banger setup --print shows them)"
  fi
  if lacks_tun; then say "  by sudo: /dev/net/tun opened for users (0666), as udev does it elsewhere"; fi
  if [ "$(id -u)" != 0 ] && ! has_program sudo && { [ -n "$missing" ] || lacks_tun; }; then
    die "this needs root and there is no sudo" \
      "ask whoever administers this machine for: ${missing:+apt-get install $missing}${missing:+$(lacks_tun && echo 'and ')}$(lacks_tun && echo 'chmod 0666 /dev/net/tun')"
  fi
  ask
fi

[ -z "$missing" ] || install_packages
has_bun || install_bun
has_dependencies || install_dependencies
if lacks_tun; then open_tun; fi
