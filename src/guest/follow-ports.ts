// Keeps what listens in a guest as its helper tells it, over lost connections and reboots, and says at most twice a second that it changed.
import { planGuestPorts } from "../core/guest-ports.ts";
import type { GuestPort } from "../spec/ports.ts";
import type { GuestChannel } from "./channel.ts";
import { watchListeners } from "./reports.ts";

export type PortFollower = {
  /** As last told; null while the helper has said nothing, or cannot. */
  current(): readonly GuestPort[] | null;
  /** Somebody asked the helper meanwhile, and this is what it said. */
  note(ports: readonly GuestPort[]): void;
};

const READY_MS = 600_000;
const RETRY_MS = 1000;
/** A guest may open and close as often as it likes: nobody is woken more often than this. */
const QUIET_MS = 500;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener("abort", finish, { once: true });
  });

/** Follows until the signal is aborted. */
export const followPorts = (
  channel: GuestChannel,
  options: { vm: string; signal: AbortSignal; onChange: () => void },
): PortFollower => {
  const { vm, signal } = options;
  let ports: readonly GuestPort[] | null = null;
  let told = "";
  let timer: Timer | undefined;
  let lastMs = 0;

  const tell = () => {
    timer = undefined;
    lastMs = performance.now();
    if (!signal.aborted) options.onChange();
  };
  const take = (next: readonly GuestPort[]) => {
    const text = JSON.stringify(next);
    if (text === told) return;
    told = text;
    ports = next;
    timer ??= setTimeout(tell, Math.max(0, lastMs + QUIET_MS - performance.now()));
  };
  const follow = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const { abilities } = await channel.ready({ timeoutMs: READY_MS, signal });
        if (!abilities.includes("listen")) return;
        await watchListeners(channel, { vm, signal, onChange: (listeners) => take(planGuestPorts(listeners)) });
      } catch {
        // A guest that reboots, or a helper that is started anew: it is asked again when it answers.
      }
      await pause(RETRY_MS, signal);
    }
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  void follow();
  return { current: () => ports, note: take };
};
