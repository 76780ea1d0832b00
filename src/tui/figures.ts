// Sizes and durations as the screen shows them: short, and of a width that a column can count on.
import { formatSeconds } from "../spec/elapsed.ts";

export { formatMs, formatSeconds } from "../spec/elapsed.ts";

/** 4096 → `4G`, 1536 → `1.5G`, 300 → `300M`; `-` for what is not known. */
export const formatMiB = (sizeMiB: number | null): string => {
  if (sizeMiB === null) return "-";
  if (sizeMiB >= 1024 * 1024) return `${shorten(sizeMiB / (1024 * 1024))}T`;
  if (sizeMiB >= 1024) return `${shorten(sizeMiB / 1024)}G`;
  return `${Math.round(sizeMiB)}M`;
};

const shorten = (value: number): string =>
  (value >= 100 ? String(Math.round(value)) : value.toFixed(1)).replace(/\.0$/, "");

/** How long ago, `nowMs` in milliseconds since the epoch; `-` for what never was. */
export const formatAgo = (iso: string | null, nowMs: number): string => {
  if (iso === null) return "-";
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  return seconds < 1 ? "just now" : `${formatSeconds(seconds)} ago`;
};

/** A share between 0 and 1 as `42%`. */
export const formatShare = (share: number): string => `${Math.round(share * 100)}%`;
