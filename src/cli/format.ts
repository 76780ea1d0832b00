// Sizes, times and durations as people read them.

/** 4096 → `4G`, 1536 → `1.5G`, 300 → `300M`; `-` for what is not known. */
export const formatMiB = (sizeMiB: number | null): string => {
  if (sizeMiB === null) return "-";
  if (sizeMiB >= 1024 * 1024) return `${trimmed(sizeMiB / (1024 * 1024))}T`;
  if (sizeMiB >= 1024) return `${trimmed(sizeMiB / 1024)}G`;
  return `${trimmed(sizeMiB)}M`;
};

const trimmed = (value: number): string => value.toFixed(1).replace(/\.0$/, "");

/** 820 → `820 ms`, 2345 → `2.3 s`, 95000 → `1m35s`. */
export const formatMs = (ms: number): string => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return formatSeconds(ms / 1000);
};

/** The two largest units: `45s`, `3m20s`, `2h5m`, `3d4h`. */
export const formatSeconds = (seconds: number): string => {
  const whole = Math.max(0, Math.floor(seconds));
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ];
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
