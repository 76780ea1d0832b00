// Two ordinary Debian guests on a host with an internet: what they reach, what reaches them, and what is closed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { makeAptRepository, PROBE_PACKAGE } from "./apt-repository.ts";
import { unpackPackages } from "./debian-packages.ts";
import { BOOT_MS, CONFIG, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";
import { INTERNET, type Lab, openLab, UPLINK } from "./lab.ts";

const obstacle = findObstacle({ needsRoot: "an internet behind a bridge of the host" });
const suite = obstacle === null ? describe : describe.skip;
const GREETER_PORT = 9123;

/** The clock's skew by the quickest of many answers: the quicker, the less of it is the way there. */
const skewOf = async (banger: Instance, vm: string): Promise<{ skewMs: number; atMs: number; errorMs: number }> => {
  let best = { skewMs: 0, atMs: 0, errorMs: Number.POSITIVE_INFINITY };
  for (let count = 0; count < 40; count++) {
    const { clockSkewMs, roundTripMs } = await banger.json<Output<"vm.ping">>(["vm", "ping", vm]);
    if (roundTripMs / 2 < best.errorMs)
      best = { skewMs: clockSkewMs, atMs: performance.now(), errorMs: roundTripMs / 2 };
  }
  return best;
};

suite(`guests on a network${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: Lab;
  let banger: Instance;
  let a: Vm;
  let b: Vm;
  let clock: Awaited<ReturnType<typeof skewOf>>;

  const guestAddress = (vm: Vm) => vm.addresses.find(({ side }) => side === "guest")?.address ?? "";
  /** What curl got, or "" when nothing answered within five seconds. */
  const fetched = (vm: string, url: string) => banger.guest(vm, `curl -s -m 5 ${url} || true`);

  beforeAll(async () => {
    lab = await openLab();
    const web = join(lab.dir, "web");
    makeAptRepository(join(web, "apt"));
    await Promise.all([
      lab.serve("internet", "files", INTERNET.web, web),
      lab.serve("internet", "names", INTERNET.router, INTERNET.web),
      lab.serve("internet", "names", INTERNET.otherResolver, INTERNET.moved),
      lab.serve("host", "greeter", "0.0.0.0", String(GREETER_PORT)),
    ]);
    banger = await openTestInstance({ inside: lab.inside, config: CONFIG.replace("[vm]", '[vm]\nuser = "dev"') });
    const script = join(banger.dir, "first-boot");
    writeFileSync(script, "#!/bin/sh\necho ran >> /var/tmp/first-boot\n");
    [a, b] = await Promise.all([banger.create("a", "--user-data", script, "--memory", "384M"), banger.create("b")]);
    // Logins beside a boot under emulation take several times as long.
    await Promise.all([banger.untilUp("a"), banger.untilUp("b")]);
    clock = await skewOf(banger, "a");
  }, 1_800_000);
  afterAll(async () => {
    try {
      await banger?.close();
    } finally {
      await lab?.close();
    }
  }, TEARDOWN_MS);

  test(
    "a guest reaches the internet by address, as its host",
    async () => {
      expect(await fetched("a", `http://${INTERNET.web}/whoami`)).toBe(UPLINK);
    },
    BOOT_MS,
  );

  test(
    "and by name: the gateway forwards to the host's resolvers and follows their changes",
    async () => {
      const gateway = guestAddress(a).replace(/\.\d+$/, ".1");
      expect(await banger.guest("a", "cat /etc/resolv.conf")).toContain(`nameserver ${gateway}`);
      expect(await fetched("a", "http://www.lab.example/whoami")).toBe(UPLINK);
      expect(await banger.guest("a", "getent ahostsv4 first.lab.example")).toContain(INTERNET.web);
      expect(await banger.guest("a", "getent hosts nothing.example || echo none")).toBe("none");
      lab.setResolver(INTERNET.otherResolver);
      expect(await banger.guest("a", "getent ahostsv4 second.lab.example")).toContain(INTERNET.moved);
      lab.setResolver(INTERNET.router);
    },
    BOOT_MS,
  );

  test(
    "guests reach each other by address and by name",
    async () => {
      expect(await banger.guest("a", `ping -c 1 -W 10 ${guestAddress(b)} >/dev/null && echo yes`)).toBe("yes");
      expect(await banger.guest("b", "ping -c 1 -W 10 a.vm >/dev/null && echo yes")).toBe("yes");
      expect(await banger.guest("b", "getent ahostsv4 a")).toContain(guestAddress(a));
    },
    BOOT_MS,
  );

  test(
    "the host reaches guests by address, and finds them by name where banger says it answers",
    async () => {
      lab.run(["ping", "-c", "1", "-W", "10", guestAddress(b)]);
      const { dns } = await banger.json<Output<"system.status">>(["daemon", "status"]);
      const resolve = `const r = new (require("node:dns").promises.Resolver)(); r.setServers(["${dns.address}:${dns.port}"]);`;
      const found = lab.run([process.execPath, "-e", `${resolve} console.log(...await r.resolve4("b.vm"))`]);
      expect(found.trim()).toBe(guestAddress(b));
    },
    BOOT_MS,
  );

  test(
    "services of the host are closed to guests on every address of it, save names and echo at the gateway",
    async () => {
      const gateway = guestAddress(a).replace(/\.\d+$/, ".1");
      const greeting = `exec 3<>/dev/tcp/127.0.0.1/${GREETER_PORT}; cat <&3`;
      expect(lab.run(["bash", "-c", greeting])).toBe("hello from the host\n");
      for (const address of [gateway, UPLINK]) {
        const tried = `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${GREETER_PORT}; cat <&3' 2>/dev/null || echo closed`;
        expect(await banger.guest("a", tried)).toBe("closed");
      }
      expect(await banger.guest("a", `ping -c 1 -W 10 ${gateway} >/dev/null && echo yes`)).toBe("yes");
    },
    BOOT_MS,
  );

  test(
    "the guest is an ordinary Debian that comes up whole",
    async () => {
      const state = await banger.untilUp("a");
      expect({ state, failed: await banger.guest("a", "systemctl --failed --plain --no-legend") }).toEqual({
        state: "running",
        failed: "",
      });
    },
    2 * BOOT_MS,
  );

  test(
    "its user has the name that was asked for, a login session and sudo without a password",
    async () => {
      const facts = await banger.guest(
        "a",
        "id -un; id -u; pwd; sudo -n id -u; systemctl --user is-system-running --wait",
      );
      const [name, uid, home, rootUid, session] = facts.split("\n");
      expect({ name, home, rootUid, session }).toEqual({
        name: "dev",
        home: "/home/dev",
        rootUid: "0",
        session: "running",
      });
      expect(Number(uid)).toBeGreaterThanOrEqual(1000);
      await banger.guest("a", "systemd-run --user --wait --quiet touch /tmp/by-user && test -e /tmp/by-user");
    },
    BOOT_MS,
  );

  test(
    "timers, fstab and the first-boot script work",
    async () => {
      await banger.guest(
        "a",
        "echo '* * * * * root touch /run/cron-ran' | sudo tee /etc/cron.d/probe >/dev/null; " +
          "sudo mkdir -p /mnt/probe; echo 'tmpfs /mnt/probe tmpfs size=1m 0 0' | sudo tee -a /etc/fstab >/dev/null; " +
          "sudo systemctl daemon-reload; sudo mount /mnt/probe; findmnt -n /mnt/probe >/dev/null; " +
          "sudo systemd-run --quiet --on-active=1 touch /run/timer-ran",
      );
      await until("the timer has run", async () => (await banger.guest("a", "ls /run")).includes("timer-ran"));
      expect(await banger.guest("a", "cat /var/tmp/first-boot")).toBe("ran");
    },
    BOOT_MS,
  );

  test(
    "apt installs, and full-upgrade upgrades, from a mirror that the guest reaches by name",
    async () => {
      const version = `cat /usr/share/${PROBE_PACKAGE}/version`;
      const apt = "sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y";
      await banger.guest(
        "a",
        "sudo rm -rf /etc/apt/sources.list.d/* /etc/apt/sources.list; " +
          "echo 'deb [trusted=yes] http://www.lab.example/apt ./' | sudo tee /etc/apt/sources.list >/dev/null; " +
          `${apt} update && ${apt} install ${PROBE_PACKAGE}=1.0`,
      );
      expect(await banger.guest("a", version)).toBe("1.0");
      await banger.guest("a", `${apt} full-upgrade`);
      expect(await banger.guest("a", version)).toBe("2.0");
    },
    2 * BOOT_MS,
  );

  test(
    "the kernel has what containers need: bridges, veth, overlay, NAT, control groups, namespaces",
    async () => {
      const steps = [
        "ip link add ctr0 type bridge && ip link add ctr1 type veth peer name ctr2 && ip link set ctr1 master ctr0",
        "nft add table ip ctr && nft 'add chain ip ctr post { type nat hook postrouting priority 100; }'",
        "nft add rule ip ctr post masquerade && nft delete table ip ctr && ip link delete ctr0 && ip link delete ctr1",
        "mkdir -p /tmp/o/l /tmp/o/u /tmp/o/w /tmp/o/m",
        "mount -t overlay overlay -o lowerdir=/tmp/o/l,upperdir=/tmp/o/u,workdir=/tmp/o/w /tmp/o/m && umount /tmp/o/m",
        "unshare --mount --pid --fork --net --uts --ipc true",
        "grep -qw memory /sys/fs/cgroup/cgroup.controllers && grep -qw pids /sys/fs/cgroup/cgroup.controllers",
      ];
      expect(await banger.guest("a", `sudo sh -ec '${steps.join("\n").replaceAll("'", "'\\''")}' && echo all`)).toBe(
        "all",
      );
    },
    BOOT_MS,
  );

  test(
    "podman runs a container, which reaches the internet through a bridge of its own",
    async () => {
      const suite = await banger.guest("a", ". /etc/os-release; echo $VERSION_CODENAME");
      const status = await banger.guest("a", "cat /var/lib/dpkg/status");
      const tree = join(lab.dir, "podman/tree");
      unpackPackages(join(lab.dir, "podman"), {
        suite,
        packages: ["podman", "busybox-static", "netavark"],
        status,
        tree,
      });
      await banger.ok(["cp", "-r", tree, "a:/var/tmp/podman"], { timeoutMs: BOOT_MS });
      await banger.guest("a", "sudo cp -a --no-preserve=ownership /var/tmp/podman/. / && sudo ldconfig");
      await banger.guest("a", "mkdir -p /var/tmp/root/bin && cp /bin/busybox /var/tmp/root/bin/");
      const answer = `/bin/busybox wget -q -O - http://${INTERNET.web}/whoami`;
      expect(
        await banger.guest("a", `sudo podman run --rm --rootfs /var/tmp/root ${answer}`, { timeoutMs: BOOT_MS }),
      ).toBe(UPLINK);
    },
    2 * BOOT_MS,
  );

  test(
    "cron runs what is due within the minute",
    async () => {
      await until("cron has run", async () => (await banger.guest("a", "ls /run")).includes("cron-ran"), BOOT_MS);
    },
    BOOT_MS,
  );

  test(
    "the guest's clock drifts less than 100 ppm",
    async () => {
      const enough = clock.atMs + 30_000;
      await until("30 s have passed", () => performance.now() > enough);
      const now = await skewOf(banger, "a");
      const elapsedMs = now.atMs - clock.atMs;
      const driftMs = Math.abs(now.skewMs - clock.skewMs);
      // What cannot be known is at most half of each round trip.
      expect(driftMs - now.errorMs - clock.errorMs).toBeLessThan(elapsedMs * 100e-6);
      expect(now.errorMs + clock.errorMs).toBeLessThan(elapsedMs * 500e-6);
    },
    BOOT_MS,
  );

  test(
    "without its helper the guest is stopped by its power button, and comes up again with what was set",
    async () => {
      await banger.guest(
        "a",
        "sudo systemctl stop 'banger-vsock-[p]ingd.service'; sudo pkill -KILL -f 'vsock-[p]ingd'; true",
      );
      const bootId = await banger.guest("a", "tr -d - < /proc/sys/kernel/random/boot_id");
      await banger.ok(["stop", "a"]);
      expect((await banger.show("a")).lastEnd?.cause).toBe("stopped");
      await banger.ok(["start", "a"]);
      const before = await banger.guest("a", `sudo journalctl -q -n 400 --no-pager _BOOT_ID=${bootId}`);
      expect(before).toMatch(/Power key pressed|Powering off/);
      expect(await banger.guest("a", "cat /var/tmp/first-boot")).toBe("ran");
      await until(
        "fstab is mounted",
        async () => (await banger.guest("a", "findmnt -n /mnt/probe || true")) !== "",
        BOOT_MS,
      );
    },
    2 * BOOT_MS,
  );
});
