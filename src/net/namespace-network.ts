// The network of an instance in its namespaces: the same as on the host, in a place that is there while it has guests and is left when it has none.

import type { RootPort } from "../host/host.ts";
import type { NetInventory } from "../spec/host-op.ts";
import { createNetwork, type NetPlace, type Network } from "./network.ts";

/** The namespaces as this file needs them. */
export type NetworkPlace = {
  ensure(): Promise<void>;
  /** False when they are gone, and with them all that was in them. */
  find(): Promise<boolean>;
  release(): void;
};

const nothing: NetInventory = { bridges: [], taps: [], tables: [], jails: [] };

export const createNamespaceNetwork = (options: {
  /** A helper inside; `rest` lets it end. */
  root: RootPort & { rest(): Promise<void> };
  instance: string;
  place: NetworkPlace;
  closed: () => Promise<readonly string[]>;
  /** Nobody is there any more. */
  onLeft: () => Promise<void>;
}): Network => {
  const { root, instance, place, closed } = options;
  const network = createNetwork({ root, instance, closed });
  /** Whoever has or is about to get a tap. */
  const taps = new Set<string>();

  const leave = async (): Promise<void> => {
    await options.onLeft();
    await root.rest();
    // Someone may have come meanwhile.
    if (taps.size === 0) place.release();
  };

  return {
    ...network,
    async addTap(given: NetPlace, by) {
      taps.add(given.tap);
      await place.ensure();
      await network.addTap(given, by);
    },
    async removeTap(given, by) {
      if (await place.find()) await network.removeTap(given, by);
      taps.delete(given.tap);
      if (taps.size === 0) await leave();
    },
    async removeMember(given, by) {
      if (await place.find()) await network.removeMember(given, by);
    },
    async ensure(places, by) {
      if (places.length === 0 && !(await place.find())) return;
      for (const { tap } of places) taps.add(tap);
      await place.ensure();
      await network.ensure(places, by);
      if (taps.size === 0) await leave();
    },
    async list(by) {
      if (!(await place.find())) return nothing;
      try {
        return await network.list(by);
      } finally {
        // Who looks right after the last one went must not be what keeps the namespaces.
        if (taps.size === 0) await leave();
      }
    },
  };
};
