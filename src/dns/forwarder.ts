// Asks the host's resolvers on behalf of guests: fresh ids and source ports, strict matching, deadlines and bounds.
import { FLAG, HEADER_BYTES, OPCODE_MASK } from "../core/dns-query.ts";
import { RCODE } from "../core/dns-zone.ts";
import type { Transport } from "./answer.ts";
import { framed } from "./tcp-listener.ts";

export type Upstream = { address: string; port: number };

export type ForwarderOptions = {
  /** The host's resolvers, best first; called for every query, so that a change (a VPN that comes up) counts at once. */
  upstreams: () => readonly Upstream[];
  /** How long one resolver is waited for before the next is asked too, ms; its answer still counts if it comes before the end. */
  attemptMs?: number;
  /** When the client gets SERVFAIL, ms; below the 5 s after which a guest's stub resolver asks again. */
  deadlineMs?: number;
  /** Queries under way, all clients together. */
  maxInFlight?: number;
  /** Queries under way of one client, so that a guest gone wild leaves room for the others. */
  maxInFlightPerClient?: number;
};

export type ForwardRequest = {
  /** A well-formed query with one question; kept until the answer comes. */
  query: Uint8Array;
  transport: Transport;
  /** The client's address. */
  client: string;
};

export type ForwarderStats = { inFlight: number; rejected: number; timeouts: number; mismatched: number };

export type Forwarder = {
  /** The first answer that fits, as the resolver sent it but for the id; null when none did. Never rejects. */
  ask(request: ForwardRequest): Promise<Uint8Array | null>;
  stats(): ForwarderStats;
  /** Ends what is under way with null. */
  close(): void;
};

const MAX_ATTEMPTS = 4;

export const openForwarder = (options: ForwarderOptions): Forwarder => {
  const { attemptMs = 1500, deadlineMs = 4500, maxInFlight = 512, maxInFlightPerClient = 128 } = options;
  const ofClient = new Map<string, number>();
  const running = new Set<() => void>();
  const counts = { rejected: 0, timeouts: 0, mismatched: 0 };

  const ask = async (request: ForwardRequest): Promise<Uint8Array | null> => {
    const upstreams = options.upstreams();
    const mine = ofClient.get(request.client) ?? 0;
    if (upstreams.length === 0 || running.size >= maxInFlight || mine >= maxInFlightPerClient) {
      counts.rejected++;
      return null;
    }
    ofClient.set(request.client, mine + 1);
    try {
      return await race(request, attemptPlan(upstreams));
    } finally {
      const left = (ofClient.get(request.client) ?? 1) - 1;
      if (left > 0) ofClient.set(request.client, left);
      else ofClient.delete(request.client);
    }
  };

  /** Starts the attempts one after the other, each when the one before is silent for long or has failed; the first that fits ends it. */
  const race = (request: ForwardRequest, plan: readonly Upstream[]): Promise<Uint8Array | null> =>
    new Promise((resolve) => {
      const abort = new AbortController();
      let started = 0;
      let failed = 0;
      let worst: Uint8Array | null = null;
      let nextTimer: ReturnType<typeof setTimeout> | undefined;
      const finish = (answer: Uint8Array | null) => {
        if (!running.delete(cancel)) return;
        clearTimeout(deadline);
        clearTimeout(nextTimer);
        abort.abort();
        resolve(answer);
      };
      const cancel = () => finish(null);
      const deadline = setTimeout(() => {
        counts.timeouts++;
        finish(worst);
      }, deadlineMs);
      running.add(cancel);
      const startNext = () => {
        clearTimeout(nextTimer);
        const upstream = plan[started];
        if (!upstream || abort.signal.aborted) return;
        started++;
        nextTimer = setTimeout(startNext, attemptMs);
        const attempt = { query: request.query, upstream, signal: abort.signal, onMismatch: () => counts.mismatched++ };
        (request.transport === "tcp" ? askByTcp(attempt) : askByUdp(attempt)).then((answer) => {
          if (answer && isUseful(answer)) return finish(answer);
          worst ??= answer;
          failed++;
          if (failed === plan.length) finish(worst);
          else if (failed === started) startNext();
        });
      };
      startNext();
    });

  return {
    ask,
    stats: () => ({ ...counts, inFlight: running.size }),
    close: () => {
      for (const cancel of [...running]) cancel();
    },
  };
};

/** Every resolver at least twice, as far as the attempts go: packets get lost. */
const attemptPlan = (upstreams: readonly Upstream[]): readonly Upstream[] =>
  [...upstreams, ...upstreams].slice(0, Math.max(2, Math.min(MAX_ATTEMPTS, upstreams.length * 2)));

/** SERVFAIL and REFUSED tell of the resolver, not of the name: another may do better. */
const isUseful = (answer: Uint8Array): boolean => {
  const rcode = (answer[3] ?? 0) & 0xf;
  return rcode !== RCODE.SERVFAIL && rcode !== RCODE.REFUSED;
};

type Attempt = { query: Uint8Array; upstream: Upstream; signal: AbortSignal; onMismatch: () => void };

const withNewId = (query: Uint8Array): Uint8Array => {
  const copy = query.slice();
  // RFC 5452 §9.2: "Use an unpredictable query ID for outgoing queries, utilizing the full range available (0-65535)."
  crypto.getRandomValues(copy.subarray(0, 2));
  return copy;
};

