// Decides whether Firecracker runs guests on this host: it is found, and a tiny guest was booted on it.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { describeUnknown } from "../../spec/errors.ts";
import { judgeStall, PROOF_LINE, type ProofRun, renderProofInitramfs, runProof } from "../boot-proof.ts";
import type { ProbeOptions, VmmBinary, VmmProbe } from "../driver.ts";
import { type Belief, isPassingComplaint, judgeKvm, type Verdict } from "../kvm-verdict.ts";
import type { FullVmConfiguration } from "./api/schemas.ts";
import { examineFirecracker, findFirecracker, identityOf, searchPlaces } from "./binary.ts";
import { nameExitCode } from "./exit-codes.ts";
import { seccompArguments } from "./launch.ts";

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

/** The line that tells most of what Firecracker printed besides the guest's console. */
const complaintOf = (output: string): string =>
  output
    .split("\n")
    .map((line) => line.trim())
    .find((line) => /\berror\b/i.test(line)) ?? "";

/** What a run of the proof means. Pure. */
export const decideProof = (result: ProofRun): Verdict => {
  if (typeof result === "string") return judgeStall(result);
  const { stdout, stderr, exitCode } = result;
  if (stdout.includes(PROOF_LINE)) return { isProved: true, reason: "a guest was booted on KVM to prove it" };
  const name = nameExitCode(exitCode);
  const ended = `it ended with exit code ${exitCode}${name ? ` (${name})` : ""}`;
  return {
    isProved: false,
    reason: `/dev/kvm is there, but no guest boots on it: ${complaintOf(stderr) || complaintOf(stdout) || ended}`,
    isPassing: isPassingComplaint(stderr) || isPassingComplaint(complaintOf(stdout)),
  };
};

type ProofOptions = Pick<ProbeOptions, "cacheDir" | "processes" | "signal"> & { kernel: string };

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

/** As `VmmDriver.probe`. */
export const probeFirecracker = async (options: ProbeOptions): Promise<VmmProbe> => {
  if (process.arch !== "x64")
    return { ok: false, reason: `this driver is for x86-64, this is ${process.arch}`, package: null };
  // BANGER_FIRECRACKER means this one or none; then the bundle's, which was verified, and then what else is installed.
  const places = searchPlaces(process.env);
  const bundled = places.named === undefined ? ((await options.program?.("firecracker")) ?? null) : null;
  const found = bundled ?? (await findFirecracker(places));
  if ("reason" in found) return { ok: false, reason: found.reason, package: null };
  const binary = await examineFirecracker(found.path, options);
  if ("reason" in binary) return { ok: false, reason: binary.reason, package: null };
  const judge = async () => {
    const prove = (kernel: string) => proveFirecracker(binary, { ...options, kernel });
    return judgeKvm({ ...options, name: "firecracker-proof", vmm: await identityOf(binary.path), prove });
  };
  const verdict = await judge().catch((error: unknown): Belief => {
    options.signal.throwIfAborted();
    return { isProved: false, reason: `KVM could not be tried: ${describeUnknown(error)}` };
  });
  const isOwn = bundled !== null && "isOwn" in bundled && bundled.isOwn;
  const name = `Firecracker ${binary.version}${isOwn ? " (your own, by banger bundle use)" : ""}`;
  const again = verdict.againMs === undefined ? {} : { againMs: verdict.againMs };
  return verdict.isProved
    ? { ok: true, binary, accelerator: "kvm", reason: `${name} with KVM: ${verdict.reason}` }
    : {
        ok: false,
        reason: `${name} at ${binary.path} needs KVM: ${verdict.reason}`,
        package: null,
        path: binary.path,
        ...again,
      };
};
