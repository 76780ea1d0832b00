// Sizes, times and durations as people read them.
import { formatSeconds } from "../spec/elapsed.ts";

export { formatMs, formatSeconds, formatSkew } from "../spec/elapsed.ts";

/** 4096 → `4G`, 1536 → `1.5G`, 300 → `300M`; `-` for what is not known. */
export const formatMiB = (sizeMiB: number | null): string => {
  if (sizeMiB === null) return "-";
  if (sizeMiB >= 1024 * 1024) return `${trimmed(sizeMiB / (1024 * 1024))}T`;
  if (sizeMiB >= 1024) return `${trimmed(sizeMiB / 1024)}G`;
  return `${trimmed(sizeMiB)}M`;
};

const trimmed = (value: number): string => value.toFixed(1).replace(/\.0$/, "");

/** `3m20s ago`; `-` for what never was. `nowMs` is milliseconds since the epoch. */
export const formatAgo = (iso: string | null, nowMs: number): string => {
  if (iso === null) return "-";
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return iso;
  return seconds < 1 ? "just now" : `${formatSeconds(seconds)} ago`;
};

/** How long since, without a word around it. */
export const formatSince = (iso: string | null, nowMs: number): string =>
  iso === null ? "-" : formatSeconds((nowMs - Date.parse(iso)) / 1000);
