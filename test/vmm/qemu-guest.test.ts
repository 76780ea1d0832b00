// What only a real guest under QEMU can show: that the proof of KVM is a good one, and that an emulated guest's clock is right.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import type { ShimConsole } from "../../src/host/shim.ts";
import { PROOF_LINE, renderProofInitramfs } from "../../src/vmm/boot-proof.ts";
import type { KernelFiles } from "../../src/vmm/driver.ts";
import { type Bench, openBench, textOf } from "../shim/shim-bench.ts";
import { isQemuRequired, realQemu } from "./real-qemu.ts";

const subject = realQemu();
const suite = "missing" in subject && !isQemuRequired ? describe.skip : describe;
const reason = "missing" in subject ? ` (missing: ${subject.missing})` : "";

/** Of so many readings the tightest bounds count. */
const READINGS = 40;
const DRIFT_PPM_MAX = 100;
const MEASURING_MS_MAX = 90_000;

type Bounds = { atMs: number; lowMs: number; highMs: number };

suite(`a guest under QEMU with TCG${reason}`, () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await openBench();
  });
  afterEach(() => bench.close());

  const boot = async (kernel: Partial<KernelFiles> = {}) => {
    if ("missing" in subject) throw new Error(subject.missing);
    const plan = subject.driver.launch({
      ...subject,
      vm: { id: "0123456789ab", name: "hello" },
      kernel: { ...subject.kernel, ...kernel },
      disks: [],
      network: null,
      vcpus: 1,
      memoryMiB: 256,
      runtimeDir: bench.dir,
    });
    const vm = await bench.start("", {
      id: "0123456789ab",
      argv: plan.argv,
      staleSockets: plan.staleSockets,
      restartsOnReboot: false,
    });
    const console = await vm.control.attach();
    const control = await subject.driver.attach(plan, {
      vm: "hello",
      timeoutMs: 10_000,
      signal: AbortSignal.timeout(20_000),
    });
    await control.boot(AbortSignal.timeout(5000));
    control.close();
    return { ...vm, console };
  };

  test("runs the init that proves KVM: it wakes from its sleep, speaks in user mode and reboots", async () => {
    const initramfs = bench.path("proof");
    await writeFile(initramfs, renderProofInitramfs());
    const vm = await boot({ initramfs });
    expect((await vm.control.untilExit()).cause).toBe("reboot");
    expect(await textOf(vm.plan.console)).toContain(PROOF_LINE);
  }, 60_000);

  /** Lines of the console, one at a time. */
  const linesOf = (console: ShimConsole) => {
    const bytes = console.output[Symbol.asyncIterator]();
    let held = "";
    return async (pattern: RegExp): Promise<{ match: RegExpExecArray; atMs: number }> => {
      for (;;) {
        for (let end = held.indexOf("\n"); end >= 0; end = held.indexOf("\n")) {
          const match = pattern.exec(held.slice(0, end));
          held = held.slice(end + 1);
          if (match) return { match, atMs: performance.now() };
        }
        const next = await bytes.next();
        if (next.done) throw new Error(`the console ended before ${pattern}`);
        held += Buffer.from(next.value).toString("latin1");
      }
    };
  };

  test(`keeps a clock that drifts less than ${DRIFT_PPM_MAX} ppm from the host's`, async () => {
    const { console } = await boot();
    const line = linesOf(console);
    await line(/banger-test: up/);

    /** The guest's clock less ours lies within these bounds, for the answer was made between question and answer. */
    const read = async (): Promise<Bounds> => {
      const bounds: Bounds = {
        atMs: performance.now(),
        lowMs: Number.NEGATIVE_INFINITY,
        highMs: Number.POSITIVE_INFINITY,
      };
      for (let reading = 0; reading < READINGS; reading++) {
        const askedMs = performance.now();
        await console.write(Buffer.from("time\n"));
        const { match, atMs } = await line(/^time (\d+)\.(\d{9})/);
        const guestMs = Number(match[1]) * 1000 + Number(match[2]) / 1e6 - performance.timeOrigin;
        bounds.lowMs = Math.max(bounds.lowMs, guestMs - atMs);
        bounds.highMs = Math.min(bounds.highMs, guestMs - askedMs);
      }
      return bounds;
    };

    const first = await read();
    let worstPpm = Number.POSITIVE_INFINITY;
    while (worstPpm >= DRIFT_PPM_MAX && performance.now() - first.atMs < MEASURING_MS_MAX) {
      // Time itself is what is measured: the longer the wait, the less the bounds' width counts.
      await Bun.sleep(5000);
      const now = await read();
      const elapsedMs = now.atMs - first.atMs;
      const driftMs = Math.max(Math.abs(now.highMs - first.lowMs), Math.abs(now.lowMs - first.highMs));
      worstPpm = (driftMs / elapsedMs) * 1e6;
    }
    expect(worstPpm).toBeLessThan(DRIFT_PPM_MAX);
  }, 150_000);
});
