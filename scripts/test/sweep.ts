// Takes away what tests left running: processes that live in the run's own directories, and instances of guest tests that were killed.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

const CALL_TIMEOUT_MS = 60_000;

/** Directories of test instances that daemons and shims of this checkout still work in. */
const findInstances = (root: string): string[] => {
  const found = new Set<string>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      const isShim = command[0] === join(root, "build/banger-shim");
      const isDaemon = command[0] === "bangerd" && isRunBy(root, name);
      if (!isShim && !isDaemon) continue;
      const text = `${command.join("\0")}\0${readFileSync(`/proc/${name}/environ`, "utf8")}`;
      const directory = /(?:=|\0)(\/tmp\/bgt-[A-Za-z0-9]+)\//.exec(text)?.[1];
      if (directory !== undefined) found.add(directory);
    } catch {
      // It has ended meanwhile, or belongs to somebody else.
    }
  }
  return [...found];
};

const isRunBy = (root: string, pid: string): boolean =>
  readFileSync(`/proc/${pid}/maps`, "utf8").includes(join(root, "build/banger"));

/** Ends whatever was started with a directory of this run in its environment, such as a daemon that no test stopped; says what it was. */
export const endStrays = (directory: string, say: (line: string) => void): void => {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${name}/environ`, "utf8").includes(`=${directory}/`)) continue;
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      process.kill(Number(name), "SIGKILL");
      say(`ended process ${name}, which a test left running: ${command}`);
    } catch {
      // It has ended meanwhile, or belongs to somebody else.
    }
  }
};

/** Only for the end of a run that killed something; a healthy test cleans up by itself. */
export const sweepInstances = (root: string, say: (line: string) => void): void => {
  for (const directory of findInstances(root)) {
    say(`taking away ${directory}, which a killed test left`);
    const env = {
      PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: join(directory, "home"),
      XDG_DATA_HOME: join(directory, "data"),
      XDG_STATE_HOME: join(directory, "state"),
      XDG_CONFIG_HOME: join(directory, "config"),
      XDG_CACHE_HOME: join(directory, "cache"),
      XDG_RUNTIME_DIR: join(directory, "r"),
      BANGER_DNS_PORT: "0",
    };
    for (const args of [
      ["rm", "--all", "--force"],
      ["daemon", "stop", "--force"],
    ]) {
      Bun.spawnSync([join(root, "build/banger"), ...args], { env, stdin: "ignore", timeout: CALL_TIMEOUT_MS });
    }
    if (existsSync(directory)) rmSync(directory, { recursive: true, force: true });
  }
};
