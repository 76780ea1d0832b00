// Sizes and durations as the screen shows them: short, and of a width that a column can count on.

/** 4096 → `4G`, 1536 → `1.5G`, 300 → `300M`; `-` for what is not known. */
export const formatMiB = (sizeMiB: number | null): string => {
  if (sizeMiB === null) return "-";
  if (sizeMiB >= 1024 * 1024) return `${shorten(sizeMiB / (1024 * 1024))}T`;
  if (sizeMiB >= 1024) return `${shorten(sizeMiB / 1024)}G`;
  return `${Math.round(sizeMiB)}M`;
};

const shorten = (value: number): string =>
  (value >= 100 ? String(Math.round(value)) : value.toFixed(1)).replace(/\.0$/, "");

const units: readonly (readonly [string, number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
];

/** The two largest units: `45s`, `3m20s`, `2h5m`, `3d4h`. */
export const formatSeconds = (seconds: number): string => {
  const whole = Math.max(0, Math.floor(seconds));
  const first = units.findIndex(([, size]) => whole >= size);
  if (first < 0) return "0s";
  let rest = whole;
  let text = "";
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
};

/** 820 → `820 ms`, 2345 → `2.3 s`, 95000 → `1m35s`. */
export const formatMs = (ms: number): string => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : formatSeconds(ms / 1000);
};

/** How long ago, `nowMs` in milliseconds since the epoch; `-` for what never was. */
export const formatAgo = (iso: string | null, nowMs: number): string => {
  if (iso === null) return "-";
  const seconds = (nowMs - Date.parse(iso)) / 1000;
  return seconds < 1 ? "just now" : `${formatSeconds(seconds)} ago`;
};

/** A share between 0 and 1 as `42%`. */
export const formatShare = (share: number): string => `${Math.round(share * 100)}%`;
