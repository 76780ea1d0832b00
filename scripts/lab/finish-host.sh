#!/bin/sh
# Makes a fresh Debian the host of the lab, inside its root: a user with sudo and one without, network, SSH by one key, and a boot that waits for nothing.
set -eu

echo lab >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 lab\n' >/etc/hosts
printf '/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdb /home ext4 nosuid,nodev 0 2\n' >/etc/fstab
printf 'vhost_vsock\ntun\n' >/etc/modules-load.d/lab.conf

# Its home is on the second disk, which brings banger along.
useradd --uid 1000 --shell /bin/bash --no-create-home --groups sudo,kvm dev
printf 'dev ALL=(ALL:ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/lab
chmod 0440 /etc/sudoers.d/lab
# … and one who has nothing but the group that may use KVM: no sudo, no helper of root's.
useradd --uid 1001 --shell /bin/bash --no-create-home --groups kvm plain
install -d /etc/ssh/authorized_keys
install -m 0644 /root/key.pub /etc/ssh/authorized_keys/dev
printf 'AuthorizedKeysFile /etc/ssh/authorized_keys/%%u\nPasswordAuthentication no\nUseDNS no\n' >/etc/ssh/sshd_config.d/lab.conf

printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\n' >/etc/systemd/network/lab.network
systemctl enable -q systemd-networkd systemd-resolved ssh
systemctl mask -q systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
: >/etc/machine-id

rm -f /root/key.pub /root/finish-host.sh
rm -rf /var/lib/apt/lists/* /var/cache/apt/*