/**
 * RFC 5452 §9.1: an answer counts only if addresses, ports, id, name, class and type are the query's; addresses and ports are the kernel's part,
 * for the socket is connected.
 * Some resolvers change the question's case, which is no other question (RFC 4343).
 */
export const isAnswerTo = (query: Uint8Array, answer: Uint8Array): boolean => {
  if (answer.length < HEADER_BYTES || answer[0] !== query[0] || answer[1] !== query[1]) return false;
  const flags = ((answer[2] ?? 0) << 8) | (answer[3] ?? 0);
  if (!(flags & FLAG.QR) || flags & OPCODE_MASK) return false;
  if (answer[4] !== 0 || answer[5] !== 1) return false;
  const end = questionEnd(query);
  if (answer.length < end) return false;
  for (let at = HEADER_BYTES; at < end; at++) {
    const isName = at < end - 4;
    if (fold(query[at] ?? 0, isName) !== fold(answer[at] ?? 0, isName)) return false;
  }
  return true;
};

/** An error without its question, as resolvers give that could not read it: nothing to pass on, and no more to wait for. */
const isBareError = (query: Uint8Array, answer: Uint8Array): boolean =>
  answer.length === HEADER_BYTES &&
  answer[0] === query[0] &&
  answer[1] === query[1] &&
  ((answer[2] ?? 0) & 0x80) !== 0 &&
  ((answer[3] ?? 0) & 0xf) !== 0;

/** Length octets are at most 63 and no letters, so a name folds whole; type and class do not fold. */
const fold = (octet: number, isName: boolean): number =>
  isName && octet >= 0x41 && octet <= 0x5a ? octet + 32 : octet;

const questionEnd = (query: Uint8Array): number => {
  let at = HEADER_BYTES;
  while ((query[at] ?? 0) > 0) at += 1 + (query[at] ?? 0);
  return at + 5;
};

/** A socket of its own for each attempt: the kernel gives it a random port. RFC 5452 §9.2: "Use an unpredictable source port for outgoing queries". */
const askByUdp = ({ query, upstream, signal, onMismatch }: Attempt): Promise<Uint8Array | null> =>
  new Promise((resolve) => {
    const sent = withNewId(query);
    let socket: Bun.udp.ConnectedSocket<"uint8array"> | undefined;
    let isDone = false;
    const finish = (answer: Uint8Array | null) => {
      if (isDone) return;
      isDone = true;
      signal.removeEventListener("abort", onAbort);
      socket?.close();
      resolve(answer);
    };
    const onAbort = () => finish(null);
    signal.addEventListener("abort", onAbort);
    Bun.udpSocket({
      connect: { hostname: upstream.address, port: upstream.port },
      binaryType: "uint8array",
      socket: {
        data: (_socket, answer) => {
          if (isDone) return;
          // What does not fit is dropped and waited on: ending here would let a forger end every query (RFC 5452 §9.1).
          if (isAnswerTo(sent, answer)) finish(answer.slice());
          else if (isBareError(sent, answer)) finish(null);
          else onMismatch();
        },
        // ECONNREFUSED, by ICMP: nobody listens there.
        error: () => finish(null),
      },
    })
      .then((opened) => {
        socket = opened;
        if (isDone) return opened.close();
        if (!opened.send(sent)) finish(null);
      })
      .catch(() => finish(null));
  });

/** A connection of its own for each attempt; the answer is the first whole message, and it must fit. */
const askByTcp = ({ query, upstream, signal, onMismatch }: Attempt): Promise<Uint8Array | null> =>
  new Promise((resolve) => {
    const sent = withNewId(query);
    let received = new Uint8Array(0);
    let socket: Bun.Socket<undefined> | undefined;
    let isDone = false;
    const finish = (answer: Uint8Array | null) => {
      if (isDone) return;
      isDone = true;
      signal.removeEventListener("abort", onAbort);
      socket?.terminate();
      resolve(answer);
    };
    const onAbort = () => finish(null);
    signal.addEventListener("abort", onAbort);
    Bun.connect<undefined>({
      hostname: upstream.address,
      port: upstream.port,
      socket: {
        binaryType: "uint8array",
        open: (opened) => {
          socket = opened;
          if (isDone) return void opened.terminate();
          // A query is far smaller than any socket buffer: a short write means that something is wrong.
          const frame = framed(sent);
          if (opened.write(frame) !== frame.length) finish(null);
        },
        data: (_socket, chunk) => {
          if (isDone) return;
          const whole = new Uint8Array(received.length + chunk.length);
          whole.set(received);
          whole.set(chunk, received.length);
          received = whole;
          const length = ((received[0] ?? 0) << 8) | (received[1] ?? 0);
          if (received.length < 2 + length || received.length < 2) return;
          const answer = received.subarray(2, 2 + length);
          if (isAnswerTo(sent, answer)) return finish(answer.slice());
          onMismatch();
          finish(null);
        },
        end: () => finish(null),
        close: () => finish(null),
        error: () => finish(null),
        connectError: () => finish(null),
      },
    }).catch(() => finish(null));
  });
