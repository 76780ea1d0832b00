// An instance of banger for tests with real guests: its own home and directories, driven through build/banger as a user would, gone without a trace.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { findTemplate, lendImage } from "./guest-image.ts";
import { findNamespaceObstacle } from "./ordinary-user.ts";
import { asRoot, collect, hasRoot, isAlive, kill, processesOf, until, untilGone } from "./processes.ts";

export { asRoot, commandOf, hasRoot, isRoot, kill, until, untilGone } from "./processes.ts";

const root = resolve(import.meta.dir, "../..");
export const BANGER = join(root, "build/banger");

/** Emulated guests on a shared machine: what takes 5 s when it is quiet may take a minute. */
export const BOOT_MS = 180_000;
export const TEARDOWN_MS = 120_000;

/**
 * Why no guest can be booted here; null when one can. BANGER_REQUIRE=qemu makes that a failure instead of a skip, but for what only
 * root can have: `needsRoot` says why that is needed.
 */
export const findObstacle = ({ needsRoot = null as string | null } = {}): string | null => {
  const obstacle =
    Bun.which("qemu-system-x86_64") === null
      ? "qemu-system-x86_64 is not installed"
      : Bun.which("mmdebstrap") === null && process.env.BANGER_TEST_IMAGE_DIR === undefined
        ? "mmdebstrap is not installed, so there is no image"
        : hasRoot
          ? null
          : findNamespaceObstacle();
  if (obstacle !== null && (process.env.BANGER_REQUIRE ?? "").split(",").includes("qemu")) throw new Error(obstacle);
  return obstacle ?? (needsRoot === null || hasRoot ? null : `${needsRoot} needs root, and this user has no sudo`);
};

export type Ran = { code: number; out: string; err: string };
export type RunOptions = { stdin?: string; timeoutMs?: number; env?: Record<string, string>; cwd?: string };

