#!/bin/sh
# Builds a root file system: Debian by mmdebstrap, the guest helpers of this project, one raw ext4 file. Mounts nothing on the host.
# Runs as root, or as any user who may have user namespaces (uidmap and a range in /etc/subuid).
set -eu

usage() {
  cat >&2 <<'USAGE'
usage: customize.sh --output FILE.ext4 --manifest FILE.txt --guest-helpers DIR
                    [--suite trixie] [--size 40G] [--packages FILE]... [--hostname-hint NAME]
                    [--mirror URL] [--security-mirror URL|none] [--keyring FILE]
  --output FILE         the raw ext4 file system, sparse
  --manifest FILE       every package with its version, one a line
  --guest-helpers DIR   banger-init (guest/init/build.sh) and, where it exists, banger-vsock-pingd (guest/pingd/build.sh)
  --packages FILE       package names, one a line, '#' comments; given again it adds; images/packages/debian-13.txt otherwise
USAGE
  exit 2
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/build-steps.sh
. "$here/build-steps.sh"

output='' manifest='' helpers='' size=40G packages=''
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?}; shift 2 ;;
    --manifest) manifest=${2:?}; shift 2 ;;
    --guest-helpers) helpers=${2:?}; shift 2 ;;
    --size) size=${2:?}; shift 2 ;;
    --packages) packages="$packages ${2:?}"; shift 2 ;;
    --suite | --mirror | --security-mirror | --keyring) set_mirror_option "$1" "${2:?}"; shift 2 ;;
    *) usage ;;
  esac
done
if [ -z "$output" ] || [ -z "$manifest" ] || [ -z "$helpers" ]; then usage; fi
[ -n "$packages" ] || packages=$here/packages/debian-13.txt
[ -x "$helpers/banger-init" ] || die "$helpers/banger-init is missing: run guest/init/build.sh $helpers"
need mmdebstrap mkfs.ext4 tar
[ -f "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
[ "$(id -u)" = 0 ] || need newuidmap

begin_work "$output"

package_list() {
  # shellcheck disable=SC2086 # a list of files
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' $packages | tr -s ' \t\n' ',' | sed 's/,$//'
}

# Everything of ours in one archive: inside a user namespace the checkout itself may not be readable.
pack_overlay() {
  tree=$work/overlay
  mkdir -p "$tree/usr/lib/banger" "$tree/etc/systemd/system"
  cp -R "$here/rootfs/." "$tree/"
  install -m 0755 "$helpers/banger-init" "$tree/usr/lib/banger/init"
  if [ -x "$helpers/banger-vsock-pingd" ]; then install -m 0755 "$helpers/banger-vsock-pingd" "$tree/usr/lib/banger/"; fi
  for unit in "$here"/../guest/units/*; do
    # A unit of a helper that is not there would fail in every boot.
    if [ -x "$helpers/banger-vsock-pingd" ] || ! grep -q banger-vsock-pingd "$unit"; then cp -R "$unit" "$tree/etc/systemd/system/"; fi
  done
  install -m 0755 "$here/finish-root.sh" "$tree/usr/lib/banger/finish-root.sh"
  render_debian_sources >"$work/debian.sources"
  install -D -m 0644 "$work/debian.sources" "$tree/etc/apt/sources.list.d/debian.sources"
  tar -C "$tree" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' -cf "$work/overlay.tar" .
}

# Where the guest's own apt looks later: the mirror it was built from, as long as that is an address and not a directory of this host.
render_debian_sources() {
  guest_mirror=$mirror guest_security=${security_mirror:-http://deb.debian.org/debian-security}
  case $guest_mirror in http://* | https://*) ;; *) guest_mirror=http://deb.debian.org/debian ;; esac
  case $guest_security in http://* | https://*) ;; *) guest_security=http://deb.debian.org/debian-security ;; esac
  cat <<SOURCES
Types: deb
URIs: $guest_mirror
Suites: $suite $suite-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $guest_security
Suites: $suite-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
}

# The host's apt may reach mirrors by a proxy only.
host_proxy_option() {
  proxy=$(apt-config shell value "Acquire::$1::Proxy" | sed -n "s/^value='\(.*\)'$/\1/p")
  if [ -n "$proxy" ]; then printf '%s' "--aptopt=Acquire::$1::Proxy \"$proxy\";"; else printf '%s' '--aptopt=quiet "1";'; fi
}

# $1: format, $2: target. Its own lines "I: …" become steps.
bootstrap() {
  debian_sources "" >"$work/sources.list"
  step "download and install Debian $suite"
  # shellcheck disable=SC2016 # $1 is the hook's, not ours
  run_interruptible mmdebstrap --mode=unshare --variant=minbase --format="$1" --architectures=amd64 \
    --keyring="$keyring" --include="$(package_list)" \
    --aptopt='APT::Install-Recommends "false";' --aptopt='Acquire::Languages "none";' \
    --aptopt='Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";' \
    "$(host_proxy_option http)" "$(host_proxy_option https)" \
    --customize-hook="tar-in $work/overlay.tar /" \
    --customize-hook='chroot "$1" /usr/lib/banger/finish-root.sh' \
    --customize-hook="download /var/lib/banger/packages.txt $work/packages.txt" \
    "$suite" "$2" - <"$work/sources.list"
}

# Features that make a new disk cheap: the tables are known to be zero (no lazy initialisation in the guest), metadata lies together, a
# journal that a small guest does not fill the host's disk with.
make_file_system() {
  step "write the file system"
  truncate -s "$size" "$stage"
  mkfs_options="-q -F -L banger-root -m 1 -b 4096 -J size=64 -O metadata_csum,64bit"
  mkfs_extended="packed_meta_blocks=1,lazy_itable_init=1,lazy_journal_init=1"
  if [ "$(id -u)" = 0 ]; then
    # shellcheck disable=SC2086 # a list of options
    run_interruptible mkfs.ext4 $mkfs_options -E "$mkfs_extended" -d "$work/root" "$stage" >&2
  else
    # Inside the namespace the caller's directories may be closed, so the file is handed over open.
    chmod 0666 "$stage"
    # shellcheck disable=SC2016 # expands inside
    run_interruptible mmdebstrap --unshare-helper sh -euc '
      root=$(mktemp -d); trap "rm -rf \"$root\"" EXIT
      tar -C "$root" --exclude="./dev/*" --xattrs --xattrs-include="*" --numeric-owner -xpf -
      mkfs.ext4 $0 -E "$1" -d "$root" /proc/self/fd/9' "$mkfs_options" "$mkfs_extended" <"$work/root.tar" 9<>"$stage" >&2
  fi
  chmod 0644 "$stage"
}

step "prepare"
pack_overlay
if [ "$(id -u)" = 0 ]; then bootstrap directory "$work/root"; else bootstrap tar "$work/root.tar"; fi
make_file_system
mkdir -p "$(dirname "$manifest")"
mv "$work/packages.txt" "$manifest"
finish_work
step "done: $output"
