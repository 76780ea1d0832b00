// The network of an instance on this host: its bridge, its guests' taps and the rules for them, each there exactly while it is needed.
import { gatewayOf } from "../core/net-plan.ts";
import { createKeyedLock } from "../engine/lock.ts";
import type { RootPort } from "../host/host.ts";
import { fail } from "../spec/errors.ts";
import type { NetInventory, NetMember } from "../spec/host-op.ts";
import { bridgeName } from "../spec/names.ts";
import type { NetworkMode } from "../spec/vm.ts";

/** One guest's place on the network, as its plan says. */
export type NetPlace = NetMember & {
  subnet: string;
  ownerUid: number;
  /** Left out: the host's own. */
  mode?: NetworkMode;
};

export type Network = {
  /**
   * Makes the bridge (when it is missing) and the guest's tap. Doing it again is harmless; a tap that a running VMM holds is
   * refused (root.refused).
   */
  addTap(place: NetPlace, requestedBy: string): Promise<void>;
  /** Removes the tap, and with the last one bridge, rules and registration. Succeeds when it is gone. */
  removeTap(place: NetPlace, requestedBy: string): Promise<void>;
  /** Lets the guest speak: from now on its MAC and address, and no others, pass its tap. */
  addMember(place: NetPlace, requestedBy: string): Promise<void>;
  /** Takes the guest out of the rules: its tap lets nothing pass from then on. Those of the last guest go with its tap. */
  removeMember(place: NetPlace, requestedBy: string): Promise<void>;
  /** Makes bridge and rules what these guests need: after a daemon's start, and whenever someone else has meddled. */
  ensure(members: readonly NetPlace[], requestedBy: string): Promise<void>;
  /** The port on the gateway address where guests' questions are answered; rules in force are renewed. Null: nobody answers. */
  setResolverPort(resolver: { mode: NetworkMode; port: number | null }, requestedBy: string): Promise<void>;
  /** Applies the rules anew, because what they are made of has changed. */
  renew(requestedBy: string): Promise<void>;
  /** What bears the instance's name on the host. */
  list(requestedBy: string): Promise<NetInventory>;
};

const nothing: NetInventory = { bridges: [], taps: [], tables: [], jails: [] };

/**
 * The network of `instance`. Its members are remembered here, and a new daemon tells them by `ensure` before anything else.
 * All calls go one after the other: rules are applied as a whole, so two at once would lose one's guest.
 */
export const createNetwork = (options: {
  root: RootPort;
  instance: string;
  resolverPort?: number | null;
  /** What guests must not reach beyond the bridge, asked at each change of the rules. */
  closed?: () => Promise<readonly string[]>;
}): Network => {
  const { root, instance } = options;
  const bridge = bridgeName(instance);
  const lock = createKeyedLock();
  const inTurn = <Result>(work: () => Promise<Result>) => lock.run(instance, work);
  const members = new Map<string, NetPlace>();
  let resolverPort = options.resolverPort ?? null;
  let isForwarding = false;

  const list = async (by: string) => (await root.run({ op: "net.list", instance }, by)) ?? nothing;

  const ensureBridge = async (subnet: string, by: string) => {
    const settled = [...members.values()].find((member) => member.subnet !== subnet);
    // The bridge has one address: changing it would cut off the guests that use the other.
    if (settled) throw fail("net.address_taken", { address: settled.subnet, by: "running VMs of this instance" });
    if (!isForwarding) await root.run({ op: "sysctl.forward", instance }, by);
    isForwarding = true;
    await root.run({ op: "bridge.ensure", instance, bridge, subnet, gateway: gatewayOf(subnet) }, by);
  };

  /** Applies the rules for exactly these guests; the caller remembers them once this has succeeded. */
  const applyRules = async (subnet: string, wanted: readonly NetPlace[], by: string) => {
    const rules = wanted.map(({ tap, mac, address }) => ({ tap, mac, address }));
    const gateway = gatewayOf(subnet);
    const closed = options.closed === undefined ? {} : { closed: [...(await options.closed())] };
    await root.run({ op: "nft.apply", instance, bridge, subnet, gateway, resolverPort, members: rules, ...closed }, by);
  };

  return {
    addTap: (place, by) =>
      inTurn(async () => {
        await ensureBridge(place.subnet, by);
        const { tap, ownerUid } = place;
        await root.run({ op: "tap.create", instance, tap, bridge, ownerUid }, by);
      }),
    removeTap: (place, by) =>
      inTurn(async () => {
        await root.run({ op: "net.release", instance, bridge, tap: place.tap }, by);
      }),
    addMember: (place, by) =>
      inTurn(async () => {
        const wanted = new Map(members).set(place.tap, place);
        await applyRules(place.subnet, [...wanted.values()], by);
        members.set(place.tap, place);
      }),
    removeMember: (place, by) =>
      inTurn(async () => {
        const wanted = [...members.values()].filter(({ tap }) => tap !== place.tap);
        // The last guest's rules go with its tap, whole: see removeTap.
        if (wanted.length > 0) await applyRules(place.subnet, wanted, by);
        members.delete(place.tap);
      }),
    ensure: (places, by) =>
      inTurn(async () => {
        const [first] = places;
        if (first) {
          await ensureBridge(first.subnet, by);
          await applyRules(first.subnet, places, by);
        } else {
          const { bridges, taps, tables } = await list(by);
          if (tables.length > 0) await root.run({ op: "nft.delete", instance }, by);
          if (bridges.length > 0 && taps.length === 0) await root.run({ op: "bridge.delete", instance, bridge }, by);
        }
        members.clear();
        for (const place of places) members.set(place.tap, place);
      }),
    setResolverPort: ({ port }, by) =>
      inTurn(async () => {
        if (port === resolverPort) return;
        const before = resolverPort;
        resolverPort = port;
        const [first] = members.values();
        if (!first) return;
        await applyRules(first.subnet, [...members.values()], by).catch((error) => {
          resolverPort = before;
          throw error;
        });
      }),
    renew: (by) =>
      inTurn(async () => {
        const [first] = members.values();
        if (first) await applyRules(first.subnet, [...members.values()], by);
      }),
    list: (by) => inTurn(() => list(by)),
  };
};
