// A workbench for the shim's tests: the compiled shim, a private directory, a VMM made of shell lines, and their removal.
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connectShim,
  launchShim,
  proveProcess,
  renderShimPlan,
  type ShimConsole,
  type ShimEvent,
  type ShimIdentity,
  type ShimPlan,
} from "../../src/host/shim.ts";
import { builtNative } from "../native.ts";

/** As it is shipped, or with another CC and CFLAGS. */
export const builtShim = (env: Record<string, string> = {}): string => builtNative("shim", env);

export const REBOOT = "printf '[   33.1] reboot: Restarting system\\r\\n'";
/** Sleeps in the shell's own process, so that nothing is left behind. */
export const STAY = "exec sleep 1000";

export const eventsOf = async (events: AsyncIterable<ShimEvent>): Promise<ShimEvent[]> => {
  const all: ShimEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
};

/** Reads a console until it has shown `text`; what it showed. */
export const readUntil = async (console: ShimConsole, text: string): Promise<string> => {
  let shown = "";
  for await (const bytes of console.output) {
    shown += Buffer.from(bytes).toString("latin1");
    if (shown.includes(text)) return shown;
  }
  throw new Error(`ended without ${text}: ${shown.slice(-200)}`);
};

const endNow = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as { code?: string }).code !== "ESRCH") throw error;
  }
};

/** Waits for a condition, for 10 s at most where nobody says otherwise. */
export const until = async (
  claim: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> => {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`never happened: ${claim}`);
    await Bun.sleep(5);
  }
};

/** Memory of a process in KiB by the names of /proc/PID/smaps_rollup. */
export const memoryKiB = async (pid: number): Promise<{ rss: number; private: number }> => {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const value = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN);
  return { rss: value("Rss"), private: value("Private_Clean") + value("Private_Dirty") };
};

export const textOf = async (path: string): Promise<string> =>
  (await readFile(path, "latin1").catch(() => "")).toString();

export type Bench = Awaited<ReturnType<typeof openBench>>;

/** A directory for one test, whose shims are ended with it. */
export const openBench = async (shimPath = builtShim()) => {
  const dir = await mkdtemp(join(tmpdir(), "bgr-shim-"));
  const left: ShimIdentity[] = [];
  const path = (name: string) => join(dir, name);

  /** Writes a plan whose VMM is a shell script. */
  const plan = async (script: string, changes: Partial<ShimPlan> = {}): Promise<ShimPlan> => {
    const vmm = path(`vmm-${crypto.randomUUID()}.sh`);
    await writeFile(vmm, `#!/bin/sh\n${script}\n`);
    await chmod(vmm, 0o700);
    const full: ShimPlan = {
      id: "vm-1",
      dir,
      control: path("control.sock"),
      lock: path("lock"),
      console: path("console.log"),
      consolePrevious: null,
      consoleMaxBytes: 65_536,
      vmmLog: path("vmm.log"),
      vmmLogMaxBytes: 65_536,
      status: path("status.json"),
      restartsOnReboot: true,
      restartMax: 5,
      endsOnHalt: false,
      staleSockets: [],
      vmmPid: null,
      argv: [vmm],
      restartArgv: null,
      env: {},
      ...changes,
    };
    await writeFile(path("plan"), renderShimPlan(full));
    return full;
  };

  const launchOptions = (full: ShimPlan) => ({
    vm: "hello",
    shimPath,
    planPath: path("plan"),
    controlPath: full.control,
    statusPath: full.status,
    vmmLogPath: full.vmmLog,
    command: full.argv,
  });

  const start = async (script: string, changes: Partial<ShimPlan> = {}) => {
    const full = await plan(script, changes);
    const identity = await launchShim(launchOptions(full));
    left.push(identity);
    return { identity, plan: full, control: connectShim({ path: full.control, vm: "hello" }) };
  };

  const close = async () => {
    for (const { shimPid, shimStartTicks, bootId } of left) {
      const shim = { pid: shimPid, startTicks: shimStartTicks, bootId };
      // It may be ending by itself between the look and the signal.
      if ((await proveProcess(shim)) === "same") endNow(shimPid);
      await until("the shim is gone", async () => (await proveProcess(shim)) === "gone");
    }
    await rm(dir, { recursive: true, force: true });
  };

  return { dir, path, plan, start, launchOptions, close, adopt: (identity: ShimIdentity) => left.push(identity) };
};
