// Builds banger-vsock-pingd once for a test run and starts it on a unix socket, where it can shut nothing down.
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtPingd, shippedObstacle } from "../native.ts";

/** Why the helper cannot be built here, or null. */
export const buildProblem = (): string | null => shippedObstacle;

/** Waits until something is true that another process makes true. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 5_000,
): Promise<void> => {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

export type RealHelper = {
  directory: string;
  path: string;
  runDirectory: string;
  /** Where the pretended systemctl writes what it was asked. */
  asked: () => Promise<string>;
  pid: () => number;
  /** Kills the helper and starts another on the same socket. */
  restart(): Promise<void>;
  /** Runs the helper's program with more arguments and this helper's run directory. */
  run(...args: string[]): { exitCode: number; stderr: string };
  spawn(...args: string[]): Bun.Subprocess;
  stop(): Promise<void>;
};

/** Starts the helper. `systemctlExit` is how the pretended systemctl ends; the init that could be signalled is nobody unless given. */
export const startRealHelper = async (
  options: { systemctlExit?: number; initPid?: number; more?: string[] } = {},
): Promise<RealHelper> => {
  const directory = mkdtempSync(join(tmpdir(), "bgr-gc-"));
  const path = join(directory, "s");
  const runDirectory = join(directory, "run");
  const systemctl = join(directory, "systemctl");
  const asked = join(directory, "asked");
  writeFileSync(systemctl, `#!/bin/sh\necho "$@" >>${asked}\nexit ${options.systemctlExit ?? 0}\n`);
  chmodSync(systemctl, 0o755);
  const common = ["--run-dir", runDirectory];
  const serve = [
    ...["--unix", path, "--systemctl", systemctl, "--init-pid", String(options.initPid ?? 0)],
    ...(options.more ?? []),
  ];
  const children: Bun.Subprocess[] = [];
  const spawn = (...args: string[]) => {
    const child = Bun.spawn([builtPingd(), ...common, ...args], { stdio: ["ignore", "ignore", "inherit"] });
    children.push(child);
    return child;
  };
  const start = async () => {
    const child = spawn(...serve);
    await until("the helper listens", () => existsSync(path));
    return child;
  };
  let child = await start();
  return {
    directory,
    path,
    runDirectory,
    asked: async () => ((await Bun.file(asked).exists()) ? await Bun.file(asked).text() : ""),
    pid: () => child.pid,
    restart: async () => {
      child.kill(9);
      await child.exited;
      rmSync(path, { force: true });
      child = await start();
    },
    run: (...args) => {
      const result = Bun.spawnSync([builtPingd(), ...common, ...args], { stderr: "pipe", timeout: 5_000 });
      return { exitCode: result.exitCode, stderr: result.stderr.toString() };
    },
    spawn: (...args) => spawn(...args, ...serve),
    stop: async () => {
      for (const each of children) each.kill(9);
      await Promise.all(children.map((each) => each.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
};

/** A unix socket that behaves as Firecracker's does: `CONNECT <port>`, then the bytes of the helper behind it. */
export const startVsockDevice = (options: { path: string; helper: string }): Promise<{ stop(): void }> => {
  const live = new Set<Socket>();
  const server = createServer((host) => {
    live.add(host);
    host.on("error", () => host.destroy());
    host.once("data", (bytes) => {
      if (!/^CONNECT 42070\n$/.test(bytes.toString("latin1"))) return host.destroy();
      const guest = createConnection(options.helper, () => {
        host.write("OK 1073741824\n");
        guest.pipe(host);
        host.pipe(guest);
      });
      live.add(guest);
      guest.on("error", () => host.destroy());
      guest.on("close", () => host.destroy());
      host.on("close", () => guest.destroy());
    });
  });
  return new Promise((resolve) => {
    server.listen(options.path, () =>
      resolve({
        stop: () => {
          server.close();
          for (const socket of live) socket.destroy();
        },
      }),
    );
  });
};

/** A process that is called systemd and dies of any signal, in the place of PID 1. */
export const startPretendedInit = (directory: string): Bun.Subprocess => {
  const sleep = Bun.which("sleep") ?? "/bin/sleep";
  copyFileSync(sleep, join(directory, "systemd"));
  chmodSync(join(directory, "systemd"), 0o755);
  return Bun.spawn([join(directory, "systemd"), "60"], { stdio: ["ignore", "ignore", "ignore"] });
};