export type Instance = {
  dir: string;
  env: Record<string, string>;
  /** Runs `banger …` and answers what came of it, whatever the exit code. */
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Runs `banger …`, which must succeed, and answers its stdout. */
  ok(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs `banger … --json`, which must succeed, and answers what it printed. */
  json<Value>(args: readonly string[], options?: RunOptions): Promise<Value>;
  /** Runs a shell line in a guest; it must succeed. Answers its stdout, trimmed. */
  guest(vm: string, line: string, options?: RunOptions): Promise<string>;
  /** Waits until the guest's systemd has come up; a guest can be reached before. */
  untilUp(vm: string): Promise<string>;
  show(vm: string): Promise<Vm>;
  create(name: string, ...flags: string[]): Promise<Vm>;
  audit(): Promise<Output<"system.audit">>;
  daemonPid(): Promise<number>;
  /** The same, by a command that starts the daemon when none runs. */
  daemonPidStarting(): Promise<number>;
  /** SIGKILL to this instance's daemon; returns when it is gone. Null when none ran. */
  killDaemon(): Promise<number | null>;
  socket(): string;
  /** What of this instance is on the host although no VM exists: links, tables, processes, sockets, files. */
  leftovers(): Promise<string[]>;
  /** argv as it runs beside the daemon: in the same namespaces and environment. */
  beside(argv: readonly string[]): string[];
  close(): Promise<void>;
};

const text = async (argv: readonly string[]): Promise<string> => {
  const child = Bun.spawn(argv as string[], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  return new Response(child.stdout).text();
};

const SETTLE_MS = 20_000;
/** They end with it, and stay while it runs. */
const PARTS_OF_A_DAEMON = /^(\S*\/)?(bangerd|banger-root|banger-dns-front)( |$)/;

export type InstanceOptions = {
  /** Put before `banger`: enters the namespaces that play a host. */
  inside?: readonly string[];
  env?: Record<string, string>;
  /** Instead of the one of this checkout. */
  executable?: string;
  /** The instance's files, a copy of the image among them, are made this user's; by root alone. */
  owner?: number | null;
  /** False: no image is lent. */
  hasImage?: boolean;
  /** The whole of config.toml instead of the one below. */
  config?: string;
};

/** Small guests and patience: a test machine has few cores and shares them. */
export const CONFIG = `version = 1
[vm]
vcpus = 1
memory = "256M"
[timeouts]
ready = "180s"
stop_ask = "120s"
stop_button = "120s"
`;

export const openTestInstance = async (options: InstanceOptions = {}): Promise<Instance> => {
  if (!existsSync(BANGER)) {
    const built = Bun.spawnSync([process.execPath, join(root, "scripts/build.ts")], { stdout: "pipe", stderr: "pipe" });
    if (!built.success) throw new Error(`the executable could not be built: ${built.stderr}`);
  }
  const template = options.hasImage === false ? null : await findTemplate();
  const dir = mkdtempSync("/tmp/bgt-");
  const runtime = join(dir, "r");
  for (const name of ["home", "data", "state", "config/banger", "cache"])
    mkdirSync(join(dir, name), { recursive: true });
  mkdirSync(runtime, { mode: 0o700 });
  writeFileSync(join(dir, "config/banger/config.toml"), options.config ?? CONFIG);
  const owner = options.owner ?? null;
  if (template !== null && owner === null) lendImage(template, join(dir, "state"));
  if (template !== null && owner !== null) {
    const copy = join(dir, "lent");
    Bun.spawnSync(["cp", "-a", "--sparse=always", "--reflink=auto", `${template}/.`, copy]);
    lendImage(template, join(dir, "state"), copy);
  }
  if (owner !== null) Bun.spawnSync(["chown", "-R", `${owner}:${owner}`, dir]);
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: join(dir, "home"),
    USER: process.env.USER ?? "root",
    LANG: "C.UTF-8",
    TERM: "xterm",
    XDG_DATA_HOME: join(dir, "data"),
    XDG_STATE_HOME: join(dir, "state"),
    XDG_CONFIG_HOME: join(dir, "config"),
    XDG_CACHE_HOME: join(dir, "cache"),
    XDG_RUNTIME_DIR: runtime,
    BANGER_DNS_PORT: "0",
    // The same kernel whether somebody built banger's own here or not; own-kernel.test.ts asks for that one.
    BANGER_VM_KERNEL: "image",
    ...options.env,
  };
  const inside = options.inside ?? [];

  const beside = (argv: readonly string[]) => [...inside, ...argv];

  const run: Instance["run"] = async (args, { stdin, timeoutMs = 300_000, env: more = {}, cwd = "/" } = {}) => {
    const child = Bun.spawn(beside([options.executable ?? BANGER, ...args]), {
      env: { ...env, ...more },
      cwd,
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const [out, err, code] = await Promise.all([
      collect(child.stdout, child.exited),
      collect(child.stderr, child.exited),
      child.exited,
    ]);
    return { code, out, err };
  };
  const ok: Instance["ok"] = async (args, runOptions) => {
    const { code, out, err } = await run(args, runOptions);
    if (code !== 0) throw new Error(`banger ${args.join(" ")} ended with ${code}: ${err || out}`);
    return out;
  };
  const json = async <Value>(args: readonly string[], runOptions?: RunOptions): Promise<Value> =>
    JSON.parse(await ok([...args, "--json"], runOptions)) as Value;

  const instanceFile = join(dir, "state/banger/instance.json");
  const readInstance = (): { id: string; runtimeDir: string } | null =>
    existsSync(instanceFile) ? (JSON.parse(readFileSync(instanceFile, "utf8")) as never) : null;

  const lockPid = (): number | null => {
    const found = readInstance();
    if (!found) return null;
    try {
      const pid = Number.parseInt(readFileSync(join(found.runtimeDir, "bangerd.lock"), "utf8"), 10);
      return Number.isInteger(pid) && pid > 0 && isAlive(pid) ? pid : null;
    } catch {
      return null;
    }
  };

  const leftovers: Instance["leftovers"] = async () => {
    const found = readInstance();
    if (!found) return [];
    const mark = `bgr-${found.id}`;
    const [links, rules] = await Promise.all([
      text(beside(["ip", "-o", "link"])),
      // Whoever has no root has no rules either, and may not look.
      hasRoot ? text(asRoot(beside(["nft", "list", "ruleset"]))) : "",
    ]);
    const daemon = lockPid();
    const findRunning = () =>
      processesOf(dir).filter(({ pid, command }) => pid !== daemon && !PARTS_OF_A_DAEMON.test(command));
    // A question that the daemon asks of the host (`ip route`) may just be under way: what stays is what is left.
    const settledMs = performance.now() + SETTLE_MS;
    let running = findRunning();
    while (running.length > 0 && performance.now() < settledMs) {
      await Bun.sleep(50);
      running = findRunning();
    }
    const files = [join(dir, "data/banger/vms"), join(dir, "state/banger/vms"), join(found.runtimeDir, "vms")].flatMap(
      filesBelow,
    );
    return [
      ...links.split("\n").filter((line) => line.includes(mark)),
      ...rules.split("\n").filter((line) => line.includes(mark)),
      ...running.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...files,
    ];
  };

  const close: Instance["close"] = async () => {
    try {
      if (readInstance()) {
        await run(["rm", "--all", "--force"], { timeoutMs: TEARDOWN_MS });
        const audited = await json<Output<"system.audit">>(["audit"]).catch((error) => ({
          clean: false,
          findings: [error],
        }));
        if (!audited.clean) throw new Error(`the audit at the end: ${JSON.stringify(audited.findings)}`);
        const left = await leftovers();
        if (left.length > 0) throw new Error(`left over: ${left.join("\n")}`);
      }
    } finally {
      await run(["daemon", "stop", "--force"], { timeoutMs: 30_000 });
      for (const { pid } of processesOf(dir)) kill(pid, "SIGKILL");
      const found = readInstance();
      if (found && hasRoot) {
        Bun.spawnSync(asRoot(["rm", "-f", `/run/banger/instances/${found.id}`]));
        // Links go by name, and only those of this very instance: an open failure above must not leave the machine changed.
        const links = await text(beside(["ip", "-o", "link"]));
        for (const [, link] of links.matchAll(new RegExp(`\\d+: (bgr-${found.id}[-0-9]*)[:@]`, "g")))
          Bun.spawnSync(asRoot(beside(["ip", "link", "delete", link as string])));
        for (const family of ["inet", "bridge"])
          Bun.spawnSync(asRoot(beside(["nft", "delete", "table", family, `bgr-${found.id}`])), { stderr: "ignore" });
      }
      rmSync(dir, { recursive: true, force: true });
    }
  };

  return {
    dir,
    env,
    run,
    ok,
    json,
    beside,
    leftovers,
    close,
    guest: async (vm, line, runOptions) => (await ok(["ssh", vm, "--", line], runOptions)).trim(),
    untilUp: (vm) =>
      until(
        `${vm} is up`,
        async () => {
          const { out } = await run(["ssh", vm, "--", "systemctl is-system-running --wait"]);
          return /^(running|degraded)$/.test(out.trim()) ? out.trim() : null;
        },
        BOOT_MS,
      ),
    show: (vm) => json<Vm>(["vm", "show", vm]),
    create: (name, ...flags) => json<Vm>(["vm", "create", name, ...flags]),
    audit: async () => {
      const { out, err } = await run(["audit", "--json"]);
      if (out === "") throw new Error(`the audit failed: ${err}`);
      return JSON.parse(out) as Output<"system.audit">;
    },
    daemonPid: async () => (await json<Output<"system.status">>(["daemon", "status"])).pid,
    daemonPidStarting: async () => {
      await ok(["ls"]);
      return (await json<Output<"system.status">>(["daemon", "status"])).pid;
    },
    killDaemon: async () => {
      const pid = lockPid();
      if (pid === null) return null;
      kill(pid, "SIGKILL");
      await untilGone(pid);
      return pid;
    },
    socket: () => join(readInstance()?.runtimeDir ?? runtime, "bangerd.sock"),
  };
};

const filesBelow = (path: string): string[] => {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    return entry.isDirectory() ? filesBelow(child) : [child];
  });
};

export const sizeOf = (path: string): number => statSync(path).size;
