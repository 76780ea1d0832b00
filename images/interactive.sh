#!/bin/sh
# Opens a shell in a VM made from a root file system; when the shell is left, the VM's disk becomes another one. QEMU alone, no daemon, no root.
set -eu

usage() {
  cat <<'USAGE'
usage: interactive.sh --from FILE.ext4|DIR --output FILE.ext4 [--kernel DIR] [--manifest FILE.txt] [--size 60G]
                      [--memory MIB] [--cpus N] [--accel auto|kvm|tcg] [--timeout SECONDS]
  --from FILE.ext4   the root file system to start from, with the guest helper in it (customize.sh makes one); it is copied
  --from DIR         a directory with rootfs.ext4, and kernel/ unless --kernel says otherwise
  --output FILE      the root file system that comes of it
  --kernel DIR       a kernel object, as debian-kernel.sh makes it
  --manifest FILE    every package in it with its version, one a line
  --size SIZE        of the new disk, when it is to be larger
  --timeout SECONDS  how long the VM may take to start, and to power off (300)

You are root in the VM, and it reaches the network as you do. Leave the shell to save the disk; leave it with `exit 99` to
throw everything away. Commands may also come from a pipe. What each machine must have of its own is taken out at the end.

example: the files of banger's default image, changed by hand
  banger image show debian                   # says where they are
  interactive.sh --from ~/.local/share/banger/images/ID/rootfs.ext4 --kernel ~/.local/share/banger/kernels/ID --output mine.ext4
  banger image register mine mine.ext4
USAGE
}

misused() {
  usage >&2
  exit 2
}

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/build-steps.sh
. "$here/build-steps.sh"

from='' output='' kernel='' manifest='' size='' memory=1024 cpus='' accel=auto timeout=300
while [ $# -gt 0 ]; do
  case $1 in
    --from) from=${2:?}; shift 2 ;;
    --output) output=${2:?}; shift 2 ;;
    --kernel) kernel=${2:?}; shift 2 ;;
    --manifest) manifest=${2:?}; shift 2 ;;
    --size) size=${2:?}; shift 2 ;;
    --memory) memory=${2:?}; shift 2 ;;
    --cpus) cpus=${2:?}; shift 2 ;;
    --accel) accel=${2:?}; shift 2 ;;
    --timeout) timeout=${2:?}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) misused ;;
  esac
done
if [ -z "$from" ] || [ -z "$output" ]; then misused; fi
case $memory$timeout${cpus:-1} in *[!0-9]*) misused ;; esac
case $accel in auto | kvm | tcg) ;; *) misused ;; esac

need qemu-system-x86_64 ssh ssh-keygen debugfs e2fsck tar timeout setsid
if [ -d "$from" ]; then
  [ -n "$kernel" ] || kernel=$from/kernel
  from=$from/rootfs.ext4
fi
[ -f "$from" ] || die "$from is missing: build one with $here/customize.sh"
[ -n "$kernel" ] || die "no kernel is given: --kernel DIR, as $here/debian-kernel.sh makes it"
binary=''
for name in vmlinuz vmlinux; do if [ -f "$kernel/$name" ]; then binary=$kernel/$name; fi; done
[ -n "$binary" ] || die "$kernel holds no kernel: make one with $here/debian-kernel.sh"

# Looks into a file system without mounting it.
names_in() { debugfs -c -R "ls -p $2" "$1" 2>/dev/null | cut -d/ -f6; }
has_helper() {
  names_in "$1" /usr/lib/banger | grep -qx init && names_in "$1" /usr/lib/banger | grep -qx banger-vsock-pingd
}
has_helper "$from" || die "$from does not carry the guest helper: build it with $here/customize.sh, which puts it in"

kernel_value() { sed -n "s/^$1=//p" "$kernel/kernel.env" 2>/dev/null | head -n 1; }

firmware() {
  for file in /usr/local/share/qemu/qboot.rom /usr/share/qemu/qboot.rom /usr/share/qboot/qboot.rom; do
    if [ -r "$file" ]; then printf '%s' "$file"; return; fi
  done
}

# Runs QEMU in the place of the subshell that this is called in, with more options given: that one's number is then QEMU's, and its group's.
machine() {
  timers=off
  # Without a clock of the host's, and without its rate, a guest calibrates by these.
  if [ "$accel" = tcg ] && [ -z "$tsc" ]; then timers=on; fi
  rom=$(firmware)
  options=microvm,acpi=on,rtc=on,pcie=off,usb=off,graphics=off,pit=$timers,pic=$timers,dump-guest-core=off
  if [ -n "$rom" ]; then set -- -bios "$rom" "$@"; options=$options,x-option-roms=off; fi
  if [ "$accel" = kvm ]; then set -- -accel kvm -cpu host "$@"; else set -- -accel tcg,tb-size=128 -cpu max "$@"; fi
  exec setsid qemu-system-x86_64 -machine "$options" -nodefaults -no-user-config -display none -no-reboot \
    -global virtio-mmio.force-legacy=off "$@"
}

