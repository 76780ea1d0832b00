// What a process costs: processor time and memory, also without what the machine under a virtual one charges for memory at rest.
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";

const PAGE_BYTES = 4096;
const MS_PER_NS = 1e-6;

/** Milliseconds on a processor by thread, as the scheduler counts them (/proc/PID/task/TID/schedstat, nanoseconds). */
const cpuMsByThread = (pid: number): Map<string, number> =>
  new Map(
    readdirSync(`/proc/${pid}/task`).map((thread) => {
      const [spent] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
      return [thread, Number(spent) * MS_PER_NS];
    }),
  );

/** Milliseconds on a processor that its threads spend in the next `ms`, but for what those spend that end meanwhile. */
export const cpuMsDuring = async (pid: number, ms: number): Promise<number> => {
  const before = cpuMsByThread(pid);
  await Bun.sleep(ms);
  return [...cpuMsByThread(pid)].reduce((sum, [thread, spent]) => sum + spent - (before.get(thread) ?? 0), 0);
};

export const residentKiBIn = (status: string): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN);
export const residentKiBOf = (pid: number): number => residentKiBIn(readFileSync(`/proc/${pid}/status`, "utf8"));

/** Processes that it has started and that still run. */
export const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

const REST_MS = 1000;
const REST_PAGES = 2048;

/**
 * Microseconds that touching a page costs after it has rested for a second, above touching it at once. Near nothing on a machine of
 * its own; where memory that rests is taken from a virtual machine and given back when it is needed, that is charged to whoever needs it.
 */
export const measureRest = async (): Promise<number> => {
  const bytes = new Uint8Array(REST_PAGES * PAGE_BYTES);
  const touch = (): number => {
    const beganMs = performance.now();
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) bytes[at] = (bytes[at] ?? 0) + 1;
    return performance.now() - beganMs;
  };
  for (let warm = 0; warm < 50; warm++) touch();
  const atOnceMs = touch();
  await Bun.sleep(REST_MS);
  return Math.max(0, ((touch() - atOnceMs) * 1000) / REST_PAGES);
};

export type Presence = { close: () => Promise<void> };

/** Reads a byte of each page that these processes have, ten times a second, so that none of them rests. Errors: what the kernel says where it may not. */
export const keepPresent = async (pids: readonly number[]): Promise<Presence> => {
  const child = Bun.spawn([process.execPath, import.meta.path, ...pids.map(String)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  if (done) throw new Error((await new Response(child.stderr).text()).trim());
  return {
    close: async () => {
      child.kill();
      await child.exited;
    },
  };
};

const ROUND_MS = 100;
/** A process reserves address space by the gigabyte: so much of its page table at a time is enough. */
const TABLE_PAGES = 65_536;
/** Bit 63 of an entry (Documentation/admin-guide/mm/pagemap.rst). */
const IS_PRESENT = 0x80;
const USER_END = 0x7fff_ffff_f000;

const pagesIn = (pagemap: number, start: number, end: number): number[] => {
  const pages: number[] = [];
  for (let from = start; from < end; from += TABLE_PAGES * PAGE_BYTES) {
    const count = Math.min(TABLE_PAGES, (end - from) / PAGE_BYTES);
    const entries = Buffer.alloc(count * 8);
    readSync(pagemap, entries, 0, entries.length, (from / PAGE_BYTES) * 8);
    for (let at = 0; at < count; at++) if ((entries[at * 8 + 7] ?? 0) & IS_PRESENT) pages.push(from + at * PAGE_BYTES);
  }
  return pages;
};

const presentPages = (pid: string): number[] => {
  const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
  try {
    // Each mapping is a line with its addresses, followed by what it has resident (proc_pid_smaps(5)).
    const mappings = readFileSync(`/proc/${pid}/smaps`, "utf8").matchAll(
      /^([0-9a-f]+)-([0-9a-f]+) [\s\S]*?^Rss: +(\d+) kB$/gm,
    );
    return [...mappings].flatMap(([, start = "", end = "", resident = ""]) =>
      Number(resident) > 0 && Number.parseInt(start, 16) < USER_END
        ? pagesIn(pagemap, Number.parseInt(start, 16), Number.parseInt(end, 16))
        : [],
    );
  } finally {
    closeSync(pagemap);
  }
};

const readForEver = async (pids: readonly string[]): Promise<never> => {
  const byte = Buffer.alloc(1);
  const memory = new Map(pids.map((pid) => [pid, openSync(`/proc/${pid}/mem`, "r")]));
  for (let round = 0; ; round++) {
    for (const [pid, file] of memory) {
      for (const page of presentPages(pid)) {
        try {
          readSync(file, byte, 0, 1, page);
        } catch {
          // It was given back since we looked.
        }
      }
    }
    if (round === 0) console.log("present");
    await Bun.sleep(ROUND_MS);
  }
};

if (import.meta.main) await readForEver(process.argv.slice(2));
