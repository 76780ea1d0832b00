// The network of a modelled machine: links and tables that behave as Linux does under banger's root operations.
import { existsSync } from "node:fs";
import { checkNames } from "../../src/host/root-helper.ts";
import { fail } from "../../src/spec/errors.ts";
import type { HostOp, NetInventory, NetMember } from "../../src/spec/host-op.ts";

export type FakeLink = {
  kind: "bridge" | "tap" | "other";
  /** `ifalias`: `banger:INSTANCE` on ours. */
  alias: string | null;
  master: string | null;
  address: string | null;
  ownerUid: number | null;
};

export type FakeTable = { subnet: string; resolverPort: number | null; members: readonly NetMember[] };

export type FakeNetwork = {
  links: Map<string, FakeLink>;
  /** By table name; one entry stands for the tables of both families, which are made and removed as one. */
  tables: Map<string, FakeTable>;
  isForwarding: boolean;
  /** `INSTANCE-VM` of each jail that is prepared. */
  jails: Set<string>;
  /** Does one operation as the helper on Linux does. */
  run(op: HostOp, callerUid: number): NetInventory | null;
  inventory(instance: string): NetInventory;
};

/** `isHeld` tells whether a running VMM has a tap open. */
export const createFakeNetwork = (isHeld: (tap: string) => boolean): FakeNetwork => {
  const links = new Map<string, FakeLink>();
  const tables = new Map<string, FakeTable>();
  const jails = new Set<string>();

  const inventory = (instance: string): NetInventory => {
    const bridge = `bgr-${instance}`;
    return {
      bridges: links.has(bridge) ? [bridge] : [],
      taps: [...links.keys()].filter((name) => name.startsWith(`${bridge}-`)).sort(),
      tables: tables.has(bridge) ? [`bridge ${bridge}`, `inet ${bridge}`] : [],
      jails: [...jails].flatMap((name) => (name.startsWith(`${instance}-`) ? [name.slice(instance.length + 1)] : [])),
    };
  };

  const ours = (name: string, expected: { instance: string; kind: FakeLink["kind"] }): FakeLink | null => {
    const link = links.get(name);
    if (!link) return null;
    if (link.kind !== expected.kind || link.alias !== `banger:${expected.instance}`) {
      throw fail("host.not_ours", { what: `Network link ${name}` });
    }
    return link;
  };

  const createTap = (op: Extract<HostOp, { op: "tap.create" }>) => {
    const { instance, bridge, tap, ownerUid } = op;
    if (!ours(bridge, { instance, kind: "bridge" })) {
      throw fail("root.refused", { operation: op.op, detail: `there is no bridge ${bridge}` });
    }
    const old = ours(tap, { instance, kind: "tap" });
    if (old && isHeld(tap)) throw fail("root.refused", { operation: op.op, detail: `a running VMM holds ${tap}` });
    links.set(tap, { kind: "tap", alias: `banger:${instance}`, master: bridge, address: null, ownerUid });
  };

  const deleteBridge = (op: Extract<HostOp, { op: "bridge.delete" }>) => {
    const { instance, bridge } = op;
    if (!ours(bridge, { instance, kind: "bridge" })) return;
    const ports = [...links].filter(([, { master }]) => master === bridge);
    const foreign = ports.find(([, { alias }]) => alias !== `banger:${instance}`);
    if (foreign) throw fail("host.not_ours", { what: `Network link ${foreign[0]}, a port of ${bridge},` });
    for (const [, port] of ports) port.master = null;
    links.delete(bridge);
  };

  const network: FakeNetwork = {
    links,
    tables,
    jails,
    isForwarding: false,
    inventory,
    run(op, callerUid) {
      checkNames(op, callerUid);
      const { instance } = op;
      switch (op.op) {
        case "bridge.ensure": {
          const old = ours(op.bridge, { instance, kind: "bridge" });
          const bridge: FakeLink = {
            kind: "bridge",
            alias: `banger:${instance}`,
            master: null,
            address: null,
            ownerUid: null,
          };
          links.set(op.bridge, Object.assign(old ?? bridge, { address: `${op.gateway}/24` }));
          return null;
        }
        case "bridge.delete":
          deleteBridge(op);
          return null;
        case "tap.create":
          createTap(op);
          return null;
        case "tap.delete":
          if (ours(op.tap, { instance, kind: "tap" })) links.delete(op.tap);
          return null;
        case "net.release": {
          const hasOthers = inventory(instance).taps.some((name) => name !== op.tap);
          const isOurs = ours(op.tap, { instance, kind: "tap" }) !== null;
          if (!hasOthers) deleteBridge({ op: "bridge.delete", instance, bridge: op.bridge });
          if (!hasOthers) tables.delete(op.bridge);
          if (isOurs) links.delete(op.tap);
          return null;
        }
        case "nft.apply":
          if (op.members.length === 0 && inventory(instance).taps.length === 0) tables.delete(op.bridge);
          else tables.set(op.bridge, { subnet: op.subnet, resolverPort: op.resolverPort, members: op.members });
          return null;
        case "nft.delete":
          tables.delete(`bgr-${instance}`);
          return null;
        case "sysctl.forward":
          network.isForwarding = true;
          return null;
        case "jail.prepare":
          // What is opened to the jail's user must be there, as on Linux.
          for (const path of [op.sockets, ...op.files.map((file) => file.path)])
            if (!existsSync(path)) throw fail("root.refused", { operation: op.op, detail: `${path} is missing` });
          jails.add(`${instance}-${op.vm}`);
          return null;
        case "jail.remove":
          jails.delete(`${instance}-${op.vm}`);
          return null;
        case "net.list":
          return inventory(instance);
      }
    },
  };
  return network;
};
