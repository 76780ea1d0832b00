// Keeps the line to the daemon: lists, then every change by its cursor; when the daemon goes away, looks for it again and again.
import type { DaemonClient } from "../client/connect.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { Event } from "../spec/events.ts";
import type { Vm } from "../spec/vm.ts";
import { reportFailure } from "./failure.ts";
import type { Message } from "./message.ts";
import { staleAfter } from "./update-events.ts";

/** The daemon is not there, as opposed to one that answers badly. */
class Gone extends Error {
  override readonly name = "Gone";
}

export type DaemonLink = {
  /** The client of the daemon that answered last. */
  client: () => DaemonClient;
  /** Where the VMs' disks are; null before the daemon said so. */
  dataDir: () => string | null;
  /** Starts the daemon when it is away. */
  startDaemon: () => void;
  refreshImages: () => void;
  close: () => void;
};

/** Events of before our time that are shown. */
const HISTORY = 300;
const BATCH_MS = 40;
/** More changed VMs than these are asked for as one list. */
const SHOWN_ONE_BY_ONE = 6;
const RETRY_MS = { first: 200, longest: 2000 };

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end, { once: true });
  });

export const openDaemonLink = (given: {
  openClient: () => DaemonClient;
  dispatch: (message: Message) => void;
}): DaemonLink => {
  const { openClient, dispatch } = given;
  const end = new AbortController();
  let client = openClient();
  let dataDir: string | null = null;
  let cursor: number | null = null;
  let mayStart = true;
  let wake = new AbortController();

  const stale = new Set<string>();
  let isRefreshing = false;

  /** Asks for one VM or one list after the other, so that of many changes in a short time the last one is asked for. */
  const refreshVms = async (): Promise<void> => {
    isRefreshing = true;
    try {
      while (stale.size > 0) {
        const ids = [...stale];
        stale.clear();
        await refresh(ids);
      }
    } catch {
      // The subscription notices that the daemon is gone, and everything is listed when it is back.
    } finally {
      isRefreshing = false;
    }
  };
  const refresh = async (ids: readonly string[]): Promise<void> => {
    if (ids.length > SHOWN_ONE_BY_ONE) {
      dispatch({ type: "listed", vms: await client.call("vm.list", {}) });
      return;
    }
    const answers = await Promise.all(ids.map((vm) => client.call("vm.show", { vm }).catch(() => null)));
    const vms = answers.filter((vm): vm is Vm => vm !== null);
    if (vms.length > 0) dispatch({ type: "shown", vms });
  };

  const refreshImages = (): void => {
    void client
      .call("image.list", {})
      .then((images) => dispatch({ type: "images-listed", images }))
      .catch(() => {});
  };

  const onEvents = (events: readonly Event[]): void => {
    dispatch({ type: "events", events, isHistory: false });
    const { vms, images } = staleAfter(events);
    for (const id of vms) stale.add(id);
    if (stale.size > 0 && !isRefreshing) void refreshVms();
    if (images) refreshImages();
  };

  /** Resolves or throws when the stream ends. */
  const subscribe = async (since: number): Promise<void> => {
    let held: Event[] = [];
    let timer: ReturnType<typeof setTimeout> | null = null;
    const flush = (): void => {
      timer = null;
      const events = held;
      held = [];
      if (events.length > 0) onEvents(events);
    };
    const onEvent = (event: Event): void => {
      cursor = event.cursor;
      held.push(event);
      timer ??= setTimeout(flush, BATCH_MS);
    };
    try {
      await client.call("events.subscribe", { since }, { signal: end.signal, onEvent });
    } finally {
      if (timer !== null) clearTimeout(timer);
      flush();
    }
  };

  /** What happened before: for the first time only, since later we have it already. */
  const readHistory = async (newest: number): Promise<void> => {
    const events: Event[] = [];
    await client.call(
      "events.subscribe",
      { since: Math.max(0, newest - HISTORY), follow: false },
      { signal: end.signal, onEvent: (event) => void events.push(event) },
    );
    const past = events.filter((event) => event.cursor <= newest);
    if (past.length > 0) dispatch({ type: "events", events: past, isHistory: true });
  };

  /** Starts it where that was asked for, and says so when it fails. */
  const greet = async (): Promise<NonNullable<Awaited<ReturnType<DaemonClient["peek"]>>>> => {
    const isAsked = mayStart;
    // Whoever asks from here on asks for the next time.
    mayStart = false;
    if (isAsked) {
      try {
        return await client.hello();
      } catch (error) {
        if (!end.signal.aborted)
          dispatch({ type: "problem", subject: "start the daemon", report: reportFailure(error) });
        throw error;
      }
    }
    const hello = await client.peek();
    if (hello === null) throw new Gone("it does not run");
    return hello;
  };

  const live = async (): Promise<void> => {
    client = openClient();
    const hello = await greet();
    const { cursor: newest } = await client.call("events.subscribe", { follow: false }, { signal: end.signal });
    // A daemon with a new database counts from the beginning again.
    const isResumed = cursor !== null && cursor <= newest;
    const since: number = isResumed && cursor !== null ? cursor : newest;
    const [vms, status] = await Promise.all([
      client.call("vm.list", {}, { signal: end.signal }),
      client.call("system.status", {}, { signal: end.signal }),
    ]);
    dataDir = status.dataDir;
    dispatch({ type: "connected", version: hello.version, instance: hello.instance });
    dispatch({ type: "listed", vms });
    if (cursor === null) await readHistory(newest);
    cursor = since;
    refreshImages();
    await subscribe(since);
    throw new Gone("it ended the stream");
  };

  const run = async (): Promise<void> => {
    let waitMs = RETRY_MS.first;
    while (!end.signal.aborted) {
      const startedMs = performance.now();
      try {
        await live();
      } catch (error) {
        if (end.signal.aborted) return;
        dispatch({ type: "lost", detail: describeUnknown(error), nowMs: Date.now() });
      }
      const hasHeld = performance.now() - startedMs > RETRY_MS.longest;
      waitMs = hasHeld ? RETRY_MS.first : Math.min(waitMs * 1.5, RETRY_MS.longest);
      if (mayStart) continue;
      wake = new AbortController();
      await sleep(waitMs, AbortSignal.any([wake.signal, end.signal]));
    }
  };
  void run();

  return {
    client: () => client,
    dataDir: () => dataDir,
    startDaemon: () => {
      mayStart = true;
      wake.abort();
    },
    refreshImages,
    close: () => end.abort(),
  };
};
