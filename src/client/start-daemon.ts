// Starts bangerd in the background and waits until it listens; many clients at once start one, since the daemon holds a lock.
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { RESTING_RUNTIME, spawnDetached } from "../host/process.ts";
import { describeUnknown, EXIT, fail, fixOfMount } from "../spec/errors.ts";
import { readPidBeside } from "./daemon-pid.ts";

export type DaemonLaunch = {
  argv: readonly string[];
  argv0?: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Takes what the daemon prints. */
  logPath: string;
  /** Where it will listen; its lock is beside it. */
  socket?: string;
};

const RETRY_MS = 5;
/** On a quiet machine a tenth of a second; one that is emulated, or reads the executable from a cold disk, has been seen to need more than ten. */
const START_TIMEOUT_MS = 30_000;
const TAIL_BYTES = 4096;

const sizeOf = (path: string): number => {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
};

type LastWords = { detail: string; fix?: string };

/** What the daemon last said in `path` after byte `from`: its own last failure with what it says to type next, else its last line. */
const lastWordsSince = (path: string, from: number): LastWords => {
  try {
    const size = sizeOf(path);
    const start = Math.max(from, size - TAIL_BYTES);
    const bytes = Buffer.alloc(Math.max(size - start, 0));
    const fd = openSync(path, "r");
    const length = readSync(fd, bytes, 0, bytes.length, start);
    closeSync(fd);
    const lines = bytes.toString("utf8", 0, length).split("\n");
    const said = lines.map((line) => Bun.stripANSI(line).trim()).filter((line) => line !== "");
    // A daemon that could not even be loaded leaves the runtime's report, whose last lines say where and not what.
    const telling = said.findLastIndex((line) => /^(banger|error|\w*Error): /.test(line));
    const detail = (said.at(telling) ?? "").replace(/^(banger|error): /, "");
    const next = telling < 0 ? undefined : said[telling + 1];
    return { detail, ...(next?.startsWith("try: ") ? { fix: next.slice("try: ".length) } : {}) };
  } catch {
    return { detail: "" };
  }
};

/** What stays for ever in the environment of a daemon is the user's, without what would steer the runtime itself. */
const daemonEnvironment = (env: DaemonLaunch["env"]): Record<string, string | undefined> => ({
  ...Object.fromEntries(Object.entries(env).filter(([name]) => !/^BUN_|^NODE_OPTIONS$/.test(name))),
  ...RESTING_RUNTIME,
});

const spawn = ({ argv, argv0, env, logPath }: DaemonLaunch) => {
  try {
    return spawnDetached({ argv, ...(argv0 ? { argv0 } : {}), env: daemonEnvironment(env), cwd: "/", logPath });
  } catch (error) {
    // Nothing was said in the log, which is perhaps what could not be opened.
    const detail = describeUnknown(error);
    const fix = fixOfMount(dirname(logPath), detail) ?? "banger doctor";
    throw fail("daemon.start_failed", { detail, log: logPath, fix }, error);
  }
};

/**
 * Starts the daemon and resolves with what `probe` answers once it answers at all (null: not yet). When another client's daemon is
 * the one that answers, ours is ended: too slow to have met the lock, it would take the place of the winner when that is stopped.
 * Errors: daemon.start_failed with what it said last, and what it said to type next.
 */
export const startDaemon = async <Answer extends { pid: number }>(
  launch: DaemonLaunch,
  probe: () => Promise<Answer | null>,
): Promise<Answer> => {
  const logStart = sizeOf(launch.logPath);
  let child = spawn(launch);
  let exitCode: number | null = null;
  const follow = () =>
    void child.exited.then((code) => {
      exitCode = code;
    });
  follow();
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const answer = await probe();
    if (answer !== null) {
      if (answer.pid !== child.pid) child.end();
      return answer;
    }
    // "Conflict" is the loser of the race for the daemon's lock: the winner's socket is about to answer.
    if (exitCode !== null && exitCode !== EXIT.conflict && exitCode !== EXIT.ok) {
      const said = lastWordsSince(launch.logPath, logStart);
      const detail = said.detail || `it ended with exit code ${exitCode}`;
      throw fail("daemon.start_failed", { ...said, detail, log: launch.logPath });
    }
    // The one that held the lock has gone without ever answering us: a daemon whose socket was removed ends by itself.
    if (exitCode === EXIT.conflict && launch.socket && readPidBeside(launch.socket) === undefined) {
      exitCode = null;
      child = spawn(launch);
      follow();
    }
    if (performance.now() > deadline) {
      const said = lastWordsSince(launch.logPath, logStart).detail;
      const detail = `it does not answer after ${START_TIMEOUT_MS / 1000} s${said ? `; it last said: ${said}` : ""}`;
      throw fail("daemon.start_failed", { detail, log: launch.logPath });
    }
    await Bun.sleep(RETRY_MS);
  }
};
