// How long a proof of KVM is believed: what shows it for good, until the host boots again; what a busy host explains, for a while.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decideProof as decideFirecracker } from "../../src/vmm/firecracker/probe.ts";
import { judgeKvm, type Verdict } from "../../src/vmm/kvm-verdict.ts";
import { decideProof as decideQemu } from "../../src/vmm/qemu/probe.ts";

let cacheDir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "bgr-verdict-"));
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const MINUTE = 60_000;
const works: Verdict = { isProved: true, reason: "a guest was booted" };
const silent = decideQemu("silent");

/** A host whose clock is set and whose proofs end as they are told to. */
const hostOf = (given: { bootId?: string; nowMs?: number } = {}) => {
  const host = { nowMs: given.nowMs ?? 1_000_000_000_000, proofs: 0, verdict: works, kernel: "/k" as string | null };
  const judge = () =>
    judgeKvm({
      ...{ cacheDir, bootId: given.bootId ?? "boot-1", kernel: host.kernel, name: "proof", vmm: "/q 7.2" },
      now: () => host.nowMs,
      findObstacle: async () => null,
      prove: async () => {
        host.proofs += 1;
        return host.verdict;
      },
    });
  return { host, judge };
};

describe("a proof of KVM", () => {
  test("that shows it for good is made once per boot of the host, whichever way it ends", async () => {
    const outcomes = [works, decideQemu("gave up"), decideQemu({ stdout: "", stderr: "error: no MSR", exitCode: 1 })];
    for (const [index, verdict] of outcomes.entries()) {
      const { host, judge } = hostOf({ bootId: `boot-${index}` });
      host.verdict = verdict;
      const { isProved, reason } = verdict;
      expect(await judge()).toEqual({ isProved, reason });
      host.nowMs += 365 * 24 * 60 * MINUTE;
      expect(await judge()).toEqual({ isProved, reason });
      expect(host.proofs).toBe(1);
    }
  });

  test("that a busy host explains is made again after half an hour, and says when; then KVM counts", async () => {
    const { host, judge } = hostOf();
    host.verdict = silent;
    const first = await judge();
    expect(first).toMatchObject({ isProved: false, againMs: host.nowMs + 30 * MINUTE });
    const at = new Date(first.againMs ?? 0);
    const clock = [at.getHours(), at.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
    expect(first.reason).toContain("said nothing in 12 s");
    expect(first.reason).toEndWith(`tried again after ${clock}`);
    host.nowMs += 29 * MINUTE;
    expect(await judge()).toEqual(first);
    expect(host.proofs).toBe(1);
    host.nowMs += MINUTE;
    host.verdict = works;
    expect(await judge()).toEqual(works);
    expect(host.proofs).toBe(2);
  });

  test("that stays silent is made more and more rarely", async () => {
    const { host, judge } = hostOf();
    host.verdict = silent;
    const waits: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const { againMs = 0 } = await judge();
      waits.push((againMs - host.nowMs) / MINUTE);
      host.nowMs = againMs;
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 480, 480]);
    expect(host.proofs).toBe(7);
  });

  test("is made again where the clock was set back, or the memory is of an older form, and not without a kernel", async () => {
    const { host, judge } = hostOf();
    host.verdict = silent;
    const first = await judge();
    host.nowMs -= 24 * 60 * MINUTE;
    host.kernel = null;
    expect(await judge()).toEqual(first);
    host.kernel = "/k";
    await judge();
    expect(host.proofs).toBe(2);
    const older = { key: "boot-1 /q 7.2", value: { isProved: false, reason: "it said nothing" } };
    await writeFile(join(cacheDir, "proof.json"), JSON.stringify(older));
    await judge();
    expect(host.proofs).toBe(3);
  });
});

test("silence, a pause, a deadline and what is held or short may pass; an instruction that cannot be run does not", () => {
  const ended = (stderr: string) => ({ stdout: "", stderr, exitCode: 1 });
  const passing = [
    "silent",
    "paused",
    "timeout",
    ended("Error: Kvm: Device or resource busy (os error 16)"),
    ended("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
  ] as const;
  const lasting = ["gave up", ended("qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69")] as const;
  for (const decide of [decideFirecracker, decideQemu]) {
    expect(passing.map((run) => decide(run).isPassing)).toEqual([true, true, true, true, true]);
    expect(lasting.map((run) => decide(run).isPassing)).toEqual([false, false]);
  }
});
