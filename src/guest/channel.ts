// The daemon's end of the guest channel: keeps one synchronised connection to the helper of one VM for as long as it is wanted.
import { type BangerError, fail } from "../spec/errors.ts";
import type { Fields } from "../spec/guest/fields.ts";
import type { Ending, ShutdownKind } from "../spec/guest/protocol.ts";
import { listenForAnnouncements } from "./announcement.ts";
import { type ChannelTransport, type Connection, type Loss, openConnection } from "./connection.ts";
import type { Hello, Ready } from "./hello.ts";
import type { Ping } from "./requests.ts";
import { createSession, type Session } from "./session.ts";
import type { GuestStream } from "./streams.ts";

export type { ChannelTransport } from "./connection.ts";
export type { Ping } from "./requests.ts";
export type { GuestStream } from "./streams.ts";

/** What the helper says about itself and its guest. Untrusted, but of the right form and printable. */
export type GuestInfo = {
  version: string;
  abilities: readonly string[];
  /** The kernel's id of this boot: changes when the guest reboots. Empty when the guest could not read it. */
  bootId: string;
  /** How long the guest had been up when it became ready. */
  uptimeNs: bigint;
  /** Whether an sshd answers already while systemd is still starting. */
  sshd: "early" | "none";
};

/** `connecting`: no transport yet. `synchronising`: no word from the helper yet. `ready`: it answers. `lost`: was connected; `connecting` follows by itself. */
export type ChannelState = "connecting" | "synchronising" | "ready" | "lost";
export type ChannelChange = { state: ChannelState; error?: BangerError };

export type GuestChannel = {
  readonly state: ChannelState;
  /** What READY said. Errors: guest.not_ready at the deadline (its cause says what was wrong last), guest.channel_lost when closed meanwhile, the signal's reason. */
  ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<GuestInfo>;
  /** Waits for a ready helper too, within the same time. Errors: guest.not_ready, operation.timeout, guest.channel_lost. */
  ping(options: { timeoutMs: number }): Promise<Ping>;
  /** Resolves when the guest has begun to go down, not when it is down. Errors: as ping, and guest.refused. */
  shutdown(how: ShutdownKind, options: { timeoutMs: number }): Promise<void>;
  /** Calls the listener when the guest says that it goes down, once for each connection; returns what stops it. */
  onEnding(listener: (why: Ending) => void): () => void;
  onStateChange(listener: (change: ChannelChange) => void): () => void;
  /** Opens a stream on a helper that is ready. Errors: guest.channel_lost when none is, guest.refused when it does not know the kind or has 64 streams. */
  open(kind: string, fields?: Fields): Promise<GuestStream>;
  /** Ends all that is pending with guest.channel_lost; never reconnects. */
  close(): void;
};

const RETRY_FIRST_MS = 5;
const RETRY_LAST_MS = 200;
const RETRY_GROWTH = 1.5;
/** After a helper's fault; doubled each time. */
const PENALTY_FIRST_MS = 100;
const PENALTY_LAST_MS = 5_000;
/** A connection that held this long was a good one. */
const GOOD_AFTER_MS = 10_000;
/** So many pings in a row without any answer mean that the helper hears us no more: synchronise anew. */
const SILENT_PINGS_MAX = 3;

type Waiter = { resolve: (info: GuestInfo) => void; reject: (error: Error) => void };

