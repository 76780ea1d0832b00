// What a VM is: the stored, versioned spec, what is known while it runs, and the object people see.
import { z } from "zod";
import { Labels, Mac, VmId, VmName } from "./names.ts";
import { Forward, ForwardRow, VmPort } from "./ports.ts";

/** The one list of VMMs, the preferred first; everything else that knows one by name lives in vmm/, bundle/ and doctor/. */
export const VmmName = z.enum(["firecracker", "qemu"]);
export type VmmName = z.infer<typeof VmmName>;

export const NetworkMode = z.enum(["bridge", "namespace"]);
export type NetworkMode = z.infer<typeof NetworkMode>;

/** Where a VM's kernel comes from: the bundle's, which is banger's own, or the one that belongs to its image. */
export const KernelChoice = z.enum(["banger", "image"]);
export type KernelChoice = z.infer<typeof KernelChoice>;

export const VmState = z.enum([
  "creating",
  "stopped",
  "starting",
  "running",
  "stopping",
  "deleting",
  "paused",
  "suspended",
  "error",
]);
export type VmState = z.infer<typeof VmState>;

/** Why a VM's last run ended, as the shim or the guest told it. */
export const EndCause = z.enum([
  "poweroff",
  "reboot",
  "reboot_loop",
  "halt",
  "panic",
  "killed",
  "crashed",
  "stopped",
  "host_reboot",
  "unknown",
]);
export type EndCause = z.infer<typeof EndCause>;

/** Who the guest's user is; by default the host's user. Root has uid 0 and home /root. */
export const GuestUser = z.object({
  name: z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/),
  uid: z.number().int().min(0).max(4294967294),
  gid: z.number().int().min(0).max(4294967294),
  home: z.string().regex(/^\/[^:\p{Cc}]*$/u),
  shell: z.string().regex(/^\/[^:\p{Cc}]*$/u),
});
export type GuestUser = z.infer<typeof GuestUser>;

export const VmDisk = z.object({
  id: z
    .string()
    .regex(/^[A-Za-z0-9_]{1,16}$/)
    .describe("the drive's id"),
  role: z.enum(["root", "data"]),
  sizeMiB: z.number().int().positive().describe("size the guest sees, MiB"),
});

export const VmNetwork = z.object({
  mode: NetworkMode,
  slot: z.number().int().min(2).max(254).describe("place in the instance's subnet: the last octet of the address"),
  mac: Mac,
});

/** The stored document; `version` lets a newer banger read every older one. */
export const VmSpec = z.object({
  version: z.literal(1),
  name: VmName,
  imageId: z.string(),
  imageName: z.string(),
  kernelId: z.string().describe("hash of the kernel object that the VM pins"),
  vmm: VmmName,
  vcpus: z.number().int().min(1).max(32),
  memoryMiB: z.number().int().positive(),
  disks: z.array(VmDisk).min(1),
  mounts: z.array(z.object({ tag: z.string(), hostPath: z.string(), guestPath: z.string(), readOnly: z.boolean() })),
  networks: z.array(VmNetwork).min(1),
  user: GuestUser,
  hostname: z.string(),
  authorizedKeys: z.array(z.string()),
  machineId: z.string().regex(/^[0-9a-f]{32}$/),
  labels: Labels,
  hasUserData: z.boolean(),
  hasWildcardName: z.boolean().default(false).describe("every name below the VM's own leads to it too"),
  forwards: z.array(Forward).default([]).describe("ports of this host that lead to it whenever it runs"),
});
export type VmSpec = z.infer<typeof VmSpec>;

/** What proves that a process is the one we started: pid alone proves nothing (FACTS §6.2). */
export const ProcessProof = z.object({
  pid: z.number().int().positive(),
  startTicks: z.number().int().nonnegative().describe("/proc/PID/stat field 22"),
  bootId: z.string().describe("/proc/sys/kernel/random/boot_id"),
});
export type ProcessProof = z.infer<typeof ProcessProof>;

export const Failure = z.object({ code: z.string(), message: z.string(), fix: z.string().nullable(), at: z.string() });
export type Failure = z.infer<typeof Failure>;

/** What is known beside the spec; it changes without the user's doing. */
export const VmRuntime = z.object({
  version: z.literal(1),
  startedAt: z.string().nullable(),
  process: ProcessProof.nullable(),
  accelerator: z.enum(["kvm", "tcg"]).nullable(),
  /** Why this VMM was taken, as it was said when it last was; records of older versions lack it. */
  vmmReason: z.string().nullable().default(null),
  /** Whose rights its VMM has, as it was said at its start. */
  privilege: z.string().nullable().default(null),
  lastEnd: z.object({ cause: EndCause, at: z.string() }).nullable(),
  lastError: Failure.nullable(),
  pendingRestart: z.boolean(),
});
export type VmRuntime = z.infer<typeof VmRuntime>;

export const emptyRuntime: VmRuntime = {
  version: 1,
  startedAt: null,
  process: null,
  accelerator: null,
  vmmReason: null,
  privilege: null,
  lastEnd: null,
  lastError: null,
  pendingRestart: false,
};

/** A row of the table `vms`. */
export type VmRecord = { id: string; state: VmState; spec: VmSpec; runtime: VmRuntime; createdAt: string };

export const Address = z.object({
  address: z.string(),
  family: z.enum(["ipv4", "ipv6"]),
  side: z.enum(["guest", "host"]).describe("guest: what the VM itself has; host: what people here reach it by"),
});
export type Address = z.infer<typeof Address>;

/** How far a guest's real-time clock is from the host's. */
export const ClockReading = z.object({
  skewMs: z.number().describe("the guest's clock minus the host's, milliseconds"),
  measuredAt: z.string(),
  correctedAt: z.string().nullable().describe("when banger set it last in this run of the VM"),
});
export type ClockReading = z.infer<typeof ClockReading>;

/** The VM object of `vm show --json` and of every RPC; JSON only ever gains fields. */
export const Vm = z.object({
  id: VmId,
  name: VmName,
  state: VmState,
  vmm: VmmName,
  vmmReason: z.string().describe("why this VMM runs it"),
  privilege: z.string().nullable().describe("whose rights its VMM has; null before its first start"),
  accelerator: z.enum(["kvm", "tcg"]).nullable(),
  image: z.string(),
  kernel: z.string().describe("id of the kernel object"),
  kernelRelease: z.string().describe("what uname -r says in it; banger's own ends in -banger"),
  user: z.string(),
  vcpus: z.number().int(),
  memoryMiB: z.number().int(),
  diskMiB: z.number().int().describe("size of the root disk, MiB"),
  diskUsedMiB: z.number().int().nullable().describe("what the root disk really occupies on this host, MiB"),
  network: NetworkMode,
  addresses: z.array(Address),
  ports: z.array(VmPort).describe("what listens in the guest; none while it does not run"),
  forwards: z.array(ForwardRow).describe("ports of this host that lead to it"),
  hostname: z.string(),
  fqdn: z.string(),
  isFoundByName: z.boolean().describe("programs of this host find it by its fqdn: banger dns setup was done"),
  dnsWildcard: z.boolean().describe("every name below the fqdn leads to the VM too"),
  labels: Labels,
  createdAt: z.string(),
  startedAt: z.string().nullable(),
  pid: z.number().int().nullable(),
  lastEnd: z.object({ cause: EndCause, at: z.string() }).nullable(),
  lastError: Failure.nullable(),
  pendingRestart: z.boolean(),
  clock: ClockReading.nullable().describe("null while it does not run, or before it was measured"),
});
export type Vm = z.infer<typeof Vm>;