# A device that can be opened is no proof: a kernel has to boot on it. Without a root it panics, and that ends QEMU.
kvm_boots() {
  [ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
  accel=kvm machine -m 256 -chardev "file,id=console,path=$work/proof" -serial chardev:console \
    -kernel "$binary" -append "console=ttyS0 panic=-1 reboot=t" </dev/null >/dev/null 2>&1 &
  child=$!
  waited=0
  while kill -0 "$child" 2>/dev/null && [ "$waited" -lt 100 ]; do sleep 0.2; waited=$((waited + 1)); done
  end_child
  child=''
  grep -q 'Kernel panic' "$work/proof" 2>/dev/null
}

choose_accelerator() {
  tsc=''
  if [ "$accel" = auto ]; then
    if kvm_boots; then accel=kvm; else accel=tcg; fi
  fi
  for meter in "$here/../build/banger-tsc" "$here/../banger-tsc"; do
    if [ "$accel" = tcg ] && [ -x "$meter" ] && [ -z "$tsc" ]; then tsc=$("$meter" 2>/dev/null) || tsc=''; fi
  done
  if [ -z "$cpus" ]; then
    # Older versions of QEMU emulate several processors unsafely.
    cpus=1
    if [ "$accel" = kvm ]; then cpus=$(nproc); [ "$cpus" -le 4 ] || cpus=4; fi
  fi
}

# What the guest is told at its boot (docs/guest.md): who it is, and how it is reached.
write_document() {
  mkdir -p "$work/document/ssh"
  (
    umask 077
    ssh-keygen -q -t ed25519 -N '' -C banger-build -f "$work/key"
    ssh-keygen -q -t ed25519 -N '' -C root@banger-build -f "$work/document/ssh/ssh_host_ed25519_key"
  )
  cd "$work/document"
  echo 1 >version
  echo banger-build >hostname
  tr -d - </proc/sys/kernel/random/uuid >machine-id
  cp machine-id revision
  echo root:0:0:/root:/bin/bash >user
  cp "$work/key.pub" authorized_keys
  # The network that QEMU itself makes up for one guest.
  printf 'address 10.0.2.15/24\ngateway 10.0.2.2\nmac 02:62:67:72:00:01\nmtu 1500\n' >network
  echo nameserver 10.0.2.3 >resolv.conf
  : >proxy
  for variable in http_proxy https_proxy no_proxy; do
    eval "value=\${$variable:-}"
    # shellcheck disable=SC2154 # set by eval
    if [ -n "$value" ]; then printf '%s=%s\n' "$variable" "$value" >>proxy; fi
  done
  tar --format=ustar --owner=0 --group=0 --numeric-owner -cf "$work/document.tar" version revision hostname machine-id user \
    authorized_keys ssh/ssh_host_ed25519_key ssh/ssh_host_ed25519_key.pub network resolv.conf proxy
  printf 'banger-build %s\n' "$(cut -d' ' -f1,2 ssh/ssh_host_ed25519_key.pub)" >"$work/known_hosts"
  cd - >/dev/null
}

# disk NAME READ-ONLY FILE: prints a block device for QEMU; a comma in a file's name is written twice.
disk() {
  printf 'driver=raw,node-name=%s,read-only=%s,discard=unmap,file.driver=file,file.filename=%s' \
    "$1" "$2" "$(printf '%s' "$3" | sed 's/,/,,/g')"
}

start_vm() {
  words="root=/dev/vda rootfstype=ext4 rw init=/usr/lib/banger/init console=ttyS0 quiet loglevel=1 panic=1 reboot=t net.ifnames=0"
  words="$words $(kernel_value cmdline)"
  if [ "$accel" = tcg ]; then words="$words $(kernel_value cmdline_emulated)"; fi
  if [ -n "$tsc" ]; then words="$words tsc_early_khz=$tsc tsc=reliable"; fi
  set -- -m "$memory" -smp "$cpus" -kernel "$binary" -append "$words"
  if [ -f "$kernel/initramfs" ]; then set -- "$@" -initrd "$kernel/initramfs"; fi
  set -- "$@" -blockdev "$(disk root off "$stage")" -device virtio-blk-device,drive=root \
    -blockdev "$(disk document on "$work/document.tar")" -device virtio-blk-device,drive=document
  if [ -f "$kernel/modules.squashfs" ]; then
    set -- "$@" -blockdev "$(disk modules on "$kernel/modules.squashfs")" -device virtio-blk-device,drive=modules
  fi
  port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 30000))
  machine "$@" -netdev "user,id=net0,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-device,netdev=net0,mac=02:62:67:72:00:01 \
    -object rng-random,id=entropy,filename=/dev/urandom -device virtio-rng-device,rng=entropy \
    -chardev "file,id=console,path=$(printf '%s' "$work/console" | sed 's/,/,,/g')" -serial chardev:console \
    </dev/null >"$work/qemu" 2>&1 &
  child=$!
}

