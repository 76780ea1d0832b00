#!/bin/sh
# Runs inside the new root, once, at the end of a build: moves work from every boot to now, and takes out what must be each machine's own.
set -eu
export LC_ALL=C.UTF-8

# Made by the first-stage init from the guest document.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
: >/etc/machine-id
mkdir -p /var/lib/dbus
ln -sf /etc/machine-id /var/lib/dbus/machine-id
rm -f /etc/hostname /etc/resolv.conf
: >/etc/resolv.conf
echo localhost >/etc/hostname

# mmdebstrap's settings were for the build.
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/sources.list /etc/dpkg/dpkg.cfg.d/99mmdebstrap
[ -s /etc/locale.conf ] || echo LANG=C.UTF-8 >/etc/locale.conf
mkdir -p /etc/default
echo LANG=C.UTF-8 >/etc/default/locale
usermod -p '*' root
# An interactive root shell like the one Debian's installer leaves.
[ -e /root/.bashrc ] || cp /etc/skel/.bashrc /root/.bashrc
[ -e /root/.profile ] || cp /etc/skel/.profile /root/.profile

# No display and no partitions to probe, no swap or encrypted disks at birth, the address comes without DHCP.
systemctl -q mask getty@tty1.service systemd-networkd-wait-online.service \
  systemd-firstboot.service systemd-hwdb-update.service ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
systemctl -q disable e2scrub_reap.service e2scrub_all.timer 2>/dev/null || true
# Mounts and modules that nothing of a fresh guest uses; both still come when something asks for them by name.
systemctl -q mask sys-fs-fuse-connections.mount sys-kernel-config.mount modprobe@drm.service systemd-pstore.service \
  systemd-udev-load-credentials.service
# Generators for what a guest cannot have: GPT partitions around its root, a TPM, hibernation, sshd on a vsock of its own.
mkdir -p /etc/systemd/system-generators
for generator in systemd-gpt-auto-generator systemd-tpm2-generator systemd-hibernate-resume-generator systemd-ssh-generator; do
  ln -s /dev/null "/etc/systemd/system-generators/$generator"
done
# Every unit of ours that asks to be installed; the first-stage init decides about the early sshd on each boot.
for unit in /etc/systemd/system/banger-*.service; do
  [ -e "$unit" ] || continue
  grep -q '^\[Install\]' "$unit" && systemctl -q enable "${unit##*/}"
done
systemctl -q enable ssh.service
systemctl -q disable ssh.socket 2>/dev/null || true

# pam_motd would run these scripts in every login, before the session answers.
rm -rf /etc/update-motd.d

# Timers that remember when they ran last would all run in the first boot.
mkdir -p /var/lib/systemd/timers
for timer in /usr/lib/systemd/system/*.timer; do
  grep -q '^Persistent=true' "$timer" && : >"/var/lib/systemd/timers/stamp-${timer##*/}"
done

# Caches that a first boot would make.
ldconfig
journalctl --update-catalog >/dev/null 2>&1 || true
mkdir -p /var/log/journal
touch /etc/.updated /var/.updated

mkdir -p /var/lib/banger
chmod 0755 /var/lib/banger
dpkg-query -W -f '${Package} ${Version}\n' | LC_ALL=C sort >/var/lib/banger/packages.txt
rm -f /usr/lib/banger/finish-root.sh
