// The plan of a start: every name, path, address and argument, chosen once by core/plan-start.ts and stored with the journal.
import { z } from "zod";
import { JailPlan } from "./host-op.ts";
import { BridgeName, InstanceId, Ipv4, Mac, Subnet, TapName, VmId, VmName } from "./names.ts";
import { GuestUser, NetworkMode, VmmName } from "./vm.ts";

/** How the VMM is to be started, as rendered by its driver: argv, the files to write first, the sockets to expect. */
export const LaunchPlan = z.object({
  argv: z.array(z.string()).min(1).describe("absolute path of the VMM first"),
  restartArgv: z.array(z.string()).nullable().describe("used by the shim after a guest reboot when it differs"),
  files: z.array(z.object({ path: z.string(), content: z.string() })),
  controlSocket: z.string().describe("API or monitor socket of the VMM"),
  staleSockets: z.array(z.string()).describe("unlinked before each start when nobody listens on them"),
  endOnHalt: z.boolean().describe("the VMM runs on after a guest's halt, so the shim ends it"),
  jail: JailPlan.optional().describe("what root prepares before, when the VMM runs in a jail"),
});
export type LaunchPlan = z.infer<typeof LaunchPlan>;

/** Where a guest's channel is reached on the host. */
export const ChannelAddress = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("stream-socket"), path: z.string() }),
  z.object({ kind: z.literal("vsock-uds"), path: z.string(), port: z.number().int(), cid: z.number().int() }),
]);
export type ChannelAddress = z.infer<typeof ChannelAddress>;

export const StartPlan = z.object({
  version: z.literal(1),
  vm: z.object({ id: VmId, name: VmName }),
  instance: InstanceId,
  vmm: VmmName,
  accelerator: z.enum(["kvm", "tcg"]),
  network: z.object({
    mode: NetworkMode,
    bridge: BridgeName,
    subnet: Subnet,
    gateway: Ipv4,
    tap: TapName,
    ownerUid: z.number().int(),
    mac: Mac,
    address: Ipv4,
    /** Address of this host that stands for the guest, where its own leads nowhere; plans of older versions lack it. */
    loopback: Ipv4.nullable().default(null),
  }),
  paths: z.object({
    runtimeDir: z.string(),
    stateDir: z.string(),
    disk: z.string(),
    document: z.string(),
    shimPlan: z.string(),
    shimControl: z.string(),
    shimLock: z.string(),
    shimStatus: z.string(),
    console: z.string(),
    vmmLog: z.string(),
  }),
  guest: z.object({
    hostname: z.string(),
    fqdn: z.string(),
    hasWildcardName: z.boolean().default(false),
    searchDomain: z.string(),
    user: GuestUser,
    timezone: z.string().nullable(),
    locale: z.string().nullable(),
    proxy: z.record(z.string(), z.string()),
    caCertificates: z.array(z.string()).describe("paths of PEM files of the host's administrator"),
    authorizedKeys: z.array(z.string()),
    machineId: z.string(),
    mtu: z.number().int(),
    hostKeyPath: z.string(),
    userDataPath: z.string().nullable(),
  }),
  channel: ChannelAddress,
  launch: LaunchPlan,
  shimPath: z.string(),
  timeouts: z.object({
    readyMs: z.number(),
    askMs: z.number(),
    buttonMs: z.number(),
    termMs: z.number(),
    killMs: z.number(),
  }),
});
export type StartPlan = z.infer<typeof StartPlan>;

/** The plan of a creation: what `vm create` will own. */
export const CreatePlan = z.object({
  version: z.literal(1),
  vm: z.object({ id: VmId, name: VmName }),
  dataDir: z.string(),
  stateDir: z.string(),
  disk: z.object({ path: z.string(), imagePath: z.string(), sizeMiB: z.number().int() }),
  hostKeyPath: z.string(),
  knownHostsPath: z.string(),
});
export type CreatePlan = z.infer<typeof CreatePlan>;
