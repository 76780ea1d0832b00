// Keeps what is published for running VMs in line with what is wanted: kept forwards, those of commands that run, and all of a guest in a namespace.
import { planRoutes } from "../core/forwards.ts";
import { findHolder, planPublications } from "../core/guest-ports.ts";
import { createKeyedLock } from "../engine/lock.ts";
import type { ProxyPlace, ProxyRefusal, ProxyRoute } from "../host/proxy.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { Forward, HostSocket, PortOwner } from "../spec/ports.ts";
import type { Context } from "./context.ts";

/** A port that could not be opened, and why. */
export type Blocked = { address: string; port: number; refusal: ProxyRefusal; owner: PortOwner | null };

export type PortKeeper = {
  /** Publishes what the VM's record says from now on. What somebody else's listener blocks is tried again until it is free. */
  publish(plan: StartPlan): Promise<void>;
  /** Nothing of it is published when this returns. */
  withdraw(plan: StartPlan): Promise<void>;
  /** Does it again, for what has changed: in the record, among those of commands, in the guest. */
  renew(vmId: string): Promise<void>;
  /** Adds one for as long as the answer is not called; the caller renews. */
  lend(vmId: string, forward: Forward): () => void;
  lent(vmId: string): readonly Forward[];
  blocked(vmId: string): readonly Blocked[];
  /** What of this host leads to the VM now, as far as this daemon opened or found it. */
  published(vmId: string): readonly HostSocket[];
  /** What the proxy of a VM really leads; null when none runs. */
  routes(plan: StartPlan): Promise<ProxyRoute[] | null>;
  /** Proxies go on; nothing is tried again. */
  close(): void;
};

type Published = { plan: StartPlan; open: HostSocket[]; blocked: Blocked[]; timer: Timer | null };

const RETRY_MS = 3000;

const isSameSocket = (one: HostSocket, other: HostSocket): boolean =>
  one.address === other.address && one.port === other.port;

