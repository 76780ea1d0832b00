// Bars and curves of one row, in block characters or in ASCII where a terminal has none.
import type { Span } from "../line.ts";

const ramp = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
const plainRamp = ["_", ".", ":", "-", "=", "+", "*", "#"];

/** Shares between 0 and 1, the newest at the right, in `width` columns. */
export const sparkline = (samples: readonly number[], width: number, isPlain: boolean): string => {
  const steps = isPlain ? plainRamp : ramp;
  const shown = samples.slice(-width).map((share) => steps[Math.min(7, Math.max(0, Math.floor(share * 8)))] ?? " ");
  return shown.join("").padStart(width);
};

/** A bar: what is used, what is promised beyond that, and what is free. */
export const bar = (given: { used: number; reserved: number; width: number; isPlain: boolean }): readonly Span[] => {
  const { width, isPlain } = given;
  const columns = (share: number): number => Math.round(Math.max(0, Math.min(share, 1)) * width);
  const used = columns(given.used);
  const reserved = Math.max(0, columns(given.reserved) - used);
  const [full, half, empty] = isPlain ? ["#", "+", "."] : ["█", "▒", "░"];
  const tone = given.used > 0.9 ? "bad" : given.used > 0.75 ? "moving" : "good";
  return [
    { text: full.repeat(used), tone },
    { text: half.repeat(reserved), tone: "accent" },
    { text: empty.repeat(Math.max(0, width - used - reserved)), tone: "faint" },
  ];
};