/** Opens the channel to the helper of `vm` and keeps it open, connecting again by itself, until `close`. */
export const openGuestChannel = (
  transport: ChannelTransport,
  options: { vm: string; version?: string },
): GuestChannel => {
  const { vm } = options;
  const waiters = new Set<Waiter>();
  const endingListeners = new Set<(why: Ending) => void>();
  const changeListeners = new Set<(change: ChannelChange) => void>();
  let state: ChannelState = "connecting";
  let isClosed = false;
  let connection: Connection | null = null;
  let session: Session | null = null;
  let info: GuestInfo | null = null;
  let lastError: BangerError | undefined;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let retryMs = RETRY_FIRST_MS;
  let penaltyMs = PENALTY_FIRST_MS;
  let connectedAtMs = 0;
  let silentPings = 0;
  let isAtFault = false;

  const become = (next: ChannelState, error?: BangerError): void => {
    if (isClosed || (state === next && error === undefined)) return;
    state = next;
    for (const listener of [...changeListeners])
      listener(error === undefined ? { state: next } : { state: next, error });
  };

  const becomeReady = (hello: Hello, ready: Ready): void => {
    const isFirst = info === null;
    info = { ...hello, ...ready };
    silentPings = 0;
    for (const waiter of [...waiters]) waiter.resolve(info);
    if (isFirst) become("ready");
  };

  const errorOf = (loss: Loss): BangerError =>
    loss.kind === "protocol"
      ? fail("guest.protocol_error", { vm, detail: loss.detail })
      : fail("guest.channel_lost", { vm }, loss.detail);

  /** How long to wait before the next attempt. A helper at fault waits longer and longer. */
  const pauseAfter = (loss: Loss): number => {
    const wasGood = connectedAtMs !== 0 && performance.now() - connectedAtMs >= GOOD_AFTER_MS;
    if (wasGood) {
      retryMs = RETRY_FIRST_MS;
      penaltyMs = PENALTY_FIRST_MS;
    }
    const pauseMs = loss.kind === "protocol" ? penaltyMs : retryMs;
    if (loss.kind === "protocol") penaltyMs = Math.min(penaltyMs * 2, PENALTY_LAST_MS);
    else retryMs = Math.min(retryMs * RETRY_GROWTH, RETRY_LAST_MS);
    return pauseMs;
  };

  const lost = (loss: Loss): void => {
    const error = errorOf(loss);
    const wasConnected = state !== "connecting";
    const over = session;
    connection = null;
    session = null;
    info = null;
    silentPings = 0;
    if (wasConnected || loss.kind === "protocol") lastError = error;
    isAtFault = loss.kind === "protocol";
    if (!isClosed) retryTimer = setTimeout(connect, pauseAfter(loss));
    connectedAtMs = 0;
    over?.lost(loss.kind === "protocol" ? error : fail("guest.channel_lost", { vm }, error.cause));
    if (wasConnected || loss.kind === "protocol") become("lost", error);
    become("connecting");
  };

  const connect = (): void => {
    if (isClosed) return;
    const opened = openConnection(transport, {
      connected: () => become("synchronising"),
      synchronised: () => {
        connectedAtMs = performance.now();
        session = createSession({
          vm,
          version: options.version ?? "",
          line: opened,
          events: {
            ready: becomeReady,
            ending: (why) => {
              for (const listener of [...endingListeners]) listener(why);
            },
          },
        });
      },
      frame: (frame) => {
        silentPings = 0;
        return session?.frame(frame) ?? null;
      },
      drained: () => session?.drained(),
      lost,
    });
    connection = opened;
  };

  /** A helper has come: what waits for another attempt, or for an answer of the guest as it was before, begins anew. One at fault waits its time. */
  const announced = (): void => {
    if (isClosed || isAtFault || state !== "connecting") return;
    connection?.lose({ kind: "unreachable", detail: "the guest has announced itself anew" });
    clearTimeout(retryTimer);
    retryMs = RETRY_FIRST_MS;
    connect();
  };

  const waitReady = (wanted: { timeoutMs: number; signal?: AbortSignal }): Promise<GuestInfo> => {
    const { timeoutMs, signal } = wanted;
    if (isClosed) return Promise.reject(fail("guest.channel_lost", { vm }));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (info !== null) return Promise.resolve(info);
    const { promise, resolve, reject } = Promise.withResolvers<GuestInfo>();
    const waiter: Waiter = { resolve, reject };
    const onAbort = () => reject(signal?.reason);
    const timer = setTimeout(() => reject(fail("guest.not_ready", { vm, waitedMs: timeoutMs }, lastError)), timeoutMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    waiters.add(waiter);
    return promise.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      waiters.delete(waiter);
    });
  };

  /** Asks something of a ready helper within one deadline for both the waiting and the asking. */
  const ask = async <Answer>(timeoutMs: number, question: (session: Session, leftMs: number) => Promise<Answer>) => {
    const beganMs = performance.now();
    await waitReady({ timeoutMs });
    const current = session;
    if (current === null) throw fail("guest.channel_lost", { vm });
    return question(current, Math.max(1, timeoutMs - (performance.now() - beganMs)));
  };

  const ping = (timeoutMs: number): Promise<Ping> =>
    ask(timeoutMs, async (current, leftMs) => {
      const asked = connection;
      silentPings += 1;
      try {
        return await current.requests.ping(leftMs);
      } catch (error) {
        /* Only a helper that hunts for SYNC, or one that was replaced unseen, is this silent; a busy guest says something in the end. */
        if (asked === connection && silentPings >= SILENT_PINGS_MAX)
          asked?.lose({ kind: "hung-up", detail: "it is silent" });
        throw error;
      }
    });

  const subscribe = <Listener>(to: Set<Listener>, listener: Listener): (() => void) => {
    to.add(listener);
    return () => to.delete(listener);
  };

  const announcements = transport.kind === "vsock-uds" ? listenForAnnouncements(transport.path, announced) : null;
  connect();

  return {
    get state() {
      return state;
    },
    ready: waitReady,
    ping: (wanted) => ping(wanted.timeoutMs),
    shutdown: (how, wanted) => ask(wanted.timeoutMs, (current, leftMs) => current.requests.shutdown(how, leftMs)),
    onEnding: (listener) => subscribe(endingListeners, listener),
    onStateChange: (listener) => subscribe(changeListeners, listener),
    open: async (kind, fields = {}) => {
      if (session === null || info === null) throw fail("guest.channel_lost", { vm });
      if (!info.abilities.includes(kind)) throw fail("guest.refused", { vm, detail: `it does not know ${kind}` });
      return session.open(kind, fields);
    },
    close: () => {
      if (isClosed) return;
      become("lost");
      isClosed = true;
      clearTimeout(retryTimer);
      announcements?.close();
      connection?.lose({ kind: "hung-up", detail: "closed" });
      for (const waiter of [...waiters]) waiter.reject(fail("guest.channel_lost", { vm }));
    },
  };
};
