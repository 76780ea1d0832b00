// The instance's networks, one for each way to be connected, as one: every guest is on the one that its place names.
import { hasCode } from "../spec/errors.ts";
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
  /** Whether something of that mode must be on this host, can be, or cannot. */
  isUsed: (mode: NetworkMode) => "needed" | "perhaps" | "no";
}): Networks => {
  const { networks, isUsed } = options;
  /** Where others were given root and we were not, that is only found out by asking; then nothing of ours is there. */
  const unlessRefused = <Result>(work: Promise<Result>): Promise<Result | null> =>
    work.catch((error) => {
      if (hasCode(error, "root.unavailable")) return null;
      throw error;
    });
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
        const use = own.length > 0 ? "needed" : isUsed(mode);
        if (use === "no") continue;
        const ensuring = networks[mode].ensure(own, by);
        // What keeps one from being renewed is no reason to leave the other.
        await (use === "needed" ? ensuring : unlessRefused(ensuring)).catch((error) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },
    setResolverPort: (port, by) => networks[port.mode].setResolverPort(port, by),
    renew: async (by) => {
      for (const mode of NetworkMode.options) await networks[mode].renew(by);
    },
    async lists(by) {
      const [bridge, namespace] = await Promise.all(
        NetworkMode.options.map((mode) => {
          const use = isUsed(mode);
          if (use === "no") return null;
          return use === "needed" ? networks[mode].list(by) : unlessRefused(networks[mode].list(by));
        }),
      );
      return { bridge: bridge ?? null, namespace: namespace ?? null };
    },
  };
};
