// The closed set of operations that are done as root: whatever is not spelled here cannot be asked.
import { z } from "zod";
import { BridgeName, InstanceId, Ipv4, Mac, Subnet, TapName } from "./names.ts";

const Port = z.number().int().min(1).max(65535);

/** One guest's right to a tap: frames with another MAC or source address are dropped. */
export const NetMember = z.object({ tap: TapName, mac: Mac, address: Ipv4 });
export type NetMember = z.infer<typeof NetMember>;

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
  z.object({ op: z.literal("net.list"), instance: InstanceId }),
]);
export type HostOp = z.infer<typeof HostOp>;
export type HostOpName = HostOp["op"];

/** What of ours exists on the host's network; the answer of `net.list`. */
export const NetInventory = z.object({
  bridges: z.array(z.string()),
  taps: z.array(z.string()),
  tables: z.array(z.string()).describe("nftables tables as `family name`"),
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