guest() {
  ${instead:-} ssh -F /dev/null -p "$port" -l root -i "$work/key" -o BatchMode=yes -o IdentitiesOnly=yes -o HostKeyAlias=banger-build \
    -o "UserKnownHostsFile=\"$work/known_hosts\"" -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes \
    -o ConnectTimeout=10 -o ServerAliveInterval=15 -o ServerAliveCountMax=8 -o LogLevel=ERROR "$@"
}

# A port may be taken: then QEMU ends at once, and another one is tried.
boot() {
  attempts=0
  start_vm
  ends_at=$(($(date +%s) + timeout))
  until guest 127.0.0.1 true </dev/null 2>"$work/ssh"; do
    if ! kill -0 "$child" 2>/dev/null; then
      child=''
      attempts=$((attempts + 1))
      if [ "$attempts" -gt 5 ] || ! grep -q 'host forwarding' "$work/qemu"; then die "the VM ended: $(tail -n 3 "$work/qemu" "$work/console" 2>/dev/null)"; fi
      start_vm
    fi
    [ "$(date +%s)" -lt "$ends_at" ] || die "the VM could not be reached within $timeout s: $(tail -n 3 "$work/console")"
    sleep 0.3
  done
  # sshd is there before systemd can be asked; how a boot ends ("degraded", say) is not our matter.
  until="until systemctl is-system-running --wait 2>/dev/null | grep -Eqx 'running|degraded|maintenance'; do sleep 0.3; done"
  guest 127.0.0.1 "timeout $timeout sh -c \"$until\"" </dev/null >/dev/null 2>&1 || true
}

# In the background, so that a signal is heard while it runs; the terminal stays its own, as there is no job control in a script.
open_shell() {
  tty=-T
  if [ -t 0 ]; then tty=-t; fi
  exec 3<&0
  instead='exec' guest "$tty" 127.0.0.1 <&3 3<&- &
  shell=$!
  exec 3<&-
  status=0
  wait "$shell" || status=$?
  shell=''
}

save() {
  step "take out what is this machine's own, and power off"
  # In one session: the key is among it.
  { cat "$here/tidy-root.sh"; printf '\necho tidy\nsystemctl poweroff\n'; } |
    guest 127.0.0.1 sh -s >"$work/tidy" 2>"$work/ssh" || true
  grep -qx tidy "$work/tidy" || die "the VM was not tidied up, and nothing is saved: $(sed 's/^error: //' "$work/ssh" | tail -n 3)"
  waited=0
  while kill -0 "$child" 2>/dev/null; do
    [ "$waited" -lt "$timeout" ] || die "the VM did not power off within $timeout s, and nothing is saved"
    sleep 1
    waited=$((waited + 1))
  done
  child=''
  e2fsck -fn "$stage" >"$work/e2fsck" 2>&1 || die "the VM left a damaged file system, and nothing is saved: $(tail -n 3 "$work/e2fsck")"
  has_helper "$stage" || die "the guest helper is gone from it, and nothing is saved: $here/customize.sh builds a root with it"
  if [ -n "$manifest" ]; then
    mkdir -p "$(dirname "$manifest")"
    debugfs -c -R 'cat /var/lib/banger/packages.txt' "$stage" 2>/dev/null >"$work/packages.txt"
    mv "$work/packages.txt" "$manifest"
  fi
  chmod 0644 "$stage"
  finish_work
}

shell=''
end_all() {
  if [ -n "$shell" ]; then kill "$shell" 2>/dev/null || true; fi
  clean_work
}

begin_work "$output"
trap end_all EXIT
case $work in *\"*) die "a quote in $work would confuse ssh" ;; esac
step "copy $from"
cp --sparse=auto --reflink=auto -- "$from" "$stage"
chmod 0600 "$stage"
if [ -n "$size" ]; then truncate -s ">$size" "$stage"; fi
choose_accelerator
write_document
step "start the VM ($accel, $cpus processors, $memory MiB)"
boot
step "you are root in it: leave the shell to save the disk, or leave it with 'exit 99' to throw everything away"
open_shell
case $status in
  99) step "thrown away, as asked"; exit 99 ;;
  255) die "the way to the VM was lost, and nothing is saved" ;;
esac
save
step "done: $output"
