#!/bin/sh
# Builds a root file system: Debian by mmdebstrap, the guest helpers of this project, one raw ext4 file. Mounts nothing on the host.
# Runs as root, or as any user who may have user namespaces (uidmap and a range in /etc/subuid).
set -eu

usage() {
  cat <<'USAGE'
usage: customize.sh --output FILE.ext4 --manifest FILE.txt --guest-helpers DIR
                    [--package NAME]... [--file SRC:DST]... [--script FILE]... [--packages FILE]...
                    [--suite trixie] [--size 40G] [--mirror URL] [--security-mirror URL|none] [--keyring FILE]
  --output FILE         the raw ext4 file system, sparse
  --manifest FILE       every package with its version, one a line
  --guest-helpers DIR   banger-init (guest/init/build.sh) and banger-vsock-pingd (guest/pingd/build.sh)
  --package NAME        a package besides those of the lists
  --packages FILE       package names, one a line, '#' comments; given again it adds; images/packages/debian-13.txt otherwise
  --file SRC:DST        a file of this host's, or those in a directory, to that absolute path: root's, their modes kept
  --script FILE         runs in the new root as root, when packages and files are there; the first that fails ends the build
Each but the first three may be left out, and --package, --packages, --file and --script may come again.

example: a root with git in it, a file, and what setup.sh does, registered as an image
  customize.sh --output dev.ext4 --manifest dev.txt --guest-helpers ../build/guest \
    --package git --file ./motd:/etc/motd --script ./setup.sh
  banger image register dev dev.ext4
USAGE
}

misused() {
  usage >&2
  exit 2
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/build-steps.sh
. "$here/build-steps.sh"

output='' manifest='' helpers='' size=40G packages='' extra=''
# What may have blanks in it is kept one a line.
files='' scripts='' newline='
'
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?}; shift 2 ;;
    --manifest) manifest=${2:?}; shift 2 ;;
    --guest-helpers) helpers=${2:?}; shift 2 ;;
    --size) size=${2:?}; shift 2 ;;
    --packages) packages="$packages ${2:?}"; shift 2 ;;
    --package) extra="$extra ${2:?}"; shift 2 ;;
    --file) files=$files${2:?}$newline; shift 2 ;;
    --script) scripts=$scripts${2:?}$newline; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    --suite | --mirror | --security-mirror | --keyring) set_mirror_option "$1" "${2:?}"; shift 2 ;;
    *) misused ;;
  esac
done
if [ -z "$output" ] || [ -z "$manifest" ] || [ -z "$helpers" ]; then misused; fi
[ -n "$packages" ] || packages=$here/packages/debian-13.txt
# No VM of an image without these could be reached.
for helper in init vsock-pingd; do
  [ -x "$helpers/banger-$helper" ] || die "$helpers/banger-$helper is missing: run guest/${helper#vsock-}/build.sh $helpers"
