// Keeps the instance's subnet: chosen once so that it overlaps no route of the host, and again only when it has to be.
import { chooseSubnet, decideSubnet, findClash } from "../core/net-plan.ts";
import type { HostRoute } from "../core/net-routes.ts";
import type { Config } from "../spec/config.ts";
import { fail } from "../spec/errors.ts";
import { bridgeName } from "../spec/names.ts";
import type { Store } from "../store/store.ts";

export type SubnetKeeper = {
  /** The subnet that starts use now, on a host with these routes. Errors: net.subnet_exhausted, net.subnet_taken. */
  choose(routes: readonly HostRoute[]): string;
  /** The one chosen last; null before the first. */
  known(): string | null;
};

const KEY = "network.subnet";

/** Why there is no subnet: the user's own choice lies on a route of the host, or nothing is free. */
const refusal = (instance: string, routes: readonly HostRoute[], configured: string | null) => {
  const clash = configured === null ? null : findClash(configured, routes, bridgeName(instance));
  if (configured === null || clash === null) return fail("net.subnet_exhausted", { instance });
  const { destination, device } = clash;
  return fail("net.subnet_taken", {
    subnet: configured,
    route: destination,
    device,
    free: chooseSubnet({ instance, routes, bridge: bridgeName(instance) }),
  });
};

export const createSubnetKeeper = (options: { instance: string; store: Store; config: () => Config }): SubnetKeeper => {
  const { instance, store, config } = options;
  return {
    known: () => store.meta.get(KEY),
    choose: (routes) => {
      const decision = decideSubnet({
        instance,
        routes,
        bridge: bridgeName(instance),
        configured: config().network.subnet,
        current: store.meta.get(KEY),
        hasRunning: store.vms.all().some(({ state }) => state !== "stopped" && state !== "creating"),
      });
      if (decision.subnet === null) throw refusal(instance, routes, config().network.subnet);
      if (decision.moved) store.meta.set(KEY, decision.subnet);
      return decision.subnet;
    },
  };
};
