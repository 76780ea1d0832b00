// Ports: what listens in a guest, how people here reach it, what is published on this host, and who stands in the way.
import { z } from "zod";

/** A process of this host that listens; what may not be read is null. */
export const PortOwner = z.object({
  address: z.string().describe("what it listens on"),
  port: z.number().int(),
  pid: z.number().int().nullable(),
  process: z.string().nullable(),
});
export type PortOwner = z.infer<typeof PortOwner>;

/** A TCP socket of this host that listens. */
export type HostSocket = Pick<PortOwner, "address" | "port">;

/** A TCP socket that listens in a guest, as the helper told it. */
export const GuestPort = z.object({
  protocol: z.enum(["tcp", "tcp6"]),
  address: z.string().describe("address it listens on, in the guest"),
  port: z.number().int(),
  scope: z
    .enum(["any", "loopback", "address"])
    .describe("loopback: reached from inside the guest alone; address: on the one it names"),
  pid: z.number().int().nullable().describe("of a process in the guest that holds it"),
  process: z.string().nullable(),
});
export type GuestPort = z.infer<typeof GuestPort>;

/** The same, as it belongs to a VM. */
export const VmPort = GuestPort.extend({
  reach: z.string().nullable().describe("address:port by which it is reached from this host; null when it is not"),
});
export type VmPort = z.infer<typeof VmPort>;

/** Why a port of a guest could not be opened on this host. */
export const PortBlock = z.object({
  why: z
    .enum(["taken", "privileged", "unavailable", "failed"])
    .describe("taken: somebody listens there, on all addresses perhaps; privileged: below what this user may open"),
  by: PortOwner.nullable().describe("who listens there instead, as far as this user may see"),
  detail: z.string(),
  fix: z.string().nullable().describe("the command that would allow it"),
});
export type PortBlock = z.infer<typeof PortBlock>;

/** The same, seen from this host. */
export const PortRow = VmPort.extend({
  blocked: PortBlock.nullable().describe(
    "why it is not opened on this host, where ports have to be (network: namespace)",
  ),
  name: z.string().nullable().describe("the same by name, where the host asks our name server"),
  forwards: z.array(z.string()).describe("address:port of this host that lead to it"),
  heldHere: PortOwner.nullable().describe("a process of this host that listens on the same port of its loopback"),
});
export type PortRow = z.infer<typeof PortRow>;

/** A port of this host that leads to one of a guest. */
export const Forward = z.object({
  address: z.union([z.ipv4(), z.ipv6()]).describe("address of this host; loopback unless something else was asked for"),
  hostPort: z.number().int().min(1).max(65_535),
  guestPort: z.number().int().min(1).max(65_535),
});
export type Forward = z.infer<typeof Forward>;

export const ForwardRow = Forward.extend({
  isKept: z.boolean().describe("a property of the VM, at each of its starts; otherwise as long as its command runs"),
  state: z.enum(["published", "blocked", "waiting"]).describe("waiting: for the VM to run"),
  blockedBy: PortOwner.nullable().describe("who listens there instead, as far as this user may see"),
  detail: z.string().nullable().describe("why it is blocked"),
});
export type ForwardRow = z.infer<typeof ForwardRow>;
