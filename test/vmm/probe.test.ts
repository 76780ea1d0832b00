// What is found out about VMMs on a host, how it is remembered, and which VMM is chosen.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../../src/host/command.ts";
import type { CommandRequest, CommandResult } from "../../src/host/host.ts";
import { fail } from "../../src/spec/errors.ts";
import { PROOF_LINE, renderProofInitramfs, runProof } from "../../src/vmm/boot-proof.ts";
import { chooseDriver } from "../../src/vmm/index.ts";
import { decideProof, isOldQemu, parseQemuVersion, renderProofArgv } from "../../src/vmm/qemu/probe.ts";
import { memoryOf } from "../../src/vmm/remembered.ts";
import { createTscMeter, measureTscKhz, parseTscKhz } from "../../src/vmm/tsc.ts";
import { builtNative, runTool } from "../native.ts";

let cacheDir: string;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "bgr-probe-"));
});
afterEach(() => rm(cacheDir, { recursive: true, force: true }));

const never = new AbortController().signal;
const really = async ({ argv }: CommandRequest): Promise<CommandResult> => {
  const child = Bun.spawn([...argv], { stdio: ["ignore", "pipe", "pipe"] });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { stdout, stderr, exitCode: await child.exited };
};

describe("QEMU's version", () => {
  test("is read from Debian's and Ubuntu's words, and nothing else", () => {
    expect(parseQemuVersion("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright")).toBe("7.2.22");
    expect(parseQemuVersion("QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)")).toBe("8.2.2");
    expect(parseQemuVersion("qemu-img version 7.2")).toBeNull();
    expect(parseQemuVersion("")).toBeNull();
  });

  test("is too old before microvm had a power button", () => {
    expect(["4.2.1", "5.1.0"].filter(isOldQemu)).toEqual(["4.2.1", "5.1.0"]);
    expect(["5.2.0", "7.2.22", "10.0"].filter(isOldQemu)).toEqual([]);
  });
});

describe("the proof of KVM", () => {
  test("is an archive with a console and an executable init", () => {
    const archive = renderProofInitramfs();
    const listing = archive.toString("latin1");
    expect(listing.match(/070701/g)).toHaveLength(4);
    expect(listing).toContain(PROOF_LINE);
    expect(archive.length % 4).toBe(0);
    expect(archive.length).toBeLessThan(1024);
  });

  test("counts only what a guest said in user mode", () => {
    const ended = (stdout: string, stderr = "", exitCode = 0) => decideProof({ stdout, stderr, exitCode });
    expect(ended(`[ 0.1] noise\r\n${PROOF_LINE}\r\n`).isProved).toBe(true);
    expect(ended("Probing EDD (edd=off to disable)... ok\r\n").isProved).toBe(false);
    expect(ended("").reason).toContain("exit code 0");
    expect(decideProof("timeout").reason).toContain("did not get to user mode in 90 s");
  });

  test("ends when KVM gives up on the guest, which QEMU only pauses", async () => {
    const script = "echo 'Linux version 6.12'; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 600";
    const run = await runProof(["/bin/sh", "-c", script], { processes: { runCommand }, signal: never });
    expect(run).toBe("gave up");
    expect(decideProof(run).reason).toContain("met an instruction that this KVM cannot run");
  });

  test("quotes QEMU's first error, not its warnings or its name", () => {
    const stderr =
      "qemu-system-x86_64: warning: host doesn't support requested feature\n" +
      "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n" +
      "qemu-system-x86_64: kvm.c:3183: Assertion failed.\n";
    expect(decideProof({ stdout: "", stderr, exitCode: 134 }).reason).toEndWith(": failed to set MSR 0x10a to 0x69");
  });

  test("boots on KVM as a VM would", () => {
    const binary = { path: "/usr/bin/qemu-system-x86_64", version: "7.2.22", firmwareDir: "/usr/share/qemu" };
    expect(renderProofArgv(binary, { kernel: "/k", initramfs: "/i" })).toMatchSnapshot();
  });
});

