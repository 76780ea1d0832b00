// Finds where in a console log a moment lies, from the times that the shim keeps beside it.

/** One line of a `.times` file: from byte `offset` of its log on, everything was written at `atMs` or later. */
type Entry = { atMs: number; offset: number };

const parseTimes = (text: string): Entry[] =>
  text.split("\n").flatMap((line) => {
    const found = /^(\d{1,15}) (\d{1,15})$/.exec(line);
    return found ? [{ atMs: Number(found[1]), offset: Number(found[2]) }] : [];
  });

/** The shim writes an entry before the first byte that comes this long after the last one (native/shim/boundlog.c). */
const LONGEST_SPAN_MS = 60_000;

/**
 * The first byte that may have been written at `sinceMs` or later; Infinity when none was. What lies between two entries is shown
 * when it may be as young: a line too many rather than one too few. Without any entry nothing is known, and everything is shown.
 */
export const offsetSince = (times: string, sinceMs: number): number => {
  const entries = parseTimes(times);
  const later = entries.findIndex(({ atMs }) => atMs >= sinceMs);
  if (entries.length === 0 || later === 0) return 0;
  const before = entries[later === -1 ? entries.length - 1 : later - 1];
  const next = later === -1 ? Number.POSITIVE_INFINITY : (entries[later]?.offset ?? 0);
  return before && before.atMs + LONGEST_SPAN_MS >= sinceMs ? before.offset : next;
};
