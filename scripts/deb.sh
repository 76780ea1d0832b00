#!/bin/sh
# Makes the Debian package of what was built: what `make install` puts into /usr, and nothing that runs when it is installed.
# usage: deb.sh [OUTPUT-DIRECTORY]
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
output=${1:-$root/build}
version=$(sed -n 's/.*"version": "\([^"]*\)".*/\1/p' "$root/package.json" | head -n 1)
architecture=$(dpkg --print-architecture)
# The same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage PREFIX=/usr "$root/scripts/install.sh" install >/dev/null
# dpkg keeps a list of its own.
rm -f "$stage/usr/lib/banger/installed-files"
find "$stage/usr/share/man" -name '*.1' -exec gzip -9n {} +
mkdir "$stage/DEBIAN"
(cd "$stage" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$stage/DEBIAN/md5sums"
size=$(du -sk --apparent-size "$stage/usr" | cut -f1)
cat >"$stage/DEBIAN/control" <<CONTROL
Package: banger
Version: $version
Architecture: $architecture
Maintainer: the authors of banger <banger@localhost>
Installed-Size: $size
Section: admin
Priority: optional
Depends: libc6, e2fsprogs, iproute2, nftables, openssh-client, tar, zstd
Recommends: qemu-system-x86, sudo
Suggests: mmdebstrap, squashfs-tools, uidmap
Description: persistent microVMs on your own computer
 Named Linux VMs that stay until they are removed, each an ordinary Debian
 with an address of its own; run by Firecracker or QEMU.
CONTROL
find "$stage" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$output"
target=$output/banger_${version}_$architecture.deb
dpkg-deb --root-owner-group -Z"${BANGER_DEB_COMPRESSION:-gzip}" --build "$stage" "$target" >/dev/null
printf '%s\n' "$target"
