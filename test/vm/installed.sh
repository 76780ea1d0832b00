#!/bin/sh
# Inside a mount namespace of its own, as root: installs banger, takes the checkout away, and lets an ordinary user make and enter a VM.
# usage: installed.sh CHECKOUT RUNTIME WORK. What it proves it prints as "proved: …".
set -eu
checkout=$1 runtime=$2 work=$3
user=bangertester uid=31337
proved() { printf 'proved: %s\n' "$*"; }

# /usr/local, sudo's rules and the list of users are ours here and nobody's outside.
mount -t tmpfs -o mode=0755 none /usr/local
mkdir "$work/sudoers.d"
chmod 0750 "$work/sudoers.d"
mount --bind "$work/sudoers.d" /etc/sudoers.d
{ cat /etc/passwd; echo "$user:*:$uid:$uid::$work/home:/bin/sh"; } >"$work/passwd"
{ cat /etc/group; echo "$user:x:$uid:"; } >"$work/group"
mount --bind "$work/passwd" /etc/passwd
mount --bind "$work/group" /etc/group
# As udev has it on an ordinary machine; containers have it for root only.
mkdir "$work/dev"
mount -t tmpfs -o dev,mode=0755 none "$work/dev"
mknod -m 0666 "$work/dev/tun" c 10 200
mount --bind "$work/dev/tun" /dev/net/tun

(cd "$checkout" && PREFIX=/usr/local DESTDIR='' BANGER_RUNTIME_DIR=$runtime scripts/install.sh install >&2)
cp "$checkout/scripts/install.sh" "$work/install.sh"
# Nothing of the checkout is there any more, and no mmdebstrap.
mount -t tmpfs none "$checkout"
for tool in mmdebstrap debootstrap; do
  path=$(command -v "$tool" || true)
  [ -z "$path" ] || mount --bind /dev/null "$path"
done
[ ! -e "$checkout/package.json" ]
if mmdebstrap --version >/dev/null 2>&1; then exit 1; fi
proved 'the checkout is gone, and so is mmdebstrap'

mkdir -p "$work/home/.config/banger" "$work/run"
cat >"$work/home/.config/banger/config.toml" <<'CONFIG'
version = 1
[vm]
vcpus = 1
memory = "256M"
[timeouts]
ready = "180s"
stop_ask = "120s"
CONFIG
chown -R "$uid:$uid" "$work/home" "$work/run"
chmod 0700 "$work/run"
as_user() {
  setpriv --reuid "$uid" --regid "$uid" --clear-groups \
    env -i HOME="$work/home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 BANGER_DNS_PORT=0 \
    XDG_RUNTIME_DIR="$work/run" PATH=/usr/local/bin:/usr/bin:/bin sh -c 'cd /; exec "$@"' sh "$@"
}

SUDO_UID=$uid SUDO_USER=$user /usr/local/bin/banger setup --yes >&2
tidy() {
  as_user banger rm --all --force >&2 || true
  as_user banger daemon stop --force >&2 || true
  instance=$(sed -n 's/.*"id":"\([a-z0-9]*\)".*/\1/p' "$work/home/.local/state/banger/instance.json" || true)
  [ -z "$instance" ] || rm -f "/run/banger/instances/$instance"
}
trap tidy EXIT
as_user banger image build >&2
proved 'the default image is unpacked from the bundle'
# This is about what was installed, not about a start on a machine that is too busy for one: that may be tried again, once.
if ! as_user banger create web --json >"$work/vm.json" 2>"$work/create.err"; then
  cat "$work/create.err" >&2
  as_user banger create web --json >"$work/vm.json"
fi
[ "$(as_user banger ssh web -- 'id -un; hostname' </dev/null | tr '\n' ' ')" = "$user web " ]
proved 'an ordinary user has a VM and is in it'
as_user banger image show debian --json >"$work/image.json"
grep -q '"source": "/usr/local/lib/banger/image/debian-13.tar.zst"' "$work/image.json"
grep -q '"systemd=2' "$work/image.json"
proved 'the image says how it was made'
as_user banger rm --force web >&2
as_user banger daemon stop >&2
SUDO_UID=$uid SUDO_USER=$user /usr/local/bin/banger setup --undo --yes >&2
PREFIX=/usr/local DESTDIR='' sh "$work/install.sh" uninstall >&2
[ -z "$(find /usr/local -mindepth 1)" ]
[ -z "$(find /etc/sudoers.d -mindepth 1)" ]
proved 'make uninstall leaves nothing'
