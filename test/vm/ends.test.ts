// How a guest's run may end, told apart by a daemon that watches and by one that comes later.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";
import { sshCommand } from "./ssh.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;

suite(`ends of guests${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let a: Vm;

  /** In the background there, so that ssh has ended before the guest does. */
  const shortly = (line: string) => `sudo setsid sh -c '(sleep 0.5; ${line}) </dev/null >/dev/null 2>&1 &'`;
  const PANIC = "echo c > /proc/sysrq-trigger";

  const order = (vm: string, line: string) => banger.ok(["ssh", vm, "--", shortly(line)]);

  /** Runs without any daemon: straight through ssh. */
  const orderWithoutDaemon = (access: Output<"vm.access">, line: string) =>
    until(
      `${access.name} has its order`,
      async () => {
        const command = sshCommand(access, `${shortly(line)}; echo ordered`);
        const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: 90_000 });
        return (await new Response(child.stdout).text()).includes("ordered");
      },
      BOOT_MS,
    );

  const access = async (vm: string) => JSON.parse(await banger.ok(["ssh", "--json", vm])) as Output<"vm.access">;

  const untilStopped = (vm: string) =>
    until(
      `${vm} is stopped`,
      async () => {
        const seen = await banger.show(vm);
        return seen.state === "stopped" ? seen : null;
      },
      BOOT_MS,
    );

  const identityOf = async (vm: string) =>
    banger.guest(vm, "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname; ip -4 -o addr show eth0");

  const bootIdOf = (vm: string) => banger.guest(vm, "cat /proc/sys/kernel/random/boot_id");

  beforeAll(async () => {
    banger = await openTestInstance();
    [a] = await Promise.all([banger.create("a"), banger.create("b")]);
    await Promise.all([banger.untilUp("a"), banger.untilUp("b")]);
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "a guest that reboots comes back as the same machine in a new process",
    async () => {
      const [identity, bootId] = [await identityOf("a"), await bootIdOf("a")];
      await order("a", "systemctl reboot");
      const again = await until(
        "the guest has booted anew",
        async () => {
          const found = await bootIdOf("a").catch(() => bootId);
          return found === bootId ? null : found;
        },
        BOOT_MS,
      );
      expect(again).not.toBe(bootId);
      expect(await identityOf("a")).toBe(identity);
      const seen = await banger.show("a");
      expect(seen).toMatchObject({ state: "running", addresses: a.addresses, lastError: null });
      expect(seen.pid).not.toBe(a.pid);
      expect((await banger.audit()).findings).toEqual([]);
    },
    BOOT_MS,
  );

  test(
    "a guest that powers off stops its VM and is tidied up",
    async () => {
      await order("b", "systemctl poweroff");
      expect(await untilStopped("b")).toMatchObject({ pid: null, lastEnd: { cause: "poweroff" }, lastError: null });
      expect((await banger.audit()).findings).toEqual([]);
    },
    BOOT_MS,
  );

  test(
    "a guest that panics stops its VM, and is told from one that powered off",
    async () => {
      await Promise.all([banger.ok(["start", "b"]), order("a", PANIC)]);
      expect(await untilStopped("a")).toMatchObject({ pid: null, lastEnd: { cause: "panic" } });
      expect(await banger.ok(["logs", "a"])).toContain("Kernel panic");
      expect(await banger.show("b")).toMatchObject({ state: "running", lastEnd: null });
    },
    BOOT_MS,
  );

  test(
    "guests that reboot, power off and panic while no daemon runs are told apart by the next one",
    async () => {
      await Promise.all([banger.ok(["start", "a"]), banger.create("c")]);
      const bootId = await bootIdOf("c");
      const before = await banger.show("c");
      const ways = await Promise.all([access("a"), access("b"), access("c")]);
      expect(await banger.killDaemon()).toBeGreaterThan(1);
      await Promise.all([
        orderWithoutDaemon(ways[0], PANIC),
        orderWithoutDaemon(ways[1], "sync; systemctl poweroff -ff"),
        orderWithoutDaemon(ways[2], "sync; systemctl reboot -ff"),
      ]);
      const [panicked, off] = [await banger.show("a"), await banger.show("b")].map(({ id }) => id);
      // A daemon runs again from here on; what it finds may still be on its way down.
      expect(panicked).not.toBe(off);
      expect((await untilStopped("a")).lastEnd?.cause).toBe("panic");
      expect((await untilStopped("b")).lastEnd?.cause).toBe("poweroff");
      await until(
        "the rebooted guest is back",
        async () => (await bootIdOf("c").catch(() => bootId)) !== bootId,
        BOOT_MS,
      );
      expect(await banger.show("c")).toMatchObject({ state: "running", addresses: before.addresses, lastEnd: null });
      expect((await banger.audit()).findings).toEqual([]);
    },
    2 * BOOT_MS,
  );
});
