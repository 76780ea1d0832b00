#!/bin/sh
# Builds the host of the lab: a Debian with systemd, QEMU, nftables and a user `dev`, as root.raw, vmlinuz, initrd and an SSH key in one directory.
# usage: build-host.sh --output DIR [--suite bookworm] [--mirror URL]. Runs as root, or as any user who may have user namespaces.
set -eu

die() {
  echo "error: $1" >&2
  exit 1
}

output='' suite=bookworm mirror=${BANGER_DEBIAN_MIRROR:-http://deb.debian.org/debian}
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?} ;;
    --suite) suite=${2:?} ;;
    --mirror) mirror=${2:?} ;;
    *) die "build-host.sh knows no $1" ;;
  esac
  shift 2
done
[ -n "$output" ] || die "--output is missing"
[ ! -e "$output" ] || die "$output exists already"
for program in mmdebstrap mkfs.ext4 ssh-keygen tar; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || die "$program is not installed"
done
export PATH="$PATH:/usr/sbin:/sbin"
here=$(dirname "$(readlink -f "$0")")

# A host of banger: what scripts/setup.sh installs to run VMs, and what any server has. Images are brought along, not built.
packages=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.txt" | tr -s ' \t\n' ',' | sed 's/,$//')

mkdir -p "$(dirname "$output")"
work=$(mktemp -d "$(dirname "$output")/.building.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
chmod 0711 "$work"
mkdir "$work/out"

ssh-keygen -q -t ed25519 -N '' -C lab -f "$work/out/id_ed25519"
install -m 0644 "$work/out/id_ed25519.pub" "$work/key.pub"
install -m 0755 "$here/finish-host.sh" "$work/finish-host.sh"

# $1: format, $2: target
bootstrap() {
  # shellcheck disable=SC2016 # $1 is the hook's, not ours
  mmdebstrap --mode=unshare --variant=minbase --format="$1" --architectures=amd64 --components=main \
    --include="$packages" \
    --aptopt='APT::Install-Recommends "false";' --aptopt='Acquire::Languages "none";' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="upload $work/key.pub /root/key.pub" \
    --customize-hook="upload $work/finish-host.sh /root/finish-host.sh" \
    --customize-hook='chroot "$1" sh /root/finish-host.sh' \
    --customize-hook="download /vmlinuz $work/out/vmlinuz" \
    --customize-hook="download /initrd.img $work/out/initrd" \
    "$suite" "$2" "$mirror" >&2
}

truncate -s 6G "$work/out/root.raw"
mkfs_options='-q -F -L lab-root -m 0 -E lazy_itable_init=1,lazy_journal_init=1'
if [ "$(id -u)" = 0 ]; then
  bootstrap directory "$work/root"
  # shellcheck disable=SC2086 # a list of options
  mkfs.ext4 $mkfs_options -d "$work/root" "$work/out/root.raw" >&2
else
  bootstrap tar "$work/root.tar"
  # Inside the namespace the caller's directories may be closed, so the files are handed over open.
  chmod 0666 "$work/out/root.raw"
  # shellcheck disable=SC2016 # expands inside
  mmdebstrap --unshare-helper sh -euc '
    root=$(mktemp -d); trap "rm -rf \"$root\"" EXIT
    tar -C "$root" --exclude="./dev/*" --xattrs --xattrs-include="*" --numeric-owner -xpf -
    mkfs.ext4 $0 -d "$root" /proc/self/fd/9' "$mkfs_options" <"$work/root.tar" 9<>"$work/out/root.raw" >&2
fi
chmod 0644 "$work/out/root.raw"
mv "$work/out" "$output"
