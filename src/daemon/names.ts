// Publishes the names of running VMs: the zone that the DNS servers answer from follows starts, stops and recoveries.
import type { z } from "zod";
import type { AskedFor } from "../core/dns-question.ts";
import { type ListedRecord, listRecords, nameRcode } from "../core/dns-records.ts";
import { type DnsJournal, isWiredTo } from "../core/dns-setup.ts";
import { buildZone, type DnsView, RCODE, type Zone } from "../core/dns-zone.ts";
import { gatewayOf } from "../core/net-plan.ts";
import { type Asked, askZone } from "../dns/ask.ts";
import { openForwarder } from "../dns/forwarder.ts";
import { type DnsServer, type DnsServerOptions, type DnsStats, openDnsServer } from "../dns/server.ts";
import { followUpstreams } from "../dns/upstreams.ts";
import { createKeyedLock } from "../engine/lock.ts";
import type { OpenDnsFront } from "../host/dns-front.ts";
import type { Networks } from "../net/networks.ts";
import type { Config } from "../spec/config.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { Output } from "../spec/rpc/contract.ts";
import type { DnsListener, DnsStatus } from "../spec/rpc/dns.ts";
import { NetworkMode } from "../spec/vm.ts";
import type { Log } from "./context.ts";

export type NameService = {
  /** The VM's name answers from when this returns. */
  publish(plan: StartPlan): void;
  /** The name is gone when this returns; succeeds when it was not there. */
  withdraw(plan: StartPlan): void;
  /** Answers guests on the gateway's address, and tells the network on which port. Again and again harmless. */
  serveGuests(place: GuestPlace, requestedBy: string): Promise<void>;
  /** Ends that for the guests of one mode, of whom none is left. */
  dismissGuests(mode: NetworkMode): Promise<void>;
  status(): z.infer<typeof DnsStatus>;
  /** Whether this host's resolver was told of our name server. */
  isWired(): boolean;
  details(): Output<"dns.status">;
  records(view: DnsView): readonly ListedRecord[];
  /** What a client of a view would be answered; null when it was forwarded and nobody answered. */
  ask(question: AskedFor & { view: DnsView }): Promise<Asked | null>;
  close(): Promise<void>;
};

/** Where guests ask: the gateway's address in the network of their mode. */
export type GuestPlace = { mode: NetworkMode; gateway: string };

type GuestBinding = NonNullable<DnsServerOptions["listen"]["bind"]>;

/** `loopback`: what people here reach it by, where its own address leads nowhere. */
type Named = { name: string; address: string; loopback: string | null; isWildcard: boolean };

