// The closed set of operations that are done as root: whatever is not spelled here cannot be asked.
import { z } from "zod";
import { BridgeName, InstanceId, Ipv4, Mac, Subnet, TapName, VmId } from "./names.ts";

const Port = z.number().int().min(1).max(65535);

/** One guest's right to a tap: frames with another MAC or source address are dropped. */
export const NetMember = z.object({ tap: TapName, mac: Mac, address: Ipv4 });
export type NetMember = z.infer<typeof NetMember>;

/** Absolute and plain: nothing in it leads elsewhere than it reads. */
const PlainPath = z
  .string()
  .max(1000)
  .regex(/^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/, "expected an absolute path without . and ..");

/** A file of the caller's that a jailed VMM is given. `disk`: it writes there; `own`: this VM's alone; `shared`: other VMs read it too. */
export const JailedFile = z.object({
  name: z.string().regex(/^[a-z][a-z0-9]{0,15}$/),
  path: PlainPath,
  access: z.enum(["disk", "own", "shared"]),
});
export type JailedFile = z.infer<typeof JailedFile>;

const JailedWords = z.array(z.string().regex(/^[^\0]{1,200}$/)).max(16);

/** A VMM's jail: the programs, which must be root's own, and what of the caller's is seen inside. */
export const JailPlan = z.object({
  vm: VmId,
  program: PlainPath.describe("the VMM"),
  jailer: PlainPath,
  args: JailedWords.describe("what it is told besides its VM's id, with the paths inside"),
  againArgs: JailedWords.describe("… and after a reboot besides"),
  sockets: PlainPath.describe("directory of the sockets that both sides reach; `s` inside"),
  pidFile: PlainPath.describe("where the real pid of the VMM is told"),
  files: z.array(JailedFile).max(8).describe("below `f` inside"),
});
export type JailPlan = z.infer<typeof JailPlan>;

/** Each operation names its instance; the helper refuses names that do not contain it, and instances that are not its caller's. */
export const HostOp = z.discriminatedUnion("op", [
  z.object({
    op: z.literal("bridge.ensure"),
    instance: InstanceId,
    bridge: BridgeName,
    subnet: Subnet,
    gateway: Ipv4,
  }),
  z.object({ op: z.literal("bridge.delete"), instance: InstanceId, bridge: BridgeName }),
  z.object({
    op: z.literal("tap.create"),
    instance: InstanceId,
    tap: TapName,
    bridge: BridgeName,
    ownerUid: z.number().int().min(0),
  }),
  z.object({ op: z.literal("tap.delete"), instance: InstanceId, tap: TapName }),
  /** Deletes a tap and, when it was the instance's last one, bridge and tables too: what a VM's stop needs, in one request. */
  z.object({ op: z.literal("net.release"), instance: InstanceId, bridge: BridgeName, tap: TapName }),
  z.object({
    op: z.literal("nft.apply"),
    instance: InstanceId,
    bridge: BridgeName,
    subnet: Subnet,
    gateway: Ipv4,
    /** Where the daemon's resolver for guests listens on the gateway address; port 53 is redirected there. Null: no resolver. */
    resolverPort: Port.nullable(),
    /** Nobody: as long as there are taps nothing passes them, and without taps the tables go. */
    members: z.array(NetMember).max(253),
    /** Addresses and networks that guests must not reach although the way out leads there. */
    closed: z
      .array(z.union([z.ipv4(), z.cidrv4()]))
      .max(512)
      .optional(),
  }),
  z.object({ op: z.literal("nft.delete"), instance: InstanceId }),
  z.object({ op: z.literal("sysctl.forward"), instance: InstanceId }),
  /** Writes down what `banger-jail` may run for this VM, and opens its files to the user that the VMM will be. */
  z.object({ op: z.literal("jail.prepare"), instance: InstanceId, ...JailPlan.shape }),
  /** Ends what still runs in the jail, takes its rights away, and forgets it. */
  z.object({ op: z.literal("jail.remove"), instance: InstanceId, vm: VmId }),
  z.object({ op: z.literal("net.list"), instance: InstanceId }),
]);
export type HostOp = z.infer<typeof HostOp>;
export type HostOpName = HostOp["op"];

/** What of ours exists on the host's network; the answer of `net.list`. */
export const NetInventory = z.object({
  bridges: z.array(z.string()),
  taps: z.array(z.string()),
  tables: z.array(z.string()).describe("nftables tables as `family name`"),
  jails: z.array(VmId).default([]).describe("VMs whose jail is prepared"),
});
export type NetInventory = z.infer<typeof NetInventory>;

/** Request and answer lines between bangerd and banger-root (NDJSON over a pipe). */
export const RootRequest = z.object({ id: z.number().int(), requestedBy: z.string().max(200), op: HostOp });
export type RootRequest = z.infer<typeof RootRequest>;
export const RootAnswer = z.object({
  id: z.number().int(),
  ok: z.boolean(),
  result: NetInventory.nullable(),
  error: z.object({ code: z.string(), message: z.string(), data: z.unknown() }).nullable(),
});
export type RootAnswer = z.infer<typeof RootAnswer>;

/** One row of `banger priv log`. */
export const PrivLogEntry = z.object({
  at: z.string(),
  requestedBy: z.string(),
  op: z.string(),
  detail: z.string(),
  ok: z.boolean(),
  ms: z.number(),
  error: z.string().nullable(),
});
export type PrivLogEntry = z.infer<typeof PrivLogEntry>;
