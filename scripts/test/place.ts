// The place a run of the tests lives in: homes and directories of its own, so that it never meets an instance that somebody works in.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endStrays } from "./sweep.ts";

export type Place = {
  directory: string;
  env: Readonly<Record<string, string | undefined>>;
  remove: () => void;
};

/** Disks lie in the checkout, for /tmp may be memory; sockets lie in /tmp, for their paths must be short. */
export const makePlace = (root: string, say: (line: string) => void): Place => {
  mkdirSync(join(root, "build"), { recursive: true });
  const directory = mkdtempSync(join(root, "build/test-run."));
  const short = mkdtempSync(join(tmpdir(), "bgr-"));
  // Image builds run as subordinate users, who must be able to pass.
  chmodSync(short, 0o711);
  const runtime = join(short, "r");
  const temporary = join(short, "t");
  mkdirSync(runtime, { mode: 0o700 });
  mkdirSync(temporary, { mode: 0o711 });
  const make = (name: string) => {
    const path = join(directory, name);
    mkdirSync(path);
    return path;
  };
  const env = {
    ...process.env,
    HOME: make("home"),
    XDG_DATA_HOME: make("data"),
    XDG_STATE_HOME: make("state"),
    XDG_CONFIG_HOME: make("config"),
    XDG_CACHE_HOME: make("cache"),
    XDG_RUNTIME_DIR: runtime,
    // What a killed test leaves in its temporary directories goes with the run.
    TMPDIR: temporary,
    // A user's PATH often lacks where nft and mkfs live.
    PATH: `${process.env.PATH ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`,
    NO_COLOR: "1",
  };
  const remove = () => {
    stopInstance(root, env);
    endStrays(short, say);
    for (const path of [directory, short]) removeTree(path, say);
  };
  return { directory, env, remove };
};

/** A test that failed may have left directories that an ordinary user cannot empty as they are. What stays is told, and is no failure. */
const removeTree = (path: string, say: (line: string) => void): void => {
  Bun.spawnSync(["chmod", "-R", "u+rwX", path], { stderr: "ignore" });
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    say(`${path} could not be removed: ${error instanceof Error ? error.message : error}`);
  }
};

/** Ends what an aborted run left: its VMs, and its daemon, which would otherwise outlive it. */
const stopInstance = (root: string, env: Place["env"]): void => {
  const banger = join(root, "build/banger");
  if (!existsSync(banger) || !existsSync(`${env.XDG_STATE_HOME}/banger/instance.json`)) return;
  const call = (...args: string[]) =>
    Bun.spawnSync([banger, ...args], { env: { ...env }, stdin: "ignore", stderr: "ignore", timeout: 60_000 });
  const names = call("vm", "list", "-q").stdout.toString().split("\n").filter(Boolean);
  if (names.length > 0) call("vm", "delete", "--force", ...names);
  call("daemon", "stop");
};
