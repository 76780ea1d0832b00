// The name server's two sockets: it binds them, binds them again when a port or address was not to be had, and counts what passes.
import { RCODE, type Zone } from "../core/dns-zone.ts";
import type { OpenDnsFront } from "../host/dns-front.ts";
import { acceptForwarded, answerQuery, renderError, type Transport } from "./answer.ts";
import { cacheAnswers } from "./answer-cache.ts";
import { addCounts, sumOf } from "./counts.ts";
import type { Forwarder } from "./forwarder.ts";
import { openFrontedUdp, type UdpSide } from "./fronted-udp.ts";
import { openTcpListener, TCP_LIMITS, type TcpLimits, type TcpListener } from "./tcp-listener.ts";

export type DnsServerOptions = {
  listen: {
    /** IPv4 address; it may appear later (a bridge's), and is tried until it does. */
    host: string;
    /** 0: any free one, the same for UDP and TCP. */
    port: number;
    /** Taken while another program holds `port` for both UDP and TCP; the server goes to `port` as soon as it can have both there. */
    fallbackPort?: number;
    /** Makes the sockets elsewhere, in another network namespace: null while the address is not there. `port` is 0 then. */
    bind?: () => Promise<{ port: number; udp: number; tcp: number } | null>;
  };
  /** The snapshot to answer from; read for every packet, so swapping it is all that publishing a change takes. */
  zone: () => Zone;
  /** For views that forward; without it such queries are refused. Closing it is the caller's. */
  forwarder?: Forwarder;
  /** A program in front that remembers answers; for views that forward nothing, since it must know that an answer depends on the zone alone. */
  front?: OpenDnsFront;
  /** How long to wait before a bind that failed is tried again, ms. */
  retryMs?: number;
  tcpLimits?: Partial<TcpLimits>;
  /** What an administrator would want to read: where it listens, and what it could not have. */
  log?: (message: string) => void;
  /** Called after address, port or an error of the listeners changed. */
  onChange?: () => void;
};

export type DnsStats = {
  udpQueries: number;
  tcpQueries: number;
  /** Answers by RCODE number, forwarded ones included. */
  rcodes: Readonly<Record<number, number>>;
  /** Queries handed to the host's resolvers. */
  forwarded: number;
  /** … to which none of them had an answer. */
  forwardFailed: number;
  /** Packets that deserve none: responses, and what is shorter than a header. */
  silenced: number;
  /** UDP answers that the kernel had no room for. */
  dropped: number;
  tcpConnections: number;
  tcpEvicted: number;
};

export type DnsServer = {
  readonly host: string;
  /** Where it listens now; 0 while it has neither socket. */
  readonly port: number;
  /** True while it is not on the port it wants. */
  readonly isOnFallback: boolean;
  /** Why there is no UDP socket (EADDRINUSE, EADDRNOTAVAIL, …), or null. */
  readonly udpError: string | null;
  readonly tcpError: string | null;
  stats(): DnsStats;
  /** To be called after `zone` gives another one: no answer of the old one is sent after this returns. */
  zoneChanged(): void;
  /** Tries what is missing now, say because a bridge has just got its address. */
  retry(): Promise<void>;
  close(): Promise<void>;
};

type Pair = {
  port: number;
  udp: UdpSide | null;
  tcp: TcpListener | null;
  udpError: string | null;
  tcpError: string | null;
};

const nothing: Pair = { port: 0, udp: null, tcp: null, udpError: null, tcpError: null };
const lacking = (code: string): Pair => ({ ...nothing, udpError: code, tcpError: code });
const errnoOf = (error: unknown): string => (error as { code?: string }).code ?? String(error);
/** Two random ports in a row that are free for UDP and taken for TCP are rare; eight do not happen. */
const ANY_PORT_TRIES = 8;

