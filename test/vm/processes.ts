// The processes around a test: who runs, who started whom, how to wait for them and how to end them.
import { readdirSync, readFileSync } from "node:fs";

export const isRoot = process.getuid?.() === 0;

/** Asked only of who may use it, as everything here does: it would report the attempt of anybody else. */
const hasSudo = (): boolean => {
  const groups = Bun.spawnSync(["id", "-nG"]).stdout.toString().trim().split(" ");
  const maySudo = ["sudo", "wheel", "admin"].some((group) => groups.includes(group));
  return maySudo && Bun.spawnSync(["sudo", "-n", "true"], { stderr: "ignore" }).success;
};

/** Whose VMs are on a bridge of the host's; everybody else's are in a namespace of their own. */
export const hasRoot = isRoot || hasSudo();

/** argv with root's rights, on this machine itself. Errors: where they are not to be had, instead of a sudo that reports its user. */
export const asRoot = (argv: readonly string[]): string[] => {
  if (!hasRoot) throw new Error(`this user has no root for ${argv.join(" ")}`);
  return isRoot ? [...argv] : ["sudo", "-n", "--", ...argv];
};

/** Polls a claim about the outside world until it holds. */
export const until = async <Value>(
  what: string,
  claim: () => Promise<Value | null | undefined | false> | Value | null | undefined | false,
  timeoutMs = 60_000,
): Promise<Value> => {
  const deadline = performance.now() + timeoutMs;
  let failure: unknown = null;
  for (;;) {
    try {
      const value = await claim();
      if (value !== null && value !== undefined && value !== false) return value;
      failure = null;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: failure });
    await Bun.sleep(20);
  }
};

const GRACE_MS = 2000;

/** All that comes until the end, or until shortly after the process has ended: a child of its own may hold the pipe for ever. */
export const collect = async (stream: ReadableStream<Uint8Array>, exited: Promise<number>): Promise<string> => {
  const chunks: Uint8Array[] = [];
  const reader = stream.getReader();
  const all = (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      chunks.push(value);
    }
  })();
  await Promise.race([all, exited.then(() => Bun.sleep(GRACE_MS))]);
  return Buffer.concat(chunks).toString();
};

export const isAlive = (pid: number): boolean => {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

export const untilGone = (pid: number, timeoutMs = 20_000): Promise<boolean> =>
  until(`process ${pid} ends`, () => !isAlive(pid), timeoutMs);

export const kill = (pid: number, signal: NodeJS.Signals): void => {
  if (isRoot || !hasRoot) process.kill(pid, signal);
  else Bun.spawnSync(asRoot(["kill", `-${signal.slice(3)}`, String(pid)]));
};

export const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
};

/** Processes that were started with this instance's directory in their arguments or environment. */
export const processesOf = (dir: string): { pid: number; command: string }[] =>
  readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid || !isAlive(pid)) return [];
    const command = commandOf(pid);
    let environment = "";
    try {
      environment = readFileSync(`/proc/${pid}/environ`, "utf8");
    } catch {
      // Another user's; its arguments are all that can be seen.
    }
    return command.includes(`${dir}/`) || environment.includes(`=${dir}/`) ? [{ pid, command }] : [];
  });

/** The parent's pid (field 4 of proc_pid_stat(5)); 0 when there is no such process. */
export const parentOf = (pid: number): number => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return 0;
  }
};

/** Children and their children. */
export const childrenOf = (pid: number): number[] => {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const direct = pids.filter((candidate) => parentOf(candidate) === pid);
  return direct.flatMap((child) => [child, ...childrenOf(child)]);
};