done
case $extra in *[!a-z0-9.+\ -]*) die "that is no Debian package name: $extra" ;; esac
each() { printf '%s' "$1" | while IFS= read -r item; do "$2" "$item" || exit 1; done || exit 1; }
check_file() {
  case $1 in *:/*) ;; *) die "--file wants SRC:DST with an absolute DST: $1" ;; esac
  case ${1##*:}/ in */../* | */./*) die "--file wants a DST without . and ..: $1" ;; esac
  [ -e "${1%:*}" ] || die "${1%:*} is missing"
}
check_script() { [ -f "$1" ] || die "the script $1 is missing"; }
each "$files" check_file
each "$scripts" check_script
need mmdebstrap mkfs.ext4 tar
[ -f "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
[ "$(id -u)" = 0 ] || need newuidmap

begin_work "$output"

package_list() {
  # shellcheck disable=SC2086 # lists of files and of names
  { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' $packages; printf '%s\n' $extra; } | tr -s ' \t\n' ',' | sed -e 's/^,//' -e 's/,$//'
}

# Everything of ours in one archive: inside a user namespace the checkout itself may not be readable.
pack_overlay() {
  tree=$work/overlay
  mkdir -p "$tree/usr/lib/banger" "$tree/etc/systemd/system"
  cp -R "$here/rootfs/." "$tree/"
  install -m 0755 "$helpers/banger-init" "$tree/usr/lib/banger/init"
  install -m 0755 "$helpers/banger-vsock-pingd" "$tree/usr/lib/banger/"
  "$helpers/banger-vsock-pingd" --version >"$tree/usr/lib/banger/version"
  cp -R "$here"/../guest/units/. "$tree/etc/systemd/system/"
  install -m 0755 "$here/finish-root.sh" "$tree/usr/lib/banger/finish-root.sh"
  render_debian_sources >"$work/debian.sources"
  install -D -m 0644 "$work/debian.sources" "$tree/etc/apt/sources.list.d/debian.sources"
  tar -C "$tree" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' -cf "$work/overlay.tar" .
}

put_file() {
  target_path=$work/given/${1##*:/}
  mkdir -p "$(dirname "$target_path")"
  cp -RT "${1%:*}" "$target_path"
}

# By number, so that they run in their order; what names no interpreter is for sh.
put_script() {
  script=$work/given-scripts/$(printf '%03d' "$(find "$work/given-scripts" -type f | wc -l)")-$(basename "$1" | tr -c 'A-Za-z0-9._\n-' _)
  case $(head -c 2 "$1") in '#!') cat "$1" ;; *) echo '#!/bin/sh'; cat "$1" ;; esac >"$script"
  chmod 0700 "$script"
}

# The user's files keep their modes. Directories are left out: those that the system has stay as they are, others are made as needed.
pack_given() {
  mkdir -p "$work/given" "$work/given-scripts"
  each "$files" put_file
  each "$scripts" put_script
  find "$work/given" ! -type d -printf '%P\0' |
    tar -C "$work/given" --owner=0 --group=0 --numeric-owner --null --no-recursion -T - -cf "$work/given.tar"
  tar -C "$work/given-scripts" --owner=0 --group=0 --numeric-owner -cf "$work/given-scripts.tar" .
}

# Prints the hooks of mmdebstrap that run the user's scripts, one a line.
script_hooks() {
  for script in "$work"/given-scripts/*; do
    [ -e "$script" ] || continue
    name=${script##*/}
    printf '%s\n' "echo 'step: run ${name#*-}' >&2; DEBIAN_FRONTEND=noninteractive chroot \"\$1\" /run/banger-build/$name </dev/null >&2"
  done
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
  format=$1 target_root=$2
  set --
  if [ -n "$files" ]; then set -- "--customize-hook=tar-in $work/given.tar /"; fi
  if [ -n "$scripts" ]; then
    # shellcheck disable=SC2016 # $1 is the hook's, not ours
    set -- "$@" '--customize-hook=mkdir -p -m 0700 "$1/run/banger-build"' "--customize-hook=tar-in $work/given-scripts.tar /run/banger-build"
    script_hooks >"$work/hooks"
    while IFS= read -r hook; do set -- "$@" "--customize-hook=$hook"; done <"$work/hooks"
    # shellcheck disable=SC2016 # $1 is the hook's, not ours
    set -- "$@" '--customize-hook=rm -rf "$1/run/banger-build"; test -x "$1/usr/lib/banger/init" -a -x "$1/usr/lib/banger/banger-vsock-pingd" || { echo "error: a script took the guest helper away" >&2; exit 1; }'
  fi
  # shellcheck disable=SC2016 # $1 is the hook's, not ours
  run_interruptible mmdebstrap --mode=unshare --variant=minbase --format="$format" --architectures=amd64 \
    --keyring="$keyring" --include="$(package_list)" \
    --aptopt='APT::Install-Recommends "false";' --aptopt='Acquire::Languages "none";' \
    --aptopt='Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";' \
    "$(host_proxy_option http)" "$(host_proxy_option https)" \
    --customize-hook="tar-in $work/overlay.tar /" \
    "$@" \
    --customize-hook='chroot "$1" /usr/lib/banger/finish-root.sh' \
    --customize-hook="download /var/lib/banger/packages.txt $work/packages.txt" \
    "$suite" "$target_root" - <"$work/sources.list"
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
pack_given
if [ "$(id -u)" = 0 ]; then bootstrap directory "$work/root"; else bootstrap tar "$work/root.tar"; fi
make_file_system
mkdir -p "$(dirname "$manifest")"
mv "$work/packages.txt" "$manifest"
finish_work
step "done: $output"
