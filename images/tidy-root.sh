#!/bin/sh
# Runs as root inside a guest, last before it is powered off, when its disk is to become an image: takes out what each machine must have of its own.
set -eu
export LC_ALL=C.UTF-8

for helper in init banger-vsock-pingd; do
  [ -x "/usr/lib/banger/$helper" ] || {
    echo "error: /usr/lib/banger/$helper is gone, and no VM of this image could be reached" >&2
    exit 1
  }
done

# The first-stage init stores it beside the boot: later than this script, it would tell the next machine that it is this one.
waited=0
while [ ! -e /var/lib/banger/revision ] && [ "$waited" -lt 60 ]; do sleep 1; waited=$((waited + 1)); done

# These write when the system goes down: what is stopped now stays silent then.
systemctl -q stop systemd-random-seed.service 2>/dev/null || true
journalctl -q --relinquish-var 2>/dev/null || true

# What the guest document gives, and what is made anew from it.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
: >/etc/machine-id
[ ! -e /var/lib/dbus/machine-id ] || ln -sf /etc/machine-id /var/lib/dbus/machine-id
echo localhost >/etc/hostname
rm -f /etc/resolv.conf
: >/etc/resolv.conf
# /etc/hosts and /etc/environment may be changed by people: only the lines of this machine go.
without_lines() {
  [ ! -f "$2" ] || { sed "/$1/d" "$2" >/run/banger-lines && cat /run/banger-lines >"$2" && rm /run/banger-lines; }
}
without_lines '^127\.0\.1\.1[[:space:]]' /etc/hosts
without_lines '^\(http\|https\|ftp\|all\|no\)_proxy=' /etc/environment
rm -f /etc/apt/apt.conf.d/90banger-proxy
# What update-ca-certificates(8) would do, which goes through every authority there is for minutes where a CPU is emulated.
if [ -d /usr/local/share/ca-certificates/banger ]; then
  rm -rf /usr/local/share/ca-certificates/banger
  # By name, then by hash: those lead to the former.
  find /etc/ssl/certs -xtype l -delete
  find /etc/ssl/certs -xtype l -delete
  {
    sed -n 's|^\([^#!].*\)|/usr/share/ca-certificates/\1|p' /etc/ca-certificates.conf | tr '\n' '\0' | xargs -0r awk 1
    find /usr/local/share/ca-certificates -name '*.crt' -exec awk 1 {} +
  } >/run/banger-bundle
  cat /run/banger-bundle >/etc/ssl/certs/ca-certificates.crt
fi
rm -f /var/lib/banger/revision /var/lib/banger/first-boot /var/lib/banger/first-boot.done /var/lib/banger/certificates-pending
# The key by which images/interactive.sh came in.
without_lines ' banger-build$' /root/.ssh/authorized_keys
[ -s /root/.ssh/authorized_keys ] || rm -f /root/.ssh/authorized_keys
rmdir /root/.ssh 2>/dev/null || true

# What went on here is not the next machine's history.
rm -rf /var/log/journal/* /var/log/apt /var/tmp/* /var/lib/systemd/coredump/*
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
find /var/log -xdev -type f -exec truncate -s 0 {} +
rm -f /var/lib/wtmpdb/wtmp.db /var/lib/lastlog/lastlog2.db /root/.bash_history /root/.lesshst /root/.viminfo
if command -v apt-get >/dev/null; then
  mkdir -p /var/log/apt
  apt-get -q clean
  rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
fi
if command -v dpkg-query >/dev/null; then
  dpkg-query -W -f '${Package} ${Version}\n' | sort >/var/lib/banger/packages.txt
fi

# Gives back to the host what was deleted; not every VMM can.
fstrim / 2>/dev/null || true
sync
