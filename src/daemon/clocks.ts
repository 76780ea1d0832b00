// Knows how far each guest's clock is off, and sets the clocks after the host has slept: a guest does not notice that it did.
import { setGuestClock } from "../guest/clock.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { ClockReading } from "../spec/vm.ts";
import type { Context } from "./context.ts";

export type ClockKeeper = {
  /** What a ping told. */
  note(id: string, skewMs: number): void;
  /** What was measured last in this run of the VM; null before. */
  reading(id: string): ClockReading | null;
  /** Errors: as setGuestClock. */
  set(id: string): Promise<{ wasMs: number; skewMs: number }>;
  forget(id: string): void;
  /** Looks whether the host has slept since the last time, and sets the clocks then; resolves when that is done. */
  look(): Promise<void>;
};

/** A clock that ticks while the host sleeps runs ahead of one that does not by that sleep; less is how the two are read. */
const SLEEP_MIN_MS = 1000;
/** A guest whose clock is nearer than this was set by itself, or never stood still. */
const OFF_MIN_MS = 100;
const SET_TIMEOUT_MS = 10_000;

export const createClockKeeper = (options: {
  /** How long the host has slept since it booted. */
  asleepMs: () => number;
  context: () => Pick<Context, "live" | "store" | "log" | "bus" | "now">;
}): ClockKeeper => {
  const readings = new Map<string, ClockReading>();
  let seenMs = options.asleepMs();

  const note = (id: string, skewMs: number): void => {
    const correctedAt = readings.get(id)?.correctedAt ?? null;
    readings.set(id, {
      skewMs: Math.round(skewMs * 10) / 10,
      measuredAt: options.context().now().toISOString(),
      correctedAt,
    });
  };

  const set = async (id: string) => {
    const { live, store, now } = options.context();
    const channel = live.get(id)?.channel;
    const vm = store.vms.get(id)?.spec.name ?? id;
    if (!channel) return { wasMs: 0, skewMs: 0 };
    const result = await setGuestClock(channel, { vm, timeoutMs: SET_TIMEOUT_MS });
    note(id, result.skewMs);
    const noted = readings.get(id);
    if (noted) readings.set(id, { ...noted, correctedAt: now().toISOString() });
    return result;
  };

  /** One guest after a sleep: measured, and set when it is off. Answers its name when it was set. */
  const setAfterSleep = async (id: string): Promise<string | null> => {
    const { live, store, log } = options.context();
    const name = store.vms.get(id)?.spec.name ?? id;
    try {
      const ping = await live.get(id)?.channel.ping({ timeoutMs: SET_TIMEOUT_MS });
      if (!ping) return null;
      note(id, ping.clockSkewMs);
      if (Math.abs(ping.clockSkewMs) < OFF_MIN_MS) return null;
      await set(id);
      return name;
    } catch (error) {
      log.warn("a guest's clock could not be set", { vm: name, detail: describeUnknown(error) });
      return null;
    }
  };

  return {
    note,
    reading: (id) => readings.get(id) ?? null,
    set,
    forget: (id) => void readings.delete(id),
    look: async () => {
      const nowMs = options.asleepMs();
      const sleptMs = nowMs - seenMs;
      seenMs = nowMs;
      if (sleptMs < SLEEP_MIN_MS) return;
      const { live, log, bus } = options.context();
      const names = await Promise.all([...live.keys()].map(setAfterSleep));
      const done = names.filter((name) => name !== null);
      log.info("the host has slept", { sleptMs: Math.round(sleptMs), set: done });
      if (done.length > 0)
        bus.publish({
          type: "daemon.note",
          text: `the host slept for ${Math.round(sleptMs / 1000)} s; the clocks of ${done.join(", ")} were set`,
        });
    },
  };
};
