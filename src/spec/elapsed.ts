// Lengths of time as people read them, the same on the command line and on the screen.

const units: readonly (readonly [unit: string, seconds: number])[] = [
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

/** How far one clock is from another: `on time`, `20 ms ahead`, `1.5 s behind`, `2h5m behind`. */
export const formatSkew = (skewMs: number): string => {
  const size = Math.abs(skewMs);
  return Math.round(size) === 0 ? "on time" : `${formatMs(size)} ${skewMs < 0 ? "behind" : "ahead"}`;
};

/** 820 → `820 ms`, 2345 → `2.3 s`, 95000 → `1m35s`. */
export const formatMs = (ms: number): string => {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : formatSeconds(ms / 1000);
};
