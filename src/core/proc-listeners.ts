// Reads the kernel's tables of TCP sockets (/proc/net/tcp and tcp6, proc(5)): who listens where, and a port that nobody has.

export type ListeningSocket = { address: string; port: number; uid: number; inode: number };

const LISTEN = "0A";

/** Eight hexadecimal digits a word, each word in the byte order of this machine (little endian). */
const bytesOf = (hex: string): number[] =>
  (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
  );

const spellSix = (bytes: readonly number[]): string => {
  if (bytes.every((byte) => byte === 0)) return "::";
  if (bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255)
    return `::ffff:${bytes.slice(12).join(".")}`;
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0));
  const text = groups.map((group) => group.toString(16)).join(":");
  // The longest run of zero groups, as RFC 5952 §4.2 has it.
  const runs = text.match(/(^|:)0(:0)+(:|$)/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  return longest === "" ? text : text.replace(longest, "::");
};

/** The sockets of one table that listen; lines that are none are passed over. */
export const parseListeners = (table: string): ListeningSocket[] =>
  table.split("\n").flatMap((line): ListeningSocket[] => {
    const words = line.trim().split(/\s+/);
    const [, local, , state, , , , uid, , inode] = words;
    const match = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/.exec(local ?? "");
    if (!match || state !== LISTEN) return [];
    const bytes = bytesOf(match[1] ?? "");
    return [
      {
        address: bytes.length === 4 ? bytes.join(".") : spellSix(bytes),
        port: Number.parseInt(match[2] ?? "", 16),
        uid: Number(uid),
        inode: Number(inode),
      },
    ];
  });

const PORT_MAX = 65_535;
const UNPRIVILEGED = 1024;

/** The next port above `wanted` that no listener has; a privileged one's like in the thousands (80 → 8080) is tried first. */
export const suggestPort = (wanted: number, taken: ReadonlySet<number>): number => {
  const first = wanted < UNPRIVILEGED ? 8000 + wanted : wanted + 1;
  for (let port = first; port <= PORT_MAX; port++) if (!taken.has(port)) return port;
  for (let port = UNPRIVILEGED; port < first; port++) if (!taken.has(port)) return port;
  return wanted;
};