export const openNameService = async (options: {
  config: () => Config;
  network: Pick<Networks, "setResolverPort">;
  /** What stands in front of the server on loopback. */
  front?: OpenDnsFront;
  /** Makes the sockets in the namespaces. */
  bindInside: (address: string) => ReturnType<GuestBinding>;
  /** The instance's subnet, null before its first VM. */
  subnet: () => string | null;
  /** The block of this host's loopback that stands for guests of namespaces, null before the first of them. */
  loopback: () => string | null;
  /** What `banger dns setup` left on this host, null where it was not run. */
  readSetup: () => DnsJournal | null;
  log: Log;
}): Promise<NameService> => {
  const { network, log, readSetup } = options;
  const { dns } = options.config();
  const named = new Map<string, Named>();
  let serial = 1;
  const build = (view: DnsView, nameServerAddress: string): Zone =>
    buildZone({
      zoneName: dns.zone,
      view,
      serial,
      nameServerAddress,
      hosts: [...named.values()].map(({ name, address, loopback: own, isWildcard }) => ({
        name,
        addresses: [view === "loopback" && own !== null ? own : address],
        isWildcard,
      })),
      // The reverse zones are ours whether or not a VM runs: their names are not asked for elsewhere.
      subnets: [options.subnet() ?? [], (view === "loopback" ? options.loopback() : null) ?? []].flat(),
    });
  let loopbackZone = build("loopback", dns.listen);
  const guests = new Map<NetworkMode, { server: DnsServer; gateway: string; zone: Zone }>();
  /** VMs start side by side, and opening a server takes a while: two of one mode would leave one of them behind. */
  const inTurn = createKeyedLock();
  const swap = () => {
    serial = (serial + 1) % 2 ** 32;
    loopbackZone = build("loopback", dns.listen);
    loopback.zoneChanged();
    for (const one of guests.values()) one.zone = build("guest", one.gateway);
  };

  const note = (message: string) => log.info(message);
  const loopback = await openDnsServer({
    listen: { host: dns.listen, port: dns.port, fallbackPort: 0 },
    zone: () => loopbackZone,
    log: note,
    ...(options.front ? { front: options.front } : {}),
  });
  const upstreams = followUpstreams();
  const forwarder = openForwarder({ upstreams });

  const announcePort = async (mode: NetworkMode, requestedBy: string): Promise<void> => {
    const found = guests.get(mode);
    if (!found) return;
    await network.setResolverPort({ mode, port: found.server.port || null }, requestedBy);
  };
  const dismiss = async (mode: NetworkMode): Promise<void> => {
    const found = guests.get(mode);
    guests.delete(mode);
    await found?.server.close();
  };

  /** Before the first VM runs nobody listens at the gateway; what would be answered there can be asked all the same. */
  const zoneOf = (view: DnsView): Zone => {
    if (view === "loopback") return loopbackZone;
    const subnet = options.subnet();
    const [served] = guests.values();
    return served ? served.zone : build("guest", subnet === null ? dns.listen : gatewayOf(subnet));
  };

  return {
    publish(plan) {
      const { hostname: name, hasWildcardName: isWildcard } = plan.guest;
      const { address, loopback: own } = plan.network;
      named.set(plan.vm.id, { name, address, loopback: own, isWildcard });
      swap();
    },
    withdraw(plan) {
      if (named.delete(plan.vm.id)) swap();
    },
    serveGuests: ({ mode, gateway }, requestedBy) =>
      inTurn.run(mode, async () => {
        if (guests.get(mode)?.gateway !== gateway) await dismiss(mode);
        if (!guests.has(mode)) {
          const inside = mode === "namespace" ? { bind: () => options.bindInside(gateway) } : {};
          const zone = build("guest", gateway);
          const server = await openDnsServer({
            listen: { host: gateway, port: 0, ...inside },
            zone: () => guests.get(mode)?.zone ?? zone,
            forwarder,
            log: note,
            // The bridge's address may come later than this, and the port with it.
            onChange: () => void announcePort(mode, requestedBy).catch((error) => note(describeUnknown(error))),
          });
          guests.set(mode, { server, gateway, zone });
        }
        const server = guests.get(mode)?.server;
        // The bridge may have come and gone since: its address is what the sockets wait for.
        if (server && (server.udpError !== null || server.tcpError !== null)) await server.retry();
        await announcePort(mode, requestedBy);
      }),
    dismissGuests: (mode) => inTurn.run(mode, () => dismiss(mode)),
    status() {
      const stats = loopback.stats();
      return {
        zone: dns.zone,
        address: loopback.host,
        port: loopback.port === 0 ? null : loopback.port,
        isPreferredPort: !loopback.isOnFallback && loopback.port !== 0,
        udpError: loopback.udpError,
        tcpError: loopback.tcpError,
        records: loopbackZone.recordCount,
        queries: stats.udpQueries + stats.tcpQueries,
        failed: failuresOf(stats),
      };
    },
    isWired: () => {
      const { host: address, port } = loopback;
      return isWiredTo(readSetup(), { zone: dns.zone, address, port });
    },
    details: () => ({
      zone: dns.zone,
      serial: loopbackZone.serial,
      listeners: [
        describeListener(loopback, loopbackZone),
        ...[...guests.values()].map(({ server, zone }) => describeListener(server, zone)),
      ],
      upstreams: upstreams().map(({ address }) => address),
    }),
    records: (view) => listRecords(zoneOf(view)),
    ask: ({ name, type, view }) =>
      askZone({ zone: zoneOf(view), name, type, forwarder: view === "guest" ? forwarder : null }),
    async close() {
      await loopback.close();
      for (const mode of NetworkMode.options) await inTurn.run(mode, () => dismiss(mode));
      forwarder.close();
    },
  };
};

/** Queries that could not be read, and those to which no resolver had an answer. */
const failuresOf = ({ rcodes }: DnsStats): number => (rcodes[RCODE.FORMERR] ?? 0) + (rcodes[RCODE.SERVFAIL] ?? 0);

const describeListener = (server: DnsServer, zone: Zone): z.infer<typeof DnsListener> => {
  const stats = server.stats();
  return {
    view: zone.view,
    address: server.host,
    port: server.port === 0 ? null : server.port,
    isPreferredPort: server.port !== 0 && !server.isOnFallback,
    udpError: server.udpError,
    tcpError: server.tcpError,
    records: zone.recordCount,
    udpQueries: stats.udpQueries,
    tcpQueries: stats.tcpQueries,
    answers: Object.fromEntries(
      Object.entries(stats.rcodes).map(([rcode, count]) => [nameRcode(Number(rcode)), count]),
    ),
    failed: failuresOf(stats),
    forwarded: stats.forwarded,
    dropped: stats.dropped,
    tcpConnections: stats.tcpConnections,
  };
};