describe("what was found out", () => {
  const isNumber = (value: unknown): value is number => typeof value === "number";
  const memory = (key: string) => memoryOf({ cacheDir, name: "thing", key, isValue: isNumber });

  test("is remembered for its key alone", async () => {
    await memory("boot-1").keep(7);
    expect(await memory("boot-1").recall()).toBe(7);
    expect(await memory("boot-2").recall()).toBeNull();
    expect(await readdir(cacheDir)).toEqual(["thing.json"]);
  });

  test("is measured again when its file is not what was written", async () => {
    for (const text of ["", "{", "null", "[]", '{"key":"boot-1"}', '{"key":"boot-1","value":"7"}']) {
      await writeFile(join(cacheDir, "thing.json"), text);
      expect(await memory("boot-1").recall()).toBeNull();
    }
  });
});

describe("the rate of the time stamp counter", () => {
  test("is found by the helper twice the same within 50 ppm", () => {
    const [first, second] = [runTool([builtNative("tsc")]), runTool([builtNative("tsc")])].map(parseTscKhz);
    if (!first || !second) throw new Error(`not measured: ${first} ${second}`);
    expect(Math.abs(first - second) / first).toBeLessThan(50e-6);
  });

  test("is measured once per boot of the host", async () => {
    let runs = 0;
    const processes = {
      runCommand: (request: CommandRequest) => {
        runs += 1;
        return really(request);
      },
    };
    const measure = (bootId: string) =>
      measureTscKhz({ helper: builtNative("tsc"), processes, cacheDir, bootId, signal: never });
    const first = await measure("boot-1");
    expect(first).toBeNumber();
    expect(await measure("boot-1")).toBe(first);
    expect(runs).toBe(1);
    await measure("boot-2");
    expect(runs).toBe(2);
  });

  test("is unknown, and not remembered, where the helper is missing or says that it changes", async () => {
    const failing = {
      missing: () => Promise.reject(fail("host.command_missing", { command: "banger-tsc", package: "banger" })),
      unstable: async () => ({ stdout: "", stderr: "changes its rate", exitCode: 3 }),
    };
    for (const runCommand of Object.values(failing)) {
      const options = { helper: "/x", processes: { runCommand }, cacheDir, bootId: "boot-1", signal: never };
      expect(await measureTscKhz(options)).toBeNull();
    }
    expect(await readdir(cacheDir)).toEqual([]);
  });

  test("is not asked for under KVM", async () => {
    const refuse = () => Promise.reject(new Error("asked"));
    const meter = createTscMeter({
      host: { bootId: refuse, processes: { runCommand: refuse } },
      native: { tsc: "/x" },
      cacheDir,
    });
    expect(await meter("kvm")).toBeNull();
  });

  test("is believed only as a number of kHz that a processor may have", () => {
    expect(parseTscKhz("2596120\n")).toBe(2_596_120);
    for (const text of ["", "0\n", "-5\n", "99999\n", "2596120.5\n", "2596120\nx", "99999999\n", "NaN\n"])
      expect(parseTscKhz(text)).toBeNull();
  });
});

describe("the choice of a VMM", () => {
  const binary = { path: "/q", version: "7.2", firmwareDir: null };
  test("gives the reason that the probe gave", () => {
    const qemu = { ok: true as const, binary, accelerator: "tcg" as const, reason: "emulated, because so" };
    const choice = {
      ok: true as const,
      vmm: "qemu" as const,
      accelerator: "tcg" as const,
      reason: "emulated, because so",
    };
    expect(chooseDriver("auto", { qemu })).toEqual(choice);
    expect(chooseDriver("qemu", { qemu })).toEqual(choice);
  });

  test("says why there is none, and which package would help", () => {
    const qemu = { ok: false as const, reason: "it is not installed", package: "qemu-system-x86" };
    expect(chooseDriver("auto", { qemu })).toEqual({
      ok: false,
      vmm: "auto",
      reason: "qemu: it is not installed",
      packages: ["qemu-system-x86"],
    });
  });
});
