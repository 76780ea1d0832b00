// Where Firecracker is looked for, what is found out about the file, and what a run of the proof means.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { DoctorPorts } from "../../src/doctor/facts.ts";
import { gatherSystem } from "../../src/doctor/gather-system.ts";
import { runCommand } from "../../src/host/command.ts";
import { PROOF_LINE } from "../../src/vmm/boot-proof.ts";
import type { VmmProbe } from "../../src/vmm/driver.ts";
import {
  examineFirecracker,
  findFirecracker,
  isStaticElf,
  parseFirecrackerVersion,
  type SearchPlaces,
  searchPlaces,
} from "../../src/vmm/firecracker/binary.ts";
import {
  decideProof,
  probeFirecracker,
  proveFirecracker,
  renderProofConfiguration,
} from "../../src/vmm/firecracker/probe.ts";
import { chooseDriver, driverOrder } from "../../src/vmm/index.ts";
import { findKvmObstacle } from "../../src/vmm/kvm-device.ts";
import { FAKE_KERNEL } from "../fakes/fake-firecracker-driver.ts";

const fake = join(import.meta.dir, "../fakes/fake-firecracker.ts");
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bgr-probe-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const signal = AbortSignal.timeout(60_000);
/** A program at `name` that is the fake Firecracker, told to misbehave. */
const program = async (name: string, fakes = ""): Promise<string> => {
  const path = join(directory, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\nexec ${process.execPath} ${fake} --fake=${fakes} "$@"\n`);
  await chmod(path, 0o755);
  return path;
};
const places = (changes: Partial<SearchPlaces> = {}): SearchPlaces => ({
  named: undefined,
  files: [],
  bundles: [],
  installed: [],
  ...changes,
});

describe("Firecracker is looked for", () => {
  test("by its variable, the runtime directory, the checkout, the bundles and the system, in this order", () => {
    const found = searchPlaces(
      { BANGER_FIRECRACKER: "/x/fc", BANGER_RUNTIME_DIR: "/rt", XDG_CACHE_HOME: "/c", XDG_DATA_HOME: "relative" },
      "/home/ada",
    );
    const checkout = join(import.meta.dir, "../..");
    expect(found).toEqual({
      named: "/x/fc",
      files: ["/rt/bin/firecracker", `${checkout}/runtime/bin/firecracker`, `${checkout}/runtime/firecracker`],
      bundles: ["/c/banger/bundle", "/home/ada/.local/share/banger/bundle"],
      installed: ["/usr/local/bin/firecracker", "/usr/bin/firecracker"],
    });
  });

  test("where its variable says, and nowhere else when that is wrong", async () => {
    const installed = [await program("installed/firecracker")];
    const named = await program("mine");
    expect(await findFirecracker(places({ named, installed }))).toEqual({ path: named });
    for (const wrong of [join(directory, "nothing"), directory, "mine"]) {
      expect(await findFirecracker(places({ named: wrong, installed }))).toEqual({
        reason: expect.stringContaining(`BANGER_FIRECRACKER names ${wrong}`),
      });
    }
  });

  test("in bundles below any directory, the newest first, as archives name it, and never its debug file", async () => {
    const bundle = join(directory, "bundle");
    await program("bundle/1.9.1/release-v1.9.1-x86_64/firecracker-v1.9.1-x86_64");
    const newest = await program("bundle/1.17.0/release-v1.17.0-x86_64/firecracker-v1.17.0-x86_64");
    await program("bundle/1.17.0/release-v1.17.0-x86_64/firecracker-v1.17.0-x86_64.debug");
    expect(await findFirecracker(places({ bundles: ["/nonexistent", bundle] }))).toEqual({ path: newest });
  });

  test("among files that may be run", async () => {
    const path = await program("bin/firecracker");
    await chmod(path, 0o644);
    const found = await findFirecracker(places({ files: [path] }));
    expect("reason" in found && found.reason).toContain("there is no firecracker here");
  });
});

describe("a file that is found", () => {
  const processes = { runCommand };

  test("is asked for its version once, and again when another takes its place", async () => {
    const path = await program("firecracker");
    let asked = 0;
    const counted = {
      runCommand: (request: Parameters<typeof runCommand>[0]) => {
        asked += 1;
        return runCommand(request);
      },
    };
    const examine = () => examineFirecracker(path, { cacheDir: directory, processes: counted, signal });
    const known = { path, version: "1.17.0", firmwareDir: null, isStatic: true };
    expect(await examine()).toEqual(known);
    expect(await examine()).toEqual(known);
    expect(asked).toBe(1);
    await program("firecracker", "no-helper");
    await examine();
    expect(asked).toBe(2);
  });

  test("that is no Firecracker is refused with what it said", async () => {
    const path = join(directory, "firecracker");
    await writeFile(path, "#!/bin/sh\necho 'cannot execute' >&2\nexit 1\n");
    await chmod(path, 0o755);
    expect(await examineFirecracker(path, { cacheDir: directory, processes, signal })).toEqual({
      reason: `${path} --version failed: cannot execute`,
    });
  });

  test("says its version in these words only", () => {
    expect(parseFirecrackerVersion("Firecracker v1.17.0\n\n")).toBe("1.17.0");
    expect(parseFirecrackerVersion("Firecracker v1.17.0-dev\nSupported snapshot data format versions")).toBe(
      "1.17.0-dev",
    );
    for (const text of ["", "firectl v1.0.0", "Firecracker vNext"]) expect(parseFirecrackerVersion(text)).toBeNull();
  });

  test("is static when nothing has to load it", async () => {
    const head = async (path: string) => new Uint8Array(await Bun.file(path).slice(0, 4096).arrayBuffer());
    expect(isStaticElf(await head(process.execPath))).toBe(false);
    const source = join(directory, "true.c");
    await writeFile(source, "int main(void) { return 0; }\n");
    const out = join(directory, "true");
    const cc = Bun.which("musl-gcc") ?? Bun.which("cc");
    if (!cc) throw new Error("there is no C compiler");
    const { exitCode } = await runCommand({ argv: [cc, "-static", "-o", out, source], timeoutMs: 20_000 });
    expect(exitCode).toBe(0);
    expect(isStaticElf(await head(out))).toBe(true);
    expect(isStaticElf(new Uint8Array(10))).toBeNull();
    expect(isStaticElf(Buffer.from("#!/bin/sh\n".repeat(20)))).toBeNull();
  });
});

describe("the proof of KVM with Firecracker", () => {
  test("boots the kernel that VMs use, into an initramfs that speaks and reboots", () => {
    expect(renderProofConfiguration({ kernel: "/k", initramfs: "/i" })).toMatchSnapshot();
  });

  test("runs as one command that leaves nothing behind", async () => {
    const binary = { path: await program("firecracker"), version: "1.17.0", firmwareDir: null, isStatic: true };
    const cacheDir = join(directory, "cache");
    const prove = (kernel: string) => proveFirecracker(binary, { cacheDir, processes: { runCommand }, kernel, signal });
    expect(await prove(FAKE_KERNEL)).toEqual({ isProved: true, reason: "a guest was booted on KVM to prove it" });
    const failed = await prove("/nonexistent/vmlinux");
    expect(failed.isProved).toBe(false);
    expect(failed.reason).toContain("The kernel file cannot be opened");
    expect(await readdir(cacheDir)).toEqual([]);
  });

  test("counts only what a guest said in user mode, and names exit codes", () => {
    const ended = (stdout: string, stderr = "", exitCode = 0) => decideProof({ stdout, stderr, exitCode });
    expect(ended(`noise\r\n${PROOF_LINE}\r\n`).isProved).toBe(true);
    expect(ended("Linux version 6.18\r\n").isProved).toBe(false);
    expect(ended("", "", 148).reason).toContain("148 (a system call that its seccomp filter forbids)");
    expect(ended("", "Error: Kvm: permission denied\nmore", 1).reason).toEndWith(": Error: Kvm: permission denied");
    expect(decideProof("silent").reason).toContain("said nothing in 12 s");
    expect(decideProof("timeout").reason).toContain("did not get to user mode in 90 s");
  });

  test("names the program that it was for, blanks and all, so that doctor can say whose it is", async () => {
    const path = await program("my own VMM/firecracker");
    const { BANGER_FIRECRACKER: before } = process.env;
    process.env.BANGER_FIRECRACKER = path;
    try {
      const options = { cacheDir: directory, bootId: "b", processes: { runCommand }, kernel: null, signal };
      const probe = await probeFirecracker(options);
      const hashed: string[] = [];
      const ports = {
        probe: async () => probe,
        hashFile: async (file: string) => hashed.push(file) && "0123",
        originOf: async () => "unknown",
      } as unknown as DoctorPorts;
      expect(await gatherSystem.firecracker(ports)).toMatchObject({ probe: { ok: false }, path, sha256: "0123" });
      expect(hashed).toEqual([path]);
    } finally {
      if (before === undefined) delete process.env.BANGER_FIRECRACKER;
      else process.env.BANGER_FIRECRACKER = before;
    }
  });

  test("is not tried where there is no device, or none that may be opened", async () => {
    expect(await findKvmObstacle(join(directory, "kvm"))).toContain("this host has no ");
    expect(await findKvmObstacle("/dev/null")).toBeNull();
    expect(await findKvmObstacle("/dev/null/kvm")).toContain("may not open");
  });
});

describe("the choice among VMMs", () => {
  const binary = { path: "/x", version: "1", firmwareDir: null };
  const works = (accelerator: "kvm" | "tcg", reason: string): VmmProbe => ({ ok: true, binary, accelerator, reason });
  const fails: VmmProbe = { ok: false, reason: "there is none here", package: null };

  test("considers Firecracker first, and takes it where KVM serves it", () => {
    expect(driverOrder[0]).toBe("firecracker");
    const probes = { firecracker: works("kvm", "proved"), qemu: works("kvm", "proved too") };
    expect(chooseDriver("auto", probes)).toMatchObject({ vmm: "firecracker", reason: "proved" });
  });

  test("takes QEMU where Firecracker does not work, with KVM or without", () => {
    for (const accelerator of ["kvm", "tcg"] as const) {
      const choice = chooseDriver("auto", { firecracker: fails, qemu: works(accelerator, "works") });
      expect(choice).toMatchObject({ ok: true, vmm: "qemu", accelerator });
    }
  });

  test("gives a VM the VMM that it names, or none", () => {
    const probes = { firecracker: fails, qemu: works("kvm", "works") };
    expect(chooseDriver("firecracker", probes)).toEqual({
      ok: false,
      vmm: "firecracker",
      reason: "firecracker: there is none here",
      packages: [],
    });
    expect(chooseDriver("qemu", { qemu: works("tcg", "slow") })).toMatchObject({ vmm: "qemu", accelerator: "tcg" });
  });
});
