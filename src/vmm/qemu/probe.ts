// Finds QEMU on this host, and whether KVM really runs guests for it.
import { access, constants, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { describeUnknown } from "../../spec/errors.ts";
import { judgeStall, PROOF_LINE, type ProofRun, renderProofInitramfs, runProof } from "../boot-proof.ts";
import type { ProbeOptions, VmmBinary, VmmProbe } from "../driver.ts";
import { type Belief, isPassingComplaint, judgeKvm, type Verdict } from "../kvm-verdict.ts";
import { machineArguments } from "./launch.ts";

const PACKAGE = "qemu-system-x86";
/** Never PATH: what the daemon runs does not depend on who started it. */
const BINARIES = ["/usr/local/bin/qemu-system-x86_64", "/usr/bin/qemu-system-x86_64"];
const FIRMWARE_DIRS = ["/usr/local/share/qemu", "/usr/share/qemu", "/usr/share/qboot"];
/** microvm has ACPI since 5.2, and with it a power button. */
const OLDEST = [5, 2] as const;
const VERSION_TIMEOUT_MS = 5000;
const PROOF_MEMORY_MIB = 256;

/** The version in what `qemu-system-x86_64 --version` prints; null when it is something else. */
export const parseQemuVersion = (output: string): string | null =>
  /^QEMU emulator version (\d+\.\d+(?:\.\d+)?)/.exec(output)?.[1] ?? null;

export const isOldQemu = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
};

const isReadable = (path: string) =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );

const firstReadable = async (paths: readonly string[]): Promise<string | null> => {
  for (const path of paths) if (await isReadable(path)) return path;
  return null;
};

const findQemu = async (options: ProbeOptions): Promise<VmmBinary | { reason: string }> => {
  const path = await firstReadable(BINARIES);
  if (!path) return { reason: `qemu-system-x86_64 is not installed (looked for ${BINARIES.join(" and ")})` };
  const { processes, signal } = options;
  const result = await processes
    .runCommand({ argv: [path, "--version"], timeoutMs: VERSION_TIMEOUT_MS, signal, package: PACKAGE })
    .catch((error: unknown) => ({ stdout: "", stderr: describeUnknown(error), exitCode: -1 }));
  signal.throwIfAborted();
  const version = parseQemuVersion(result.stdout);
  if (!version) return { reason: `${path} --version failed: ${lastLine(result.stderr) || "it printed no version"}` };
  if (isOldQemu(version))
    return { reason: `QEMU ${version} is too old: ${OLDEST.join(".")} is the first that will do` };
  const firmware = await firstReadable(FIRMWARE_DIRS.map((directory) => `${directory}/qboot.rom`));
  return { path, version, firmwareDir: firmware ? firmware.slice(0, firmware.lastIndexOf("/")) : null };
};

const lastLine = (text: string): string => text.trim().split("\n").at(-1) ?? "";

/** The line that tells most of what QEMU printed: the first error, without its own name. */
const complaintOf = (stderr: string): string => {
  const lines = stderr.trim().split("\n");
  const line = lines.find((text) => /\berror\b/i.test(text)) ?? lines.find((text) => !/\bwarning\b/i.test(text)) ?? "";
  return line.replace(/^qemu-system-x86_64: (error: )?/, "");
};

/** The arguments that boot the proof on KVM, as a VM would be booted. Pure. */
export const renderProofArgv = (binary: VmmBinary, files: { kernel: string; initramfs: string }): string[] => [
  binary.path,
  ...machineArguments({ binary, accelerator: "kvm", tscKhz: null, vcpus: 1, memoryMiB: PROOF_MEMORY_MIB }),
  ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
  ...["-kernel", files.kernel, "-initrd", files.initramfs],
  ...["-append", "console=ttyS0 earlyprintk=ttyS0 loglevel=6 panic=-1 reboot=t rdinit=/init"],
  ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
];

/** What a run of the proof means. Pure. */
export const decideProof = (result: ProofRun): Verdict => {
  if (typeof result === "string") return judgeStall(result);
  if (result.stdout.includes(PROOF_LINE)) return { isProved: true, reason: "a guest was booted on KVM to prove it" };
  const detail = complaintOf(result.stderr) || `it ended with exit code ${result.exitCode}`;
  const reason = `/dev/kvm is there, but no guest boots on it: ${detail}`;
  return { isProved: false, reason, isPassing: isPassingComplaint(result.stderr) };
};

/**
 * Boots `kernel` itself: firmware, long mode, APIC timer, user mode and a reboot all have to work. Anything simpler would be
 * believed too easily: some KVMs run real mode, and with it BIOS and the first part of a kernel, and nothing after that.
 */
const proveKvm = async (binary: VmmBinary, kernel: string, options: ProbeOptions): Promise<Verdict> => {
  await mkdir(options.cacheDir, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(`${options.cacheDir}/proof-`);
  try {
    const initramfs = `${directory}/initramfs`;
    await writeFile(initramfs, renderProofInitramfs());
    const argv = renderProofArgv(binary, { kernel, initramfs });
    return decideProof(await runProof(argv, options));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

/** As `VmmDriver.probe`. */
export const probeQemu = async (options: ProbeOptions): Promise<VmmProbe> => {
  if (process.arch !== "x64")
    return { ok: false, reason: `microvm is x86-64 only, this is ${process.arch}`, package: null };
  const binary = await findQemu(options);
  if ("reason" in binary) return { ok: false, reason: binary.reason, package: PACKAGE };
  const vmm = `${binary.path} ${binary.version}`;
  const prove = (kernel: string) => proveKvm(binary, kernel, options);
  const judged = judgeKvm({ ...options, name: "kvm-proof", vmm, prove });
  const verdict = await judged.catch((error: unknown): Belief => {
    options.signal.throwIfAborted();
    return { isProved: false, reason: `KVM could not be tried: ${describeUnknown(error)}` };
  });
  const again = verdict.againMs === undefined ? {} : { againMs: verdict.againMs };
  return verdict.isProved
    ? { ok: true, binary, accelerator: "kvm", reason: `QEMU ${binary.version} with KVM: ${verdict.reason}` }
    : {
        ok: true,
        binary,
        accelerator: "tcg",
        reason: `QEMU ${binary.version} with emulation (TCG), which is slow: ${verdict.reason}`,
        ...again,
      };
};