/** Opens the server. A port or address that is not to be had is no failure: it says so and keeps trying. */
export const openDnsServer = async (options: DnsServerOptions): Promise<DnsServer> => {
  const { host, port: wantedPort, fallbackPort } = options.listen;
  const limits = { ...TCP_LIMITS, ...options.tcpLimits };
  const counts = { udpQueries: 0, tcpQueries: 0, forwarded: 0, forwardFailed: 0, silenced: 0 };
  const rcodes: Record<number, number> = {};
  let pair = nothing;
  let homePort = wantedPort;
  let isClosed = false;
  const before = { evicted: 0, dropped: 0, remembered: {} as Record<number, number> };

  const answer = cacheAnswers(answerQuery);
  const respond = (query: Uint8Array, transport: Transport, client: string) => {
    const zone = options.zone();
    const reply = answer(zone, query, transport);
    if (reply.kind === "silence") {
      counts.silenced++;
      return null;
    }
    if (reply.kind === "reply") {
      rcodes[reply.rcode] = (rcodes[reply.rcode] ?? 0) + 1;
      return reply.bytes;
    }
    return forward({ zone, query, transport, client, frame: reply.frame });
  };

  const forward = (
    request: Parameters<typeof acceptForwarded>[0] & { client: string },
  ): Uint8Array | Promise<Uint8Array> => {
    const { forwarder } = options;
    if (!forwarder) return renderError(request.zone, request.query, { frame: request.frame, rcode: RCODE.REFUSED });
    counts.forwarded++;
    // The socket's buffer is used again once its handler returns.
    const query = request.query.slice();
    return forwarder
      .ask({ query, transport: request.transport, client: request.client })
      .catch(() => null)
      .then((answer) => {
        const accepted = answer && acceptForwarded({ ...request, query }, answer);
        if (!accepted) counts.forwardFailed++;
        const bytes = accepted ?? renderError(request.zone, query, { frame: request.frame, rcode: RCODE.SERVFAIL });
        const rcode = (bytes[3] ?? 0) & 0xf;
        rcodes[rcode] = (rcodes[rcode] ?? 0) + 1;
        return bytes;
      });
  };

  const bindUdp = openFrontedUdp({
    host,
    front: options.forwarder ? undefined : options.front,
    answer: (query, client) => {
      counts.udpQueries++;
      return respond(query, "udp", client);
    },
    log: (message) => options.log?.(message),
    onLost: () => {
      retire(pair.udp);
      pair = { ...pair, udp: null, udpError: "EPIPE" };
      void retry();
    },
  });

  const bindTcp = (port: number, fd?: number): TcpListener =>
    openTcpListener({
      host,
      port,
      fd,
      limits,
      answer: (query, client) => {
        counts.tcpQueries++;
        return respond(query, "tcp", client);
      },
    });

  /** Sockets that are made elsewhere come both or not at all. */
  const takeBound = async (bind: NonNullable<DnsServerOptions["listen"]["bind"]>, have: Pair): Promise<Pair> => {
    if (have.udp && have.tcp) return have;
    const given = await bind();
    if (!given) return lacking("EADDRNOTAVAIL");
    const { port, udp, tcp } = given;
    return { port, udp: await bindUdp(port, udp), tcp: bindTcp(port, tcp), udpError: null, tcpError: null };
  };

  /** Binds what `have` lacks at a port. */
  const bindPair = async (port: number, have: Pair = nothing): Promise<Pair> => {
    const next = { ...have, udpError: null as string | null, tcpError: null as string | null };
    for (let tries = 1; ; tries++) {
      try {
        next.udp ??= await bindUdp(port);
      } catch (error) {
        next.udpError = errnoOf(error);
      }
      try {
        next.tcp ??= bindTcp(port || next.udp?.port || 0);
        next.tcpError = null;
      } catch (error) {
        next.tcpError = errnoOf(error);
      }
      if (port !== 0 || next.tcpError !== "EADDRINUSE" || tries === ANY_PORT_TRIES) break;
      await next.udp?.close();
      next.udp = null;
    }
    next.port = next.udp?.port ?? next.tcp?.port ?? 0;
    return next;
  };

  /** Its counts go on in ours. */
  const retire = (udp: UdpSide | null) => {
    before.dropped += udp?.dropped() ?? 0;
    before.remembered = addCounts(before.remembered, udp?.remembered?.() ?? {});
  };

  const closePair = async ({ udp, tcp }: Pair): Promise<void> => {
    retire(udp);
    before.evicted += tcp?.evicted() ?? 0;
    tcp?.close();
    await udp?.close();
  };

  const attempt = async (): Promise<Pair> => {
    // What makes sockets elsewhere may be missing for a while, as an address may.
    if (options.listen.bind) return takeBound(options.listen.bind, pair).catch((error) => lacking(errnoOf(error)));
    const hasAny = pair.udp !== null || pair.tcp !== null;
    if (hasAny && pair.port !== homePort) {
      const home = await bindPair(homePort);
      if (home.udp && home.tcp) {
        await closePair(pair);
        return home;
      }
      await closePair(home);
      return pair.udp && pair.tcp ? pair : bindPair(pair.port, pair);
    }
    const next = await bindPair(homePort, pair);
    const isTaken = next.udpError === "EADDRINUSE" && next.tcpError === "EADDRINUSE";
    return isTaken && fallbackPort !== undefined ? bindPair(fallbackPort) : next;
  };

  const describe = ({ port, udp, tcp, udpError, tcpError }: Pair): string => {
    const working = [udp && "UDP", tcp && "TCP"].filter(Boolean).join(" and ");
    const lacking = [udpError && `UDP (${udpError})`, tcpError && `TCP (${tcpError})`].filter(Boolean).join(" and ");
    const where = working
      ? `names are answered at ${host}:${port} by ${working}`
      : `names are not answered at ${host}:${homePort}`;
    const tail = lacking ? `; without ${lacking}, which is tried again by itself` : "";
    return working && port !== homePort ? `${where}, since port ${homePort} is taken${tail}` : `${where}${tail}`;
  };

  let running: Promise<void> | null = null;
  let timer: Timer | null = null;
  const isWhole = () => pair.udp !== null && pair.tcp !== null && pair.port === homePort;
  const retry = (): Promise<void> => {
    if (isClosed || isWhole()) return Promise.resolve();
    running ??= attempt()
      .then((next) => {
        const described = describe(pair);
        const wasNothing = pair === nothing;
        pair = next;
        if (homePort === 0) homePort = pair.port;
        if (isClosed) return closePair(pair);
        if (!wasNothing && describe(pair) === described) return;
        options.log?.(describe(pair));
        options.onChange?.();
      })
      .finally(() => {
        running = null;
        retryLater();
      });
    return running;
  };
  /** Only while something lacks: a server that has all it wants does nothing until it is asked. */
  const retryLater = (): void => {
    if (isClosed || isWhole() || timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      void retry();
    }, options.retryMs ?? 3000);
    timer.unref();
  };

  const remembered = () => addCounts(before.remembered, pair.udp?.remembered?.() ?? {});

  await retry();

  return {
    host,
    get port() {
      return pair.port;
    },
    get isOnFallback() {
      return pair.port !== 0 && pair.port !== homePort;
    },
    get udpError() {
      return pair.udpError;
    },
    get tcpError() {
      return pair.tcpError;
    },
    zoneChanged: () => pair.udp?.forget?.(),
    stats: () => ({
      ...counts,
      udpQueries: counts.udpQueries + sumOf(remembered()),
      rcodes: addCounts(rcodes, remembered()),
      tcpConnections: pair.tcp?.connections() ?? 0,
      tcpEvicted: before.evicted + (pair.tcp?.evicted() ?? 0),
      dropped: before.dropped + (pair.udp?.dropped() ?? 0),
    }),
    retry,
    close: async () => {
      isClosed = true;
      if (timer !== null) clearTimeout(timer);
      await running;
      await closePair(pair);
    },
  };
};
