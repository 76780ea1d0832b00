// What every host port does with root operations: one suite for the model and for Linux itself.
import { afterEach, describe, expect, test } from "bun:test";
import type { RootPort } from "../../src/host/host.ts";
import { createNetwork, type NetPlace } from "../../src/net/network.ts";
import { BangerError } from "../../src/spec/errors.ts";
import type { HostOp, NetInventory } from "../../src/spec/host-op.ts";

export type ConformingHost = {
  root: RootPort;
  /** The user on whose behalf operations are done. */
  uid: number;
  /** Makes a link that banger did not make, as a port of `master` when that is given. */
  addForeignLink(name: string, options: { kind: "bridge" | "tap"; master?: string }): void;
  hasLink(name: string): boolean;
  close(): Promise<void>;
};

const nothing: NetInventory = { bridges: [], taps: [], tables: [], jails: [] };

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (cause) => cause,
  );
  return error instanceof BangerError ? error.code : String(error?.name ?? "no error");
};

/** `ids` makes instance ids that nobody else on the machine uses. */
export const describeHost = (name: string, open: () => Promise<ConformingHost>, ids: () => string): void => {
  describe(name, () => {
    const opened: ConformingHost[] = [];
    const start = async () => {
      const host = await open();
      opened.push(host);
      const instance = ids();
      const bridge = `bgr-${instance}`;
      const subnet = `10.77.${(instance.charCodeAt(4) * 7) % 250}.0/24`;
      const gateway = subnet.replace(".0/24", ".1");
      const place = (slot: number): NetPlace => ({
        tap: `${bridge}-${slot}`,
        mac: `02:00:00:00:00:${slot.toString(16).padStart(2, "0")}`,
        address: subnet.replace(".0/24", `.${slot}`),
        subnet,
        ownerUid: host.uid,
      });
      const run = (op: HostOp) => host.root.run(op, "conformance");
      const list = () => run({ op: "net.list", instance });
      const ensureBridge = { op: "bridge.ensure", instance, bridge, subnet, gateway } as const;
      const tap = place(2).tap;
      const createTap = { op: "tap.create", instance, tap, bridge, ownerUid: host.uid } as const;
      const { mac, address } = place(2);
      const apply = {
        op: "nft.apply",
        instance,
        bridge,
        subnet,
        gateway,
        resolverPort: 5300,
        members: [{ tap, mac, address }],
      };
      return { host, instance, bridge, tap, place, run, list, ensureBridge, createTap, apply: apply as HostOp };
    };
    afterEach(async () => {
      for (const host of opened.splice(0)) await host.close();
    });

    test("deleting what never was succeeds, twice", async () => {
      const { instance, bridge, tap, run, list } = await start();
      for (let time = 0; time < 2; time += 1) {
        await run({ op: "tap.delete", instance, tap });
        await run({ op: "nft.delete", instance });
        await run({ op: "bridge.delete", instance, bridge });
        await run({ op: "net.release", instance, bridge, tap });
      }
      expect(await list()).toEqual(nothing);
    });

    test("releasing a tap leaves bridge and rules to the others, and the last one takes them along", async () => {
      const { bridge, tap, place, run, list, instance, ensureBridge, createTap, apply } = await start();
      const second = place(3).tap;
      await run(ensureBridge);
      await run(createTap);
      await run({ ...createTap, tap: second });
      await run(apply);
      await run({ op: "net.release", instance, bridge, tap });
      expect(await list()).toEqual({
        bridges: [bridge],
        taps: [second],
        tables: [`bridge ${bridge}`, `inet ${bridge}`],
        jails: [],
      });
      await run({ op: "net.release", instance, bridge, tap: second });
      expect(await list()).toEqual(nothing);
    });

    test("rules for nobody stay while there is a tap and go when there is none", async () => {
      const { tap, run, list, instance, ensureBridge, createTap, apply } = await start();
      await run(ensureBridge);
      await run(createTap);
      await run({ ...apply, members: [] } as HostOp);
      expect((await list())?.tables.length).toBe(2);
      await run({ op: "tap.delete", instance, tap });
      await run({ ...apply, members: [] } as HostOp);
      expect((await list())?.tables).toEqual([]);
    });

    test("doing an operation twice is doing it once", async () => {
      const { instance, bridge, tap, run, list, ensureBridge, createTap, apply } = await start();
      for (let time = 0; time < 2; time += 1) {
        await run({ op: "sysctl.forward", instance });
        await run(ensureBridge);
        await run(createTap);
        await run(apply);
      }
      expect(await list()).toEqual({
        bridges: [bridge],
        taps: [tap],
        tables: [`bridge ${bridge}`, `inet ${bridge}`],
        jails: [],
      });
    });

    test("a tap without its bridge is refused", async () => {
      const { run, list, createTap } = await start();
      expect(await codeOf(run(createTap))).toBe("root.refused");
      expect(await list()).toEqual(nothing);
    });

    test("a link that bears our name but not our mark is neither used nor deleted", async () => {
      const { host, instance, bridge, tap, run, ensureBridge, createTap } = await start();
      host.addForeignLink(bridge, { kind: "bridge" });
      expect(await codeOf(run(ensureBridge))).toBe("host.not_ours");
      expect(await codeOf(run(createTap))).toBe("host.not_ours");
      expect(await codeOf(run({ op: "bridge.delete", instance, bridge }))).toBe("host.not_ours");
      host.addForeignLink(tap, { kind: "tap" });
      expect(await codeOf(run({ op: "tap.delete", instance, tap }))).toBe("host.not_ours");
      expect([bridge, tap].filter(host.hasLink)).toEqual([bridge, tap]);
    });

    test("a bridge with a foreign port stays until the port is gone", async () => {
      const { host, instance, bridge, run, ensureBridge } = await start();
      await run(ensureBridge);
      host.addForeignLink("foreign0", { kind: "tap", master: bridge });
      expect(await codeOf(run({ op: "bridge.delete", instance, bridge }))).toBe("host.not_ours");
      expect(host.hasLink(bridge)).toBe(true);
    });

    test("names of another instance are refused", async () => {
      const { instance, tap, run, ensureBridge, createTap, apply } = await start();
      const other = "bgr-zzzzz";
      expect(await codeOf(run({ ...ensureBridge, bridge: other }))).toBe("root.refused");
      expect(await codeOf(run({ ...createTap, tap: `${other}-2` }))).toBe("root.refused");
      expect(await codeOf(run({ op: "tap.delete", instance: "zzzzz", tap }))).toBe("root.refused");
      expect(await codeOf(run({ op: "bridge.delete", instance, bridge: other }))).toBe("root.refused");
      const member = { tap: `${other}-2`, mac: "02:00:00:00:00:02", address: "10.77.5.2" };
      expect(await codeOf(run({ ...apply, members: [member] } as HostOp))).toBe("root.refused");
    });

    test("a gateway or guest outside of the subnet is refused", async () => {
      const { run, ensureBridge, apply, place } = await start();
      expect(await codeOf(run({ ...ensureBridge, gateway: "10.1.1.1" }))).toBe("root.refused");
      const { tap, mac } = place(2);
      expect(await codeOf(run({ ...apply, members: [{ tap, mac, address: "10.1.1.2" }] } as HostOp))).toBe(
        "root.refused",
      );
    });

    test("a network is there while it has a guest, and nothing of it afterwards", async () => {
      const { host, instance, bridge, place, list } = await start();
      const network = createNetwork({ root: host.root, instance, resolverPort: 5300 });
      for (const slot of [2, 3]) {
        await network.addTap(place(slot), "test");
        await network.addMember(place(slot), "test");
      }
      await network.removeMember(place(2), "test");
      await network.removeTap(place(2), "test");
      expect((await list())?.taps).toEqual([`${bridge}-3`]);
      expect((await list())?.tables.length).toBe(2);
      for (let time = 0; time < 2; time += 1) {
        await network.removeMember(place(3), "test");
        await network.removeTap(place(3), "test");
      }
      expect(await list()).toEqual(nothing);
    });

    test("a new daemon brings bridge and rules back to what its guests need", async () => {
      const { host, instance, bridge, place, list, run } = await start();
      const old = createNetwork({ root: host.root, instance });
      await old.addTap(place(2), "test");
      await run({ op: "nft.delete", instance });
      const network = createNetwork({ root: host.root, instance });
      await network.ensure([place(2)], "recovery");
      expect(await list()).toEqual({
        bridges: [bridge],
        taps: [`${bridge}-2`],
        tables: [`bridge ${bridge}`, `inet ${bridge}`],
        jails: [],
      });
      await network.removeMember(place(2), "test");
      await network.removeTap(place(2), "test");
      expect(await list()).toEqual(nothing);
    });

    test("two instances live side by side, and the end of one leaves the other whole", async () => {
      const one = await start();
      const other = { ...one, instance: ids() };
      const bridge = `bgr-${other.instance}`;
      await one.run(one.ensureBridge);
      await one.run(one.createTap);
      await one.run(one.apply);
      const before = await one.list();
      await one.run({
        ...one.ensureBridge,
        instance: other.instance,
        bridge,
        subnet: "10.78.1.0/24",
        gateway: "10.78.1.1",
      });
      await one.run({ ...one.createTap, instance: other.instance, bridge, tap: `${bridge}-2` });
      await one.run({ op: "tap.delete", instance: other.instance, tap: `${bridge}-2` });
      await one.run({ op: "nft.delete", instance: other.instance });
      await one.run({ op: "bridge.delete", instance: other.instance, bridge });
      expect(await one.list()).toEqual(before);
      expect(await one.run({ op: "net.list", instance: other.instance })).toEqual(nothing);
    });
  });
};
