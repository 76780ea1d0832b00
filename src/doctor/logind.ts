// Finds out whether logind ends all programs of a user at logout: its file, and what drop-ins say over it (logind.conf(5)).
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** The most important first: of files with one name the first counts. */
const PLACES = ["etc", "run", "usr/local/lib", "usr/lib"];

const readOrNull = (path: string): Promise<string | null> => readFile(path, "utf8").catch(() => null);

const isYes = (value: string): boolean => /^(1|yes|y|true|t|on)$/i.test(value);

/** The texts in the order in which they are read: whatever is said last holds. Pure. */
export const decideKillsUserProcesses = (texts: readonly string[]): boolean =>
  texts
    .flatMap((text) => [...text.matchAll(/^[ \t]*KillUserProcesses[ \t]*=[ \t]*(.*?)[ \t]*$/gm)])
    .reduce((_, [, value = ""]) => isYes(value), false);

const firstText = async (paths: readonly string[]): Promise<string> => {
  for (const path of paths) {
    const text = await readOrNull(path);
    if (text !== null) return text;
  }
  return "";
};

export const killsUserProcesses = async (root = "/"): Promise<boolean> => {
  const under = PLACES.map((place) => join(root, place, "systemd"));
  const found = await Promise.all(under.map((place) => readdir(`${place}/logind.conf.d`).catch(() => [])));
  const names = [...new Set(found.flat())].filter((name) => name.endsWith(".conf")).sort();
  const main = await firstText(under.map((place) => `${place}/logind.conf`));
  const dropIns = names.map((name) => firstText(under.map((place) => `${place}/logind.conf.d/${name}`)));
  return decideKillsUserProcesses([main, ...(await Promise.all(dropIns))]);
};
