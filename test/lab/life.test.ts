// Guests on a real /dev/kvm, through banger as a user with sudo has it: every way that one is started, and every way that it ends.
import { afterAll, beforeAll, describe, expect } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { findFirecracker, searchPlaces } from "../../src/vmm/firecracker/binary.ts";
import {
  audit,
  banger,
  bangerOk,
  bootIdOf,
  closeStory,
  ensureRunning,
  eventually,
  GUEST_MS,
  guest,
  host,
  json,
  labTest,
  OPEN_MS,
  openStory,
  orderShortly,
  show,
  untilState,
} from "./story.ts";

const found = await findFirecracker(searchPlaces(process.env));
const lack = "reason" in found ? found.reason : null;
if (lack !== null && (process.env.BANGER_REQUIRE ?? "").split(",").includes("firecracker")) throw new Error(lack);
const wanted = process.env.BANGER_LAB_VMM;

beforeAll(openStory, OPEN_MS);
afterAll(closeStory, 120_000);

const printWaterfall = async (vm: string): Promise<void> =>
  console.log(await bangerOk(["vm", "why-slow", vm], { timeoutMs: 60_000 }));

for (const vmm of ["qemu", "firecracker"] as const) {
  const obstacle =
    wanted !== undefined && wanted !== vmm ? `only ${wanted} is wanted` : vmm === "firecracker" ? lack : null;
  const suite = obstacle === null ? describe : describe.skip;

  suite(`${vmm} on KVM in the lab${obstacle === null ? "" : ` (${obstacle})`}`, () => {
    const vm = `${vmm}-vm`;

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
      // The process is the user's own, and its parent outlives the daemon.
      expect(await host(`stat -c %U /proc/${created.pid}`)).toBe("dev");
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
      await host(`kill -9 ${pid}`);
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
      const after = await show(vm);
      expect(after).toMatchObject({ state: "running", pid: before.pid, addresses: before.addresses });
      expect((await json<Output<"system.status">>(["daemon", "status"])).pid).not.toBe(pid);
      expect(await bootIdOf(vm)).toBe(bootId);
      await eventually("the channel is back", async () => (await banger(["vm", "ping", vm])).code === 0);
      expect((await audit()).findings).toEqual([]);
    });

    labTest(
      "delete leaves nothing of it: no process, link, table or file",
      async () => {
        const { id } = await ensureRunning(vm, vmm);
        await bangerOk(["vm", "delete", "--force", vm]);
        expect(await audit()).toEqual({ clean: true, findings: [] });
        expect(await host(`pgrep -af 'banger-[s]him' || true; find ~/.local -path '*${id}*'`)).toBe("");
        expect(await host("ip -o link | grep -c 'bgr-.*-' || true")).toBe("0");
      },
      GUEST_MS,
    );
  });
}
