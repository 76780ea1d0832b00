// The instance's networks, one for each way to be connected, as one: every guest is on the one that its place names.
import type { NetInventory } from "../spec/host-op.ts";
import { NetworkMode } from "../spec/vm.ts";
import type { NetPlace, Network } from "./network.ts";

export type Networks = Omit<Network, "list"> & {
  /** What bears the instance's name, by mode; null where it cannot be looked at and nothing of ours was ever made. */
  lists(requestedBy: string): Promise<Record<NetworkMode, NetInventory | null>>;
};

export const modeOf = ({ mode = "bridge" }: Pick<NetPlace, "mode">): NetworkMode => mode;

export const joinNetworks = (options: {
  networks: Record<NetworkMode, Network>;
  /** Whether there can be anything of that mode on this host. */
  isUsed: (mode: NetworkMode) => boolean;
}): Networks => {
  const { networks, isUsed } = options;
  const of = (place: NetPlace): Network => networks[modeOf(place)];
  return {
    addTap: (place, by) => of(place).addTap(place, by),
    removeTap: (place, by) => of(place).removeTap(place, by),
    addMember: (place, by) => of(place).addMember(place, by),
    removeMember: (place, by) => of(place).removeMember(place, by),
    async ensure(places, by) {
      const failures: unknown[] = [];
      for (const mode of NetworkMode.options) {
        const own = places.filter((place) => modeOf(place) === mode);
        if (own.length === 0 && !isUsed(mode)) continue;
        // What keeps one from being renewed is no reason to leave the other.
        await networks[mode].ensure(own, by).catch((error) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },
    setResolverPort: (port, by) => networks[port.mode].setResolverPort(port, by),
    renew: async (by) => {
      for (const mode of NetworkMode.options) await networks[mode].renew(by);
    },
    async lists(by) {
      const [bridge, namespace] = await Promise.all(
        NetworkMode.options.map((mode) => (isUsed(mode) ? networks[mode].list(by) : null)),
      );
      return { bridge: bridge ?? null, namespace: namespace ?? null };
    },
  };
};
