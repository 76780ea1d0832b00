// Puts the two networks of the instance together: the host's own by the privileged helper, and the namespaces' by the same helper inside.
import { closedToGuests } from "../core/net-routes.ts";
import { decideNetworkWay } from "../core/network-way.ts";
import { whenAsked } from "../engine/when-asked.ts";
import { createHolder, type Holder } from "../host/holder.ts";
import type { Host } from "../host/host.ts";
import { findOwnHelper, findRootLaunch } from "../host/linux.ts";
import type { NativePaths } from "../host/native.ts";
import { findPasta, readNetworkFacts } from "../host/network-facts.ts";
import { createRootClient } from "../host/root-client.ts";
import type { RootLaunch } from "../host/root-launch.ts";
import { createNamespaceNetwork } from "../net/namespace-network.ts";
import { createNetwork } from "../net/network.ts";
import { joinNetworks, type Networks } from "../net/networks.ts";
import type { Config } from "../spec/config.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { NetworkMode } from "../spec/vm.ts";
import type { Store } from "../store/store.ts";
import type { Log, NetworkChoice } from "./context.ts";

const REQUESTED_BY = "the host's addresses";
/** Links come up with several changes at once. */
const SETTLE_MS = 200;

export type InstanceNetworks = {
  networks: Networks;
  holder: Holder;
  choose: () => Promise<NetworkChoice>;
  /** Set once the name service is there: ends what answers the guests of the namespaces. */
  onLeft: (dismiss: () => Promise<void>) => void;
  close(): Promise<void>;
};

export const openNetworks = (options: {
  instance: string;
  paths: { holder: string; wayOutLog: string };
  store: Store;
  host: Host;
  native: NativePaths;
  config: () => Config;
  log: Log;
}): InstanceNetworks => {
  const { instance, paths, store, host, native, config, log } = options;
  const isUp = (mode: NetworkMode) =>
    store.vms
      .all()
      .filter(({ state, spec }) => state !== "stopped" && state !== "creating" && spec.networks[0]?.mode === mode);
  let dismiss = async () => {};

  const followAddresses = whenAsked({
    settleMs: SETTLE_MS,
    work: async () => {
      if (holder.state() === null) return;
      await networks.namespace
        .renew(REQUESTED_BY)
        .catch((error) => log.warn("the host's addresses could not be followed", { detail: describeUnknown(error) }));
    },
  });

  const holder = createHolder({
    executable: native.holder,
    socket: paths.holder,
    log: paths.wayOutLog,
    findPasta,
    members: () => isUp("namespace").flatMap(({ runtime }) => runtime.process ?? []),
    onAddresses: followAddresses,
    onMended: (failure) =>
      failure === null
        ? log.warn("the holder of the namespaces was lost, and another one took them over")
        : log.error("the holder of the namespaces was lost", { detail: describeUnknown(failure) }),
  });

  const planInside = async (): Promise<RootLaunch> => {
    await holder.ensure();
    const { argv, argv0 } = findOwnHelper();
    return { kind: "launch", argv: [...holder.enterArgv({ argv0 }), ...argv], argv0: null };
  };
  const root = createRootClient({ planLaunch: planInside, privLog: (entry) => store.privLog.append(entry) });
  const networks = {
    bridge: createNetwork({ root: host.root, instance }),
    namespace: createNamespaceNetwork({
      root,
      instance,
      place: holder,
      closed: async () => closedToGuests((await host.facts()).routes),
      onLeft: () => dismiss(),
    }),
  };

  return {
    networks: joinNetworks({
      networks,
      // Where root cannot be had there is nothing of ours, unless a VM of that mode is recorded, whose loss would be told.
      isUsed: (mode) => {
        if (isUp(mode).length > 0) return "needed";
        return mode === "namespace" || findRootLaunch().kind === "launch" ? "perhaps" : "no";
      },
    }),
    holder,
    choose: async () => {
      const { mode, reason } = decideNetworkWay(
        await readNetworkFacts({ holder: native.holder }),
        config().network.mode,
      );
      return { mode, reason };
    },
    onLeft: (given) => {
      dismiss = given;
    },
    async close() {
      await root.close();
      holder.release();
    },
  };
};