export const createPortKeeper = (context: Omit<Context, "ports">): PortKeeper => {
  const { store, shims, host } = context;
  const { proxies } = host;
  const published = new Map<string, Published>();
  const lent = new Map<string, Set<Forward>>();
  const locks = createKeyedLock();
  let isClosed = false;

  const placeOf = (plan: StartPlan): ProxyPlace => ({
    proxyPath: context.native.proxy,
    control: `${plan.paths.runtimeDir}/proxy`,
  });

  const forwardsOf = (plan: StartPlan): ProxyRoute[] =>
    [...(store.vms.get(plan.vm.id)?.spec.forwards ?? []), ...(lent.get(plan.vm.id) ?? [])].map(
      ({ address, hostPort, guestPort }) => ({
        address,
        port: hostPort,
        targetAddress: plan.network.address,
        targetPort: guestPort,
      }),
    );

  /** What listens in a guest that is reached by an address of this host alone. */
  const publicationsOf = ({ vm, network }: StartPlan, open: readonly ProxyRoute[]): readonly ProxyRoute[] => {
    const { address: guest, loopback } = network;
    if (loopback === null) return [];
    const told = context.live.get(vm.id)?.ports.current() ?? null;
    // Until the guest has spoken to this daemon, what its predecessor opened stays open.
    return told === null
      ? open.filter(({ address }) => address === loopback)
      : planPublications(told, { guest, host: loopback });
  };

  const launch = async (plan: StartPlan, place: ProxyPlace): Promise<void> => {
    const { proxyPath } = place;
    if (!(await host.files.exists(proxyPath)))
      throw fail("bundle.missing", {
        artifact: "banger-proxy",
        directory: proxyPath.slice(0, proxyPath.lastIndexOf("/")),
      });
    // The holder may have been killed a moment ago, and VMs outlive it.
    if (plan.network.mode === "namespace") await context.namespace.find();
    const shim = shims.connect({ path: plan.paths.shimControl, vm: plan.vm.name });
    try {
      const { shimPid, shimStartTicks } = await shim.hello();
      const until = { pid: shimPid, startTicks: shimStartTicks };
      // Bound to the shim, which keeps the namespaces: it needs no lease of its own.
      const inside = plan.network.mode === "namespace" ? context.namespace.enterArgv() : [];
      await proxies.launch({ vm: plan.vm.name, id: plan.vm.id, ...place, until, inside });
    } finally {
      shim.close();
    }
  };

  const ownersOf = async (refused: readonly { route: ProxyRoute; refusal: ProxyRefusal }[]): Promise<Blocked[]> => {
    const taken = refused.filter(({ refusal }) => refusal.code === "taken");
    const listeners =
      taken.length === 0 ? [] : await context.hostListeners(new Set(taken.map(({ route }) => route.port)));
    return refused.map(({ route: { address, port }, refusal }) => ({
      address,
      port,
      refusal,
      owner: refusal.code === "taken" ? findHolder(listeners, { address, port }) : null,
    }));
  };

  const bring = async (entry: Published): Promise<void> => {
    const { plan } = entry;
    const place = placeOf(plan);
    let open = await proxies.list(place);
    const forwards = forwardsOf(plan);
    const wanted = [
      ...forwards,
      ...publicationsOf(plan, open ?? []).filter((one) => !forwards.some((forward) => isSameSocket(forward, one))),
    ];
    if (wanted.length === 0) {
      entry.blocked = [];
      entry.open = [];
      if (open !== null) await proxies.quit(place);
      return;
    }
    if (open === null) {
      await launch(plan, place);
      open = [];
    }
    const { toClose, toOpen } = planRoutes(wanted, open);
    // A server that stopped to listen may well go on with whom it serves; a forward that was taken back ends what it carried.
    const isPublication = ({ address }: ProxyRoute) => address === plan.network.loopback;
    for (const [routes, drops] of [
      [toClose.filter(isPublication), false],
      [toClose.filter((route) => !isPublication(route)), true],
    ] as const)
      if (routes.length > 0) await proxies.close(place, routes, { drops });
    const answers = toOpen.length > 0 ? await proxies.open(place, toOpen) : [];
    const refused = toOpen.flatMap((route, at) => {
      const refusal = answers[at];
      return refusal ? [{ route, refusal }] : [];
    });
    entry.blocked = await ownersOf(refused);
    entry.open = wanted
      .filter((one) => !refused.some(({ route }) => isSameSocket(route, one)))
      .map(({ address, port }) => ({ address, port }));
  };

  /** Whether everything that may become free is held still: the kernel's tables are read for that, and nothing is started. */
  const isHeldStill = async (blocked: readonly Blocked[]): Promise<boolean> => {
    const sockets = await context.hostSockets();
    return blocked.every((one) => one.refusal.code === "taken" && findHolder(sockets, one) !== null);
  };

  /** What is blocked may become free any moment, and nobody would tell. */
  const retryLater = (entry: Published): void => {
    if (entry.timer !== null) clearTimeout(entry.timer);
    entry.timer = null;
    // A limit of this host's is no matter of time: whoever changes it and looks has it tried again.
    const hopeful = entry.blocked.filter(({ refusal }) => refusal.code !== "privileged");
    if (isClosed || hopeful.length === 0 || published.get(entry.plan.vm.id) !== entry) return;
    const retry = async () => {
      if (await isHeldStill(hopeful)) retryLater(entry);
      else await renew(entry.plan.vm.id);
    };
    entry.timer = setTimeout(() => {
      retry().catch((error) =>
        context.log.warn("ports were not published", { vm: entry.plan.vm.name, detail: describeUnknown(error) }),
      );
    }, RETRY_MS);
  };

  const renew = (vmId: string): Promise<void> =>
    locks.run(vmId, async () => {
      const entry = published.get(vmId);
      if (!entry || isClosed) return;
      const stateOf = ({ open, blocked }: Published) => JSON.stringify([open, blocked]);
      const before = stateOf(entry);
      try {
        await bring(entry);
      } finally {
        retryLater(entry);
      }
      if (stateOf(entry) !== before)
        context.bus.publish({ type: "vm.changed", vm: entry.plan.vm.name, id: vmId, fields: ["forwards", "ports"] });
    });

  return {
    async publish(plan) {
      published.set(plan.vm.id, { plan, open: [], blocked: [], timer: null });
      await renew(plan.vm.id);
    },
    withdraw: (plan) =>
      locks.run(plan.vm.id, async () => {
        const entry = published.get(plan.vm.id);
        if (entry?.timer) clearTimeout(entry.timer);
        published.delete(plan.vm.id);
        await proxies.quit(placeOf(plan));
      }),
    renew,
    lend(vmId, forward) {
      const set = lent.get(vmId) ?? new Set();
      lent.set(vmId, set.add(forward));
      return () => {
        set.delete(forward);
        if (set.size === 0 && lent.get(vmId) === set) lent.delete(vmId);
      };
    },
    lent: (vmId) => [...(lent.get(vmId) ?? [])],
    blocked: (vmId) => published.get(vmId)?.blocked ?? [],
    published: (vmId) => published.get(vmId)?.open ?? [],
    routes: (plan) => proxies.list(placeOf(plan)),
    close() {
      isClosed = true;
      for (const { timer } of published.values()) if (timer !== null) clearTimeout(timer);
    },
  };
};
