#!/bin/sh
# Makes the kernel object of Debian's cloud kernel: vmlinux, vmlinuz, initramfs, modules.squashfs and kernel.env in one directory.
# Runs as any user on Debian 12, 13 and Ubuntu 24.04; needs apt, dpkg-deb, zstd, xz, cpio, binutils (objcopy), kmod (depmod) and mksquashfs.
set -eu

usage() {
  cat >&2 <<'USAGE'
usage: debian-kernel.sh --output DIR --guest-helpers DIR [--suite trixie] [--mirror URL] [--security-mirror URL|none]
                        [--package NAME|FILE.deb] [--keyring FILE]
  --output DIR         made by this script; must not exist
  --guest-helpers DIR  holds banger-initramfs-init (guest/initramfs/build.sh)
USAGE
  exit 2
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/build-steps.sh
. "$here/build-steps.sh"

output='' helpers='' package=linux-image-cloud-amd64
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?}; shift 2 ;;
    --guest-helpers) helpers=${2:?}; shift 2 ;;
    --package) package=${2:?}; shift 2 ;;
    --suite | --mirror | --security-mirror | --keyring) set_mirror_option "$1" "${2:?}"; shift 2 ;;
    *) usage ;;
  esac
done
if [ -z "$output" ] || [ -z "$helpers" ]; then usage; fi
[ ! -e "$output" ] || die "$output exists already"
[ -x "$helpers/banger-initramfs-init" ] || die "$helpers/banger-initramfs-init is missing: run guest/initramfs/build.sh $helpers"
need apt-get dpkg-deb zstd xz cpio depmod mksquashfs objcopy

begin_work "$output"

fetch_package() {
  read_package_lists
  # The cloud kernel is a metapackage whose only dependency is the kernel itself.
  real=$(private_apt apt-cache depends "$package" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
  step "download ${real:-$package}"
  (cd "$work" && private_apt apt-get download "${real:-$package}" >&2)
}

# The payload of a bzImage is the compressed ELF kernel (Documentation/arch/x86/boot.rst: payload_offset, payload_length); its
# last 4 bytes are the uncompressed size.
extract_vmlinux() {
  setup_sects=$(od -An -tu1 -j 497 -N 1 "$1" | tr -d ' ')
  payload_offset=$(od -An -tu4 -j 584 -N 4 "$1" | tr -d ' ')
  payload_length=$(od -An -tu4 -j 588 -N 4 "$1" | tr -d ' ')
  start=$(((setup_sects + 1) * 512 + payload_offset))
  tail -c "+$((start + 1))" "$1" | head -c "$((payload_length - 4))" >"$work/payload"
  case $(od -An -tx1 -N 4 "$work/payload" | tr -d ' ') in
    28b52ffd) zstd -q -d -c "$work/payload" >"$2" ;;
    fd377a58) xz -q -d -c --single-stream "$work/payload" >"$2" ;;
    1f8b*) gzip -q -d -c "$work/payload" >"$2" ;;
    *) die "$1: the kernel is compressed in a way this script does not know" ;;
  esac
  [ "$(od -An -tx1 -N 4 "$2" | tr -d ' ')" = 7f454c46 ] || die "$1: no ELF kernel inside"
}

# Order matters: what a module needs comes before it. A number in front: only where a virtio device of that id exists.
initramfs_modules() {
  cat <<'LIST'
kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_mmio.ko
kernel/drivers/block/virtio_blk.ko
kernel/fs/jbd2/jbd2.ko
kernel/fs/mbcache.ko
kernel/lib/crc16.ko
kernel/lib/libcrc32c.ko
kernel/crypto/crc32c_generic.ko
kernel/fs/ext4/ext4.ko
3 kernel/drivers/char/virtio_console.ko
4 kernel/drivers/char/hw_random/virtio-rng.ko
1 kernel/net/core/failover.ko
1 kernel/drivers/net/net_failover.ko
1 kernel/drivers/net/virtio_net.ko
19 kernel/net/vmw_vsock/vsock.ko
19 kernel/net/vmw_vsock/vmw_vsock_virtio_transport_common.ko
19 kernel/net/vmw_vsock/vmw_vsock_virtio_transport.ko
kernel/fs/squashfs/squashfs.ko
LIST
}

