// Which process holds the daemon's lock: to be told, or waited for, and never to be acted upon.
import { readFileSync } from "node:fs";

export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
};

/** The living process that wrote itself into the lock beside `socket`. */
export const readPidBeside = (socket: string): number | undefined => {
  try {
    const pid = Number(readFileSync(socket.replace(/\.sock$/, ".lock"), "utf8"));
    return Number.isInteger(pid) && pid > 0 && isAlive(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
};
