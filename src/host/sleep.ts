// How long this host has slept: the difference of the clock that ticks meanwhile and the one that does not (clock_gettime(2)).
import { dlopen, ptr } from "bun:ffi";

const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;

type GetTime = (clock: number, time: number) => number;
let getTime: GetTime | null = null;

const loadGetTime = (): GetTime => {
  getTime ??= dlopen("libc.so.6", { clock_gettime: { args: ["i32", "ptr"], returns: "i32" } }).symbols
    .clock_gettime as unknown as GetTime;
  return getTime;
};

const readMs = (clock: number): number => {
  const time = new BigInt64Array(2);
  if (loadGetTime()(clock, ptr(time) as unknown as number) !== 0) return 0;
  return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
};

/** Milliseconds since boot in which this host was suspended. */
export const readAsleepMs = (): number => readMs(CLOCK_BOOTTIME) - readMs(CLOCK_MONOTONIC);
