// Throw-away network namespaces: a host, an internet and guests, as root or, without root, in a user namespace.
import { readFileSync } from "node:fs";
import type { RootLaunch } from "../../src/host/root-launch.ts";

export type Namespace = {
  pid: number;
  /** Runs a command inside and answers its stdout; a failing one throws with its stderr. */
  run(argv: readonly string[], options?: { stdin?: string }): string;
  /** Whether a command inside succeeds. */
  tries(argv: readonly string[]): boolean;
  /** argv that runs `argv` inside. */
  inside(argv: readonly string[]): string[];
};

export type NetLab = {
  /** The namespace that plays the host; taps, bridges and rules are made here. */
  host: Namespace;
  /** A further namespace without links. */
  addNamespace(): Promise<Namespace>;
  /** Starts banger-root from its source inside the host namespace. */
  rootLaunch: RootLaunch;
  close(): Promise<void>;
};

const BUN = process.execPath;
const isRoot = process.getuid?.() === 0;
/** Whether the holder has got so far that it waits: namespaces made and, without root, its user mapped. */
const isHolding = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8") === "cat\n";
  } catch {
    return false;
  }
};

/** Why no lab can be made here, null when it can. */
export const findLabObstacle = (): string | null => {
  const flags = isRoot ? ["-n"] : ["-Urn"];
  const tried = Bun.spawnSync([
    "unshare",
    ...flags,
    "sh",
    "-c",
    "ip link add bgr-probe type bridge && ip tuntap add bgr-probe-2 mode tap && nft list tables",
  ]);
  return tried.success ? null : `no network namespace can be made here: ${tried.stderr.toString().trim()}`;
};

const enter = (pid: number): string[] =>
  isRoot
    ? ["nsenter", "-n", "-t", String(pid), "--"]
    : ["nsenter", "-U", "-n", "--preserve-credentials", "-t", String(pid), "--"];

export const createNetLab = async (): Promise<NetLab> => {
  const holders: Bun.Subprocess[] = [];

  const hold = async (argv: string[]): Promise<Namespace> => {
    // It ends with its input, so that a test run that is killed leaves no namespace.
    const holder = Bun.spawn([...argv, "cat"], { stdio: ["pipe", "ignore", "ignore"] });
    holders.push(holder);
    const { pid } = holder;
    const until = performance.now() + 5000;
    while (!isHolding(pid)) {
      if (performance.now() > until || holder.exitCode !== null) throw new Error("a namespace could not be made");
      await Bun.sleep(2);
    }
    const inside = (command: readonly string[]) => [...enter(pid), ...command];
    return {
      pid,
      inside,
      run(command, { stdin } = {}) {
        const result = Bun.spawnSync(inside(command), { stdin: stdin === undefined ? "ignore" : Buffer.from(stdin) });
        if (!result.success) throw new Error(`${command.join(" ")}: ${result.stderr.toString()}`);
        return result.stdout.toString();
      },
      tries: (command) => Bun.spawnSync(inside(command)).success,
    };
  };

  const host = await hold(isRoot ? ["unshare", "-n"] : ["unshare", "-Urn"]);
  host.run(["ip", "link", "set", "lo", "up"]);
  return {
    host,
    addNamespace: async () => {
      const added = await hold([...enter(host.pid), "unshare", "-n"]);
      added.run(["ip", "link", "set", "lo", "up"]);
      return added;
    },
    rootLaunch: { kind: "launch", argv: host.inside([BUN, `${import.meta.dir}/../fakes/root-entry.ts`]), argv0: null },
    async close() {
      for (const holder of holders.reverse()) {
        holder.kill("SIGKILL");
        await holder.exited;
      }
    },
  };
};
