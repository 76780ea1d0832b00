// Decides whether Firecracker runs guests on this host: it is found, and a tiny guest was booted on it.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { describeUnknown, hasCode } from "../../spec/errors.ts";
import { PROOF_LINE, renderProofInitramfs } from "../boot-proof.ts";
import type { ProbeOptions, VmmBinary, VmmProbe } from "../driver.ts";
import { findKvmObstacle } from "../kvm-device.ts";
import { memoryOf } from "../remembered.ts";
import type { FullVmConfiguration } from "./api/schemas.ts";
import { examineFirecracker, findFirecracker, identityOf, searchPlaces } from "./binary.ts";
import { nameExitCode } from "./exit-codes.ts";
import { seccompArguments } from "./launch.ts";

/** A guest on KVM needs a second; one on a KVM that is itself emulated has been seen to need eight. */
const PROOF_TIMEOUT_MS = 20_000;
/** A kernel says its version long before that. One that has said nothing by now will not: a KVM that cannot run it hangs at once. */
const SILENCE_TIMEOUT_MS = 8000;
const PROOF_MEMORY_MIB = 256;

/** The machine that proves KVM: a kernel that VMs here use, and an initramfs that speaks and reboots. Pure. */
export const renderProofConfiguration = (files: { kernel: string; initramfs: string }): FullVmConfiguration => ({
  "machine-config": { vcpu_count: 1, mem_size_mib: PROOF_MEMORY_MIB },
  "boot-source": {
    kernel_image_path: files.kernel,
    initrd_path: files.initramfs,
    boot_args:
      "console=ttyS0 earlyprintk=ttyS0 loglevel=6 panic=-1 reboot=k rdinit=/init i8042.noaux i8042.nomux i8042.dumbkbd random.trust_cpu=on",
  },
  drives: [],
});

export type Verdict = { isProved: boolean; reason: string };

const isVerdict = (value: unknown): value is Verdict =>
  typeof value === "object" &&
  value !== null &&
  "isProved" in value &&
  typeof value.isProved === "boolean" &&
  "reason" in value &&
  typeof value.reason === "string";

/** The line that tells most of what Firecracker printed besides the guest's console. */
const complaintOf = (output: string): string =>
  output
    .split("\n")
    .map((line) => line.trim())
    .find((line) => /\berror\b/i.test(line)) ?? "";

/** How a run of the proof went. */
export type ProofRun = { stdout: string; stderr: string; exitCode: number } | "silent" | "timeout";

/** What a run of the proof means. Pure. */
export const decideProof = (result: ProofRun): Verdict => {
  if (result === "silent" || result === "timeout") {
    const what =
      result === "silent"
        ? `said nothing in ${SILENCE_TIMEOUT_MS / 1000} s`
        : `did not get to user mode in ${PROOF_TIMEOUT_MS / 1000} s`;
    return { isProved: false, reason: `/dev/kvm is there, but a kernel started on it ${what}` };
  }
  const { stdout, stderr, exitCode } = result;
  if (stdout.includes(PROOF_LINE)) return { isProved: true, reason: "a guest was booted on KVM to prove it" };
  const name = nameExitCode(exitCode);
  const ended = `it ended with exit code ${exitCode}${name ? ` (${name})` : ""}`;
  return {
    isProved: false,
    reason: `/dev/kvm is there, but no guest boots on it: ${complaintOf(stderr) || complaintOf(stdout) || ended}`,
  };
};

type ProofOptions = Pick<ProbeOptions, "cacheDir" | "processes" | "signal"> & { kernel: string };

/** Runs it to its end, its deadline, or until it has been silent for too long. */
const runProof = async (argv: readonly string[], options: ProofOptions): Promise<ProofRun> => {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT_MS);
  try {
    return await options.processes.runCommand({
      argv,
      timeoutMs: PROOF_TIMEOUT_MS,
      signal: AbortSignal.any([options.signal, silence.signal]),
      keepBytes: 65_536,
      onLine: () => clearTimeout(timer),
    });
  } catch (error) {
    options.signal.throwIfAborted();
    if (silence.signal.aborted) return "silent";
    if (hasCode(error, "operation.timeout")) return "timeout";
    throw error;
  } finally {
    clearTimeout(timer);
  }
};

/** Boots `kernel` itself: anything simpler would be believed too easily, since some KVMs run the first part of a kernel and nothing after that. */
export const proveFirecracker = async (binary: VmmBinary, options: ProofOptions): Promise<Verdict> => {
  await mkdir(options.cacheDir, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(`${options.cacheDir}/proof-`);
  try {
    const files = { kernel: options.kernel, initramfs: `${directory}/initramfs` };
    await writeFile(files.initramfs, renderProofInitramfs());
    const file = `${directory}/firecracker.json`;
    await writeFile(file, JSON.stringify(renderProofConfiguration(files)));
    const argv = [binary.path, "--no-api", "--config-file", file, "--id", "proof", "--level", "Error"];
    return decideProof(await runProof([...argv, ...seccompArguments(binary)], options));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

const judgeKvm = async (binary: VmmBinary, options: ProbeOptions): Promise<Verdict> => {
  const obstacle = await findKvmObstacle();
  if (obstacle) return { isProved: false, reason: obstacle };
  const key = `${options.bootId} ${await identityOf(binary.path)}`;
  const memory = memoryOf({ cacheDir: options.cacheDir, name: "firecracker-proof", key, isValue: isVerdict });
  const known = await memory.recall();
  if (known) return known;
  const { kernel } = options;
  if (!kernel) return { isProved: false, reason: "there is no kernel yet to prove KVM with" };
  const verdict = await proveFirecracker(binary, { ...options, kernel });
  await memory.keep(verdict);
  return verdict;
};

/** As `VmmDriver.probe`. */
export const probeFirecracker = async (options: ProbeOptions): Promise<VmmProbe> => {
  if (process.arch !== "x64")
    return { ok: false, reason: `this driver is for x86-64, this is ${process.arch}`, package: null };
  const found = await findFirecracker(searchPlaces(process.env));
  if ("reason" in found) return { ok: false, reason: found.reason, package: null };
  const binary = await examineFirecracker(found.path, options);
  if ("reason" in binary) return { ok: false, reason: binary.reason, package: null };
  const verdict = await judgeKvm(binary, options).catch((error: unknown): Verdict => {
    options.signal.throwIfAborted();
    return { isProved: false, reason: `KVM could not be tried: ${describeUnknown(error)}` };
  });
  const name = `Firecracker ${binary.version}`;
  return verdict.isProved
    ? { ok: true, binary, accelerator: "kvm", reason: `${name} with KVM: ${verdict.reason}` }
    : { ok: false, reason: `${name} at ${binary.path} needs KVM: ${verdict.reason}`, package: null };
};