pack_initramfs() {
  root=$work/initramfs
  mkdir -p "$root/dev" "$root/proc" "$root/sys" "$root/newroot" "$root/modules"
  install -m 0755 "$helpers/banger-initramfs-init" "$root/init"
  initramfs_modules | while read -r first second; do
    module=${second:-$first}
    # Those that are built in have no file.
    [ -e "$1/$module" ] || continue
    cp "$1/$module" "$root/modules/${module##*/}"
    if [ -n "$second" ]; then echo "$first /modules/${module##*/}"; else echo "/modules/${module##*/}"; fi
  done >"$root/modules.list"
  [ -s "$root/modules/virtio_mmio.ko" ] || [ "$package" != linux-image-cloud-amd64 ] || die "the kernel package holds no virtio_mmio"
  # Uncompressed: a guest unpacks it faster than it decompresses it.
  (cd "$root" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet --reproducible) >"$2"
}

if [ -f "$package" ]; then cp "$package" "$work/kernel.deb"; else fetch_package && mv "$work"/linux-image-*.deb "$work/kernel.deb"; fi

step "unpack the kernel"
dpkg-deb -x "$work/kernel.deb" "$work/tree"
release=$(cd "$work/tree/boot" && echo vmlinuz-*)
release=${release#vmlinuz-}
[ -f "$work/tree/boot/vmlinuz-$release" ] || die "the package holds no kernel"
modules=$work/tree/usr/lib/modules/$release
[ -d "$modules" ] || modules=$work/tree/lib/modules/$release
[ -d "$modules" ] || die "the package holds no modules"

mkdir "$stage"
cp "$work/tree/boot/vmlinuz-$release" "$stage/vmlinuz"
extract_vmlinux "$stage/vmlinuz" "$stage/vmlinux"

step "index the modules"
find "$modules" -name '*.ko.xz' -print0 | xargs -0 -r -n 64 -P 2 xz -q -d
find "$modules" -name '*.ko.zst' -print0 | xargs -0 -r -n 64 -P 2 zstd -q -d --rm
# Checking the signature of each module is a tenth of an emulated boot, and this kernel does not insist on them. objcopy drops what is
# appended to an ELF file.
find "$modules" -name '*.ko' -print0 | xargs -0 -r -n 1 -P 2 "${OBJCOPY:-objcopy}" --strip-debug
mkdir -p "$work/depmod/lib/modules"
mv "$modules" "$work/depmod/lib/modules/$release"
modules=$work/depmod/lib/modules/$release
depmod -b "$work/depmod" -F "$work/tree/boot/System.map-$release" "$release"

step "pack the initramfs"
pack_initramfs "$modules" "$stage/initramfs"

step "pack the modules"
mksquashfs "$modules" "$stage/modules.squashfs" -comp zstd -Xcompression-level 9 -all-root -no-xattrs -no-progress -quiet >&2

join_words() { tr '\n' ' ' | sed 's/ $//'; }

# cmdline: for every boot. Crypto self-tests and security modules that Debian 12's guests did not have either (attaching BPF programs to
# every process start costs a second of an emulated boot), one serial port, and a size for the console, which systemd would otherwise ask
# the terminal for and wait. cmdline_emulated: only where the processor is emulated: no zeroing of memory that is handed out, no
# mitigations for a processor that does not speculate, no modules for instructions that are slower than none.
package_version=$(dpkg-deb -f "$work/kernel.deb" Version)
cat >"$stage/kernel.env" <<ENV
release=$release
package=$(dpkg-deb -f "$work/kernel.deb" Package)
version=$package_version
cmdline=$(join_words <<'WORDS'
cryptomgr.notests=1
lsm=landlock,yama,apparmor
8250.nr_uarts=1
systemd.tty.rows.console=25 systemd.tty.columns.console=80
systemd.tty.rows.ttyS0=25 systemd.tty.columns.ttyS0=80
WORDS
)
cmdline_emulated=$(join_words <<'WORDS'
init_on_alloc=0 mitigations=off
initcall_blacklist=jent_mod_init,load_system_certificate_list
modprobe.blacklist=kvm_amd,kvm_intel,aesni_intel,crct10dif_pclmul,crc32_pclmul,crc32c_intel,ghash_clmulni_intel,sha512_ssse3,sha256_ssse3,sha1_ssse3,qemu_fw_cfg
WORDS
)
ENV
finish_work
