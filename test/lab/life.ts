// A guest's life on a real /dev/kvm: every way that one is started, and every way that it ends, asked of one VMM after the other.
import { beforeAll, describe, expect } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import {
  audit,
  banger,
  bangerOk,
  bootIdOf,
  ensureRunning,
  eventually,
  GUEST_MS,
  guest,
  host,
  json,
  orderShortly,
  show,
  labTest as storyTest,
  untilState,
} from "./story.ts";

export type Life = {
  title: string;
  vm: string;
  vmm: "qemu" | "firecracker";
  /** Why it is not lived here; null when it is. */
  obstacle: string | null;
  /** Whose rights the VMM is to have. */
  uidOf: (vm: Vm) => number;
  /** What has to be so in the lab before; done again in a lab that was reset. */
  prepare?: () => Promise<void>;
  /** What is shown of it besides. */
  more?: () => void;
};

const printWaterfall = async (vm: string): Promise<void> =>
  console.log(await bangerOk(["vm", "why-slow", vm], { timeoutMs: 60_000 }));

export const liveLife = (life: Life): void => {
  const { title, vm, vmm, obstacle } = life;
  const { prepare } = life;
  const labTest = (name: string, body: () => Promise<void>): void => storyTest(name, body, { prepare });
  const suite = obstacle === null ? describe : describe.skip;
  suite(`${title}${obstacle === null ? "" : ` (${obstacle})`}`, () => {
    beforeAll(async () => life.prepare?.(), GUEST_MS);

    labTest("create boots it on KVM, and its shell, its ping, its name and its log work", async () => {
      await banger(["rm", "--force", vm]);
      const created = await json<Vm>(["vm", "create", vm, "--vmm", vmm]);
      await printWaterfall(vm);
      expect(created).toMatchObject({ state: "running", vmm, accelerator: "kvm", lastError: null });
      expect(await guest(vm, "hostname; id -un")).toBe(`${vm}\ndev`);
      expect((await json<Output<"vm.ping">>(["vm", "ping", vm])).roundTripMs).toBeGreaterThan(0);
      expect(await host(`ping -c 1 -W 20 ${created.addresses[0]?.address}`)).toContain("1 received");
      expect(await bangerOk(["exec", vm, "--", "uname", "-s"])).toBe("Linux");
      expect(await bangerOk(["logs", vm])).toBeString();
      // The process has the rights that are told, and its parent outlives the daemon.
      expect(await host(`stat -c %u /proc/${created.pid}`)).toBe(String(life.uidOf(created)));
      expect(created.privilege).toContain(`uid ${life.uidOf(created)}`);
      expect((await audit()).findings).toEqual([]);
    });

    labTest("stop shuts it down in order, and start brings the same machine back", async () => {
      await ensureRunning(vm, vmm);
      const identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname";
      const before = await guest(vm, `${identity}; echo kept > kept; sync`);
      const stopped = await json<Vm | Vm[]>(["vm", "stop", vm]);
      expect([stopped].flat()[0]).toMatchObject({ state: "stopped", pid: null, lastEnd: { cause: "stopped" } });
      expect((await audit()).findings).toEqual([]);
      await bangerOk(["vm", "start", vm]);
      await printWaterfall(vm);
      expect(await guest(vm, identity)).toBe(before);
      expect(await guest(vm, "cat kept")).toBe("kept");
    });

    labTest("a reboot from inside brings it back as itself, in a new process", async () => {
      const before = await ensureRunning(vm, vmm);
      const bootId = await bootIdOf(vm);
      await orderShortly(vm, "systemctl reboot");
      await eventually("it has booted anew", async () => (await bootIdOf(vm)) !== bootId);
      const after = await show(vm);
      expect(after).toMatchObject({ state: "running", addresses: before.addresses, lastError: null });
      expect(after.pid).not.toBe(before.pid);
      expect((await json<Output<"vm.ping">>(["vm", "ping", vm])).name).toBe(vm);
      expect((await audit()).findings).toEqual([]);
    });

    labTest("a poweroff from inside stops it, and nothing of it runs on", async () => {
      const { pid } = await ensureRunning(vm, vmm);
      await orderShortly(vm, "systemctl poweroff");
      expect(await untilState(vm, "stopped")).toMatchObject({ pid: null, lastEnd: { cause: "poweroff" } });
      expect(await host(`test -e /proc/${pid} && echo there || echo gone`)).toBe("gone");
      expect((await audit()).findings).toEqual([]);
    });

    labTest("a panic stops it, and is told from a poweroff", async () => {
      await ensureRunning(vm, vmm);
      await orderShortly(vm, "echo c > /proc/sysrq-trigger");
      expect((await untilState(vm, "stopped")).lastEnd?.cause).toBe("panic");
      expect(await bangerOk(["logs", vm])).toContain("Kernel panic");
    });

    labTest("kill -9 of the VMM is noticed, leaves nothing behind, and it starts again", async () => {
      const { pid } = await ensureRunning(vm, vmm);
      await host(`sudo kill -9 ${pid}`);
      expect((await untilState(vm, "stopped")).lastEnd?.cause).toBe("killed");
      expect((await audit()).findings).toEqual([]);
      await ensureRunning(vm, vmm);
      expect(await guest(vm, "hostname")).toBe(vm);
    });

    labTest("kill -9 of the daemon leaves it running; the next one adopts it and the channel with it", async () => {
      const before = await ensureRunning(vm, vmm);
      const bootId = await bootIdOf(vm);
      const { pid } = await json<Output<"system.status">>(["daemon", "status"]);
      await host(`kill -9 ${pid}`);
      // A command gives a daemon half a minute to start, which may not do where everything is emulated.
      const after = await eventually("a new daemon answers", () => show(vm));
      expect(after).toMatchObject({ state: "running", pid: before.pid, addresses: before.addresses });
      expect((await json<Output<"system.status">>(["daemon", "status"])).pid).not.toBe(pid);
      expect(await bootIdOf(vm)).toBe(bootId);
      await eventually("the channel is back", async () => (await banger(["vm", "ping", vm])).code === 0);
      expect((await audit()).findings).toEqual([]);
    });

    life.more?.();

    labTest("delete leaves nothing of it: no process, link, table or file", async () => {
      const { id } = await ensureRunning(vm, vmm);
      await bangerOk(["vm", "delete", "--force", vm]);
      expect(await audit()).toEqual({ clean: true, findings: [] });
      expect(await host(`pgrep -af 'banger-([s]him|[j]ail)' || true; find ~/.local -path '*${id}*'`)).toBe("");
      expect(await host("ip -o link | grep -c 'bgr-.*-' || true")).toBe("0");
    });
  });
};
