// Turns what was measured of guests' clocks into findings that people read.
import { formatSkew } from "../spec/elapsed.ts";
import type { ClockReading, VmState } from "../spec/vm.ts";

/** From here on programs notice: TLS, tokens and make(1) go wrong by seconds. */
export const CLOCK_OFF_MS = 1000;

export type ClockFinding = {
  vm: string;
  skewMs: number;
  measuredAt: string;
  isOff: boolean;
  sentence: string;
  /** What sets it; null when it need not be. */
  fix: string | null;
};

/** One finding for each running VM whose clock was ever measured. */
export const clockReadings = (
  vms: readonly { name: string; state: VmState; clock: ClockReading | null }[],
): ClockFinding[] =>
  vms.flatMap(({ name, state, clock }) => {
    if (state !== "running" || clock === null) return [];
    const isOff = Math.abs(clock.skewMs) >= CLOCK_OFF_MS;
    const { skewMs, measuredAt } = clock;
    const sentence = `the clock of ${name} is ${formatSkew(skewMs)}`;
    return [{ vm: name, skewMs, measuredAt, isOff, sentence, fix: isOff ? `banger vm clock ${name}` : null }];
  });
