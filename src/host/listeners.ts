// Finds what listens on TCP on this host, and which process holds it, as far as this user may read.
import { readdir, readFile, readlink } from "node:fs/promises";
import { type ListeningSocket, parseListeners } from "../core/proc-listeners.ts";
import type { HostSocket, PortOwner } from "../spec/ports.ts";

const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"];

const readTables = async (): Promise<ListeningSocket[]> => {
  const texts = await Promise.all(TABLES.map((path) => readFile(path, "utf8").catch(() => "")));
  return texts.flatMap(parseListeners);
};

/** Inode of a socket → a process that holds it; descriptors of other users' processes cannot be read. */
const findHolders = async (inodes: ReadonlySet<number>): Promise<Map<number, number>> => {
  const holders = new Map<number, number>();
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const directory = `/proc/${pid}/fd`;
    const descriptors = await readdir(directory).catch(() => []);
    const targets = await Promise.all(descriptors.map((name) => readlink(`${directory}/${name}`).catch(() => "")));
    for (const target of targets) {
      const inode = Number(/^socket:\[(\d+)\]$/.exec(target)?.[1]);
      if (inodes.has(inode) && !holders.has(inode)) holders.set(inode, Number(pid));
    }
    if (holders.size === inodes.size) break;
  }
  return holders;
};

/** Everything that listens, or only what listens on these ports. */
export const readHostListeners = async (ports?: ReadonlySet<number>): Promise<PortOwner[]> => {
  const sockets = (await readTables()).filter(({ port }) => ports === undefined || ports.has(port));
  if (sockets.length === 0) return [];
  const holders = await findHolders(new Set(sockets.map(({ inode }) => inode)));
  return Promise.all(
    sockets.map(async ({ address, port, inode }): Promise<PortOwner> => {
      const pid = holders.get(inode) ?? null;
      const name = pid === null ? null : await readFile(`/proc/${pid}/comm`, "utf8").catch(() => null);
      return { address, port, pid, process: name?.trim() ?? null };
    }),
  );
};

/** The same without who it is: two files are read, and no process is looked into. */
export const readHostSockets = async (): Promise<HostSocket[]> =>
  (await readTables()).map(({ address, port }) => ({ address, port }));
