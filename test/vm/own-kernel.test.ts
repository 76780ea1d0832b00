// The default image on banger's own kernel: what Docker, podman, WireGuard, VPNs and services need of it, by using it. Where `make kernel` was run.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { unpackPackages } from "./debian-packages.ts";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";
import { lacksOwnKernel } from "./own-kernel.ts";

const obstacle = findObstacle() ?? lacksOwnKernel();
const suite = obstacle === null ? describe : describe.skip;

suite(`banger's own kernel${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;

  /** A shell script as root; it fails with the first command that does. */
  const asRoot = (script: string): Promise<string> =>
    banger.ok(["ssh", "own", "--", "sudo sh -eu"], { stdin: script, timeoutMs: BOOT_MS }).then((out) => out.trim());

  const untilStopped = () =>
    until(
      "the VM is stopped",
      async () => {
        const seen = await banger.show("own");
        return seen.state === "stopped" ? seen : null;
      },
      BOOT_MS,
    );

  beforeAll(async () => {
    banger = await openTestInstance({ env: { BANGER_VM_KERNEL: "auto" } });
    await banger.create("own", "--memory", "512M");
    await banger.untilUp("own");
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "is what a new VM gets, without initramfs and modules, and everyone says so",
    async () => {
      const { kernelRelease, kernel } = await banger.show("own");
      expect(kernelRelease).toEndWith("-banger");
      expect(await asRoot("uname -r")).toBe(kernelRelease);
      const image = await banger.json<Output<"image.show">>(["image", "show", "debian"]);
      expect(image.newVms).toMatchObject({ choice: "banger", release: kernelRelease });
      expect(image.kernel).not.toBe(kernel);
      const { launch } = await banger.json<Output<"vm.plan">>(["vm", "start", "--plan", "own"]);
      expect(launch.argv).not.toContain("-initrd");
      expect(await asRoot("test ! -e /dev/vdc; test ! -e /proc/modules; echo none")).toBe("none");
    },
    BOOT_MS,
  );

  test(
    "brings up all of the default image: no unit has failed",
    async () => {
      expect(await asRoot("systemctl --failed --no-legend --plain")).toBe("");
      expect(await asRoot("systemctl is-system-running")).toBe("running");
    },
    BOOT_MS,
  );

  test(
    "has the devices of both VMMs",
    async () => {
      const drivers = (await asRoot("ls /sys/bus/virtio/drivers")).split("\n");
      for (const name of ["balloon", "blk", "console", "net", "rng"]) expect(drivers).toContain(`virtio_${name}`);
      expect(drivers).toContain("vmw_vsock_virtio_transport");
      // Firecracker's Ctrl-Alt-Del comes by the keyboard, QEMU's button by ACPI.
      expect(await asRoot("ls /sys/bus/serio/drivers")).toContain("atkbd");
      expect(await asRoot("cat /sys/class/misc/hw_random/rng_current")).toStartWith("virtio_rng");
      expect(await asRoot("test -c /dev/vsock && findmnt -no FSTYPE /")).toBe("ext4");
      expect(await asRoot("zcat /proc/config.gz | grep -E '^CONFIG_(VIRTIO_MMIO_CMDLINE_DEVICES|PVH)='")).toBe(
        "CONFIG_PVH=y\nCONFIG_VIRTIO_MMIO_CMDLINE_DEVICES=y",
      );
    },
    BOOT_MS,
  );

  test(
    "holds a service to its memory, processor time and tasks",
    async () => {
      const controllers = (await asRoot("cat /sys/fs/cgroup/cgroup.controllers")).split(" ");
      for (const name of ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"]) expect(controllers).toContain(name);
      const limits = "-p MemoryMax=32M -p MemorySwapMax=0 -p CPUQuota=50% -p TasksMax=20";
      const group = "/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)";
      expect(
        await asRoot(`systemd-run --quiet --pipe ${limits} sh -c 'cd "${group}"; cat memory.max cpu.max pids.max'`),
      ).toBe(`${32 * 2 ** 20}\n50000 100000\n20`);
      const greedy = await asRoot(
        `systemd-run --quiet --unit greedy ${limits} sh -c 'head -c 200M /dev/zero | tail' || true
       until systemctl show -p Result --value greedy | grep -q oom; do sleep 0.2; done; echo killed`,
      );
      expect(greedy).toBe("killed");
    },
    BOOT_MS,
  );

  test(
    "stacks file systems, also in a namespace without privilege",
    async () => {
      const stack = `set -eu; cd "$(mktemp -d)"; mkdir lower upper work all; echo below >lower/a; echo above >upper/b
      mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work all
      echo changed >>all/a; cat all/a all/b; cat upper/a | wc -l; cat lower/a`;
      const seen = "below\nchanged\nabove\n2\nbelow";
      expect(await asRoot(`unshare --mount sh -c '${stack}'`)).toBe(seen);
      expect(
        await asRoot(
          `setpriv --reuid 4711 --regid 4711 --clear-groups env TMPDIR=/tmp unshare --user --map-root-user --mount sh -c '${stack}'`,
        ),
      ).toBe(seen);
    },
    BOOT_MS,
  );

  test(
    "connects a network namespace by bridge and veth, and translates its addresses by nftables",
    async () => {
      await asRoot(`
      ip link add br0 type bridge
      ip address add 10.99.0.1/24 dev br0
      ip netns add c1
      ip link add host1 type veth peer name eth0 netns c1
      ip link set host1 master br0 up
      ip link set br0 up
      ip -n c1 address add 10.99.0.2/24 dev eth0
      ip -n c1 link set lo up
      ip -n c1 link set eth0 up
      ip -n c1 route add default via 10.99.0.1
      sysctl -q -w net.ipv4.ip_forward=1
      nft -f - <<'RULES'
table inet lab {
  chain out {
    type nat hook postrouting priority srcnat
    ip saddr 10.99.0.0/24 oifname "eth0" counter masquerade
  }
  chain in {
    type nat hook prerouting priority dstnat
    fib daddr type local tcp dport 2222 counter redirect to :22
  }
  chain pass {
    type filter hook forward priority filter
    ct state established,related counter accept
    ct state new limit rate 1000/second log prefix "new " accept
    reject with icmpx admin-prohibited
  }
}
RULES`);
      // The next hop knows nothing of 10.99.0.0/24: an answer means that it was asked in the guest's name.
      const gateway = await asRoot("ip -o -4 route show default | cut -d' ' -f3");
      expect(await asRoot(`ip netns exec c1 ping -c 1 -W 10 ${gateway}`)).toContain(" 0% packet loss");
      expect(await asRoot("ip netns exec c1 bash -c 'exec 3<>/dev/tcp/10.99.0.1/2222; head -n 1 <&3'")).toStartWith(
        "SSH-2.0",
      );
      const counters = await asRoot("nft list table inet lab");
      expect(counters.match(/counter packets [1-9]/g)?.length).toBe(3);
    },
    BOOT_MS,
  );

  test(
    "has the tap and tun devices of VPNs, and a routing table of their own",
    async () => {
      await asRoot(`
      ip tuntap add dev tun0 mode tun
      ip tuntap add dev tap0 mode tap
      ip address add 10.98.0.1/24 dev tun0
      ip link set tun0 up
      ip rule add not fwmark 51820 table 51820
      ip route add 192.0.2.0/24 dev tun0 table 51820`);
      expect(await asRoot("ip route get 192.0.2.1")).toContain("dev tun0 table 51820");
      await asRoot("ip rule delete not fwmark 51820 table 51820; ip link delete tun0; ip link delete tap0");
    },
    BOOT_MS,
  );

  test(
    "runs WireGuard, iptables of both kinds and a container of podman's with a published port",
    async () => {
      const tree = join(banger.dir, "packages/tree");
      unpackPackages(join(banger.dir, "packages"), {
        suite: await asRoot(". /etc/os-release; echo $VERSION_CODENAME"),
        packages: ["wireguard-tools", "iptables", "podman", "netavark", "busybox-static"],
        status: await asRoot("cat /var/lib/dpkg/status"),
        tree,
      });
      await banger.ok(["cp", "-r", tree, "own:/var/tmp/packages"], { timeoutMs: BOOT_MS });
      await asRoot("cp -a --no-preserve=ownership /var/tmp/packages/. / && ldconfig");

      // A tunnel from the guest into its own namespace, over the bridge of the test above.
      await asRoot(`
      cd "$(mktemp -d)"; umask 077
      for end in a b; do wg genkey >$end; done
      ip link add wg0 type wireguard
      ip -n c1 link add wg0 type wireguard
      wg set wg0 private-key a listen-port 51820 peer "$(wg pubkey <b)" allowed-ips 10.97.0.2/32 endpoint 10.99.0.2:51820
      ip netns exec c1 wg set wg0 private-key b listen-port 51820 peer "$(wg pubkey <a)" allowed-ips 10.97.0.1/32
      ip address add 10.97.0.1/24 dev wg0
      ip -n c1 address add 10.97.0.2/24 dev wg0
      ip link set wg0 up
      ip -n c1 link set wg0 up`);
      expect(await asRoot("ping -c 1 -W 20 10.97.0.2")).toContain(" 0% packet loss");
      expect(await asRoot("ip netns exec c1 wg show wg0 latest-handshakes | cut -f2")).not.toBe("0");

      // The rules that Docker and wg-quick make.
      for (const kind of ["nft", "legacy"])
        for (const family of ["iptables", "ip6tables"]) {
          const own = family === "iptables" ? "172.30.0.0/16" : "fd00:30::/64";
          await asRoot(`
          t() { /usr/sbin/${family}-${kind} -w "$@"; }
          t -t nat -N DOCKER
          t -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
          t -t nat -A POSTROUTING -s ${own} ! -o br0 -j MASQUERADE
          t -t nat -A DOCKER ! -i br0 -p tcp -m tcp --dport 8099 -m comment --comment web -j DNAT --to-destination ${family === "iptables" ? "172.30.0.2:80" : "[fd00:30::2]:80"}
          t -N DOCKER-USER
          t -A FORWARD -j DOCKER-USER
          t -A FORWARD -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
          t -A FORWARD -p tcp -m multiport --dports 80,443 -m limit --limit 5/sec -j REJECT
          t -t raw -A PREROUTING -d ${own} ! -i br0 -j DROP
          t -t mangle -A POSTROUTING -p udp -m mark --mark 51820 -j CONNMARK --save-mark
          t -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
          t -t nat -S | grep -q DNAT
          for table in nat raw mangle filter; do t -t $table -F; t -t $table -X; done`);
        }

      await asRoot(
        "mkdir -p /var/tmp/root/bin /var/tmp/root/www && cp /bin/busybox /var/tmp/root/bin/ && echo contained >/var/tmp/root/www/index.html",
      );
      await asRoot(
        "podman run --detach --name web --memory 64m --pids-limit 50 --publish 8088:80 --rootfs /var/tmp/root:O /bin/busybox httpd -f -p 80 -h /www",
      );
      const address = (await banger.show("own")).addresses.find(({ side }) => side === "guest")?.address;
      expect(
        await asRoot(
          `for try in 1 2 3 4 5 6 7 8 9 10; do curl -sS --max-time 10 http://${address}:8088/ && break; sleep 1; done`,
        ),
      ).toBe("contained");
      expect(await asRoot("podman exec web /bin/busybox cat /sys/fs/cgroup/memory.max")).toBe(String(64 * 2 ** 20));
      await asRoot("podman rm --force --time 0 web");
    },
    3 * BOOT_MS,
  );

  test(
    "comes back from a reboot as itself, and ends by the power button",
    async () => {
      const bootId = () => banger.guest("own", "cat /proc/sys/kernel/random/boot_id");
      const before = await bootId();
      await banger.guest("own", "sudo systemd-run --quiet --on-active=0.5 systemctl reboot");
      await until("it has booted anew", async () => (await bootId().catch(() => before)) !== before, BOOT_MS);
      await banger.untilUp("own");
      expect(await asRoot("uname -r")).toBe((await banger.show("own")).kernelRelease);
      const { paths } = await banger.json<Output<"vm.plan">>(["vm", "start", "--plan", "own"]);
      await pressButton(join(paths.runtimeDir, "qmp.sock"));
      expect((await untilStopped()).lastEnd?.cause).toBe("poweroff");
    },
    2 * BOOT_MS,
  );

  test(
    "is exchanged for the image's and back in a VM that stands still",
    async () => {
      const image = await banger.json<Output<"image.show">>(["image", "show", "debian"]);
      await banger.ok(["vm", "set", "own", "--kernel", "image"]);
      await banger.ok(["start", "own"]);
      expect(await asRoot("uname -r; grep -c squashfs /proc/mounts")).toBe(`${image.kernelRelease}\n1`);
      await banger.ok(["kill", "own"]);
      const back = await banger.json<Output<"vm.set">>(["vm", "set", "own", "--kernel", "banger"]);
      expect(back).toMatchObject({ changed: true, kernelRelease: image.newVms.release });
      expect((await banger.audit()).findings).toEqual([]);
    },
    2 * BOOT_MS,
  );
});

/** ACPI's power button, by QEMU's own words; the daemon is not asked. */
const pressButton = (path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("error", reject);
    socket.write('{"execute":"qmp_capabilities"}\n{"execute":"system_powerdown","id":"pressed"}\n');
    let heard = "";
    socket.on("data", (bytes) => {
      heard += bytes;
      if (!heard.includes('"pressed"')) return;
      socket.destroy();
      resolve();
    });
  });
