// The client of the daemon: greets it first, starts it on demand, replaces it when this side is newer, then calls it.
import { describeUnknown, fail, hasCode } from "../spec/errors.ts";
import type { Client, Output } from "../spec/rpc/contract.ts";
import { isAlive, readPidBeside } from "./daemon-pid.ts";
import { type Build, isNewer } from "./decide-replacement.ts";
import { RemoteError } from "./remote-error.ts";
import { type DaemonLaunch, startDaemon } from "./start-daemon.ts";
import { callOnce, NobodyListens } from "./wire.ts";

/** The wire protocols this side speaks; the contract's PROTOCOL is the same, without the schema library (checked by a test). */
export const CLIENT_PROTOCOL = { min: 1, max: 1 } as const;

export type Hello = Output<"system.hello">;

export type Connection = {
  /** The daemon's socket; null when no instance was ever made here. */
  socket: () => string | null;
  /** Makes the instance and says how its daemon is started. */
  prepare: () => { socket: string; launch: DaemonLaunch };
  self: Build;
  /** One sentence for the user: the daemon was replaced, or could not be. */
  note: (text: string) => void;
};

export type DaemonClient = Client & {
  /** Greets the daemon, which is started or replaced where needed. */
  hello(): Promise<Hello>;
  /** Greets the daemon only when it runs; null when it does not. Never starts or replaces it. */
  peek(): Promise<Hello | null>;
  /** Ends a running daemon and waits until it is gone; false when none ran. */
  stop(options: { force: boolean }): Promise<boolean>;
};

const STOP_TIMEOUT_MS = 60_000;
const HELLO_TIMEOUT_MS = 10_000;
const GREETINGS = 5;
const GREET_AGAIN_MS = 20;

const isProtocolShared = (hello: Hello): boolean =>
  hello.protocol.min <= CLIENT_PROTOCOL.max && hello.protocol.max >= CLIENT_PROTOCOL.min;

export const connect = (connection: Connection): DaemonClient => {
  const { self, note } = connection;
  let greeting: Promise<Hello> | null = null;

  /** A daemon that has just been killed may still hang up on a greeting. It asks for nothing, so it is said again. */
  const greet = async (socket: string): Promise<Hello | null> => {
    const params = { version: self.version, build: self.build, protocol: CLIENT_PROTOCOL };
    const signal = AbortSignal.timeout(HELLO_TIMEOUT_MS);
    for (let tries = 1; ; tries++) {
      try {
        return (await callOnce({ socket, method: "system.hello", params, signal })) as Hello;
      } catch (error) {
        if (error instanceof NobodyListens) return null;
        if (signal.aborted) {
          const detail = `no answer within ${HELLO_TIMEOUT_MS / 1000} s`;
          throw fail("daemon.unreachable", { socket, detail, pid: readPidBeside(socket) }, error);
        }
        if (tries === GREETINGS || !hasCode(error, "daemon.unreachable")) throw error;
        await Bun.sleep(tries * GREET_AGAIN_MS);
      }
    }
  };

  const start = (): Promise<Hello> => {
    const { socket, launch } = connection.prepare();
    // A daemon that is going away may still hang up on a greeting; the next try finds it gone.
    return startDaemon({ ...launch, socket }, () => greet(socket).catch(() => null));
  };

  const peek = async (): Promise<Hello | null> => {
    const socket = connection.socket();
    return socket === null ? null : greet(socket);
  };

  const stop = async ({ force }: { force: boolean }): Promise<boolean> => {
    const running = await peek();
    const socket = connection.socket();
    if (!running || socket === null) return false;
    try {
      await callOnce({ socket, method: "system.stop", params: { force } });
    } catch (error) {
      // It may hang up on us as it goes; whether it really goes is seen below.
      if (error instanceof RemoteError) throw error;
    }
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (isAlive(running.pid)) {
      if (performance.now() > deadline) {
        throw fail("operation.timeout", { operation: "daemon stop", waitedMs: STOP_TIMEOUT_MS });
      }
      await Bun.sleep(5);
    }
    return true;
  };

  /** A newer client replaces the daemon, but never in the middle of an operation; an older one never does. */
  const replaceIfOlder = async (running: Hello): Promise<Hello> => {
    if (!isNewer(self, running)) return running;
    const spelled = `${running.version} (${running.build})`;
    if (running.isBusy) {
      note(`bangerd ${spelled} is older than this banger, and busy: it will be replaced when it is idle`);
      return running;
    }
    try {
      await stop({ force: false });
    } catch (error) {
      note(`bangerd ${spelled} is older than this banger and could not be replaced: ${describeUnknown(error)}`);
      return running;
    }
    const started = await start();
    note(`replaced bangerd ${spelled} by ${started.version} (${started.build}); VMs were not touched`);
    return started;
  };

  const greetOnce = async (): Promise<Hello> => {
    const running = await peek();
    const hello = running ? await replaceIfOlder(running) : await start();
    if (!isProtocolShared(hello)) {
      throw fail("daemon.protocol", { client: self.version, daemon: hello.version });
    }
    return hello;
  };

  const hello = (): Promise<Hello> => {
    greeting ??= greetOnce();
    return greeting;
  };

  const call: Client["call"] = async (name, input, options = {}) => {
    await hello();
    const socket = connection.socket();
    if (socket === null) throw fail("daemon.unreachable", { socket: "?", detail: "there is no instance" });
    const { timeoutMs, onEvent } = options;
    const limit = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
    const signals = [options.signal, limit].filter((signal) => signal !== undefined);
    const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
    try {
      return (await callOnce({
        socket,
        method: name,
        params: input,
        signal,
        onEvent: onEvent as ((event: unknown) => void) | undefined,
      })) as never;
    } catch (error) {
      if (error instanceof NobodyListens) {
        throw fail("daemon.unreachable", { socket, detail: "it ended a moment ago" }, error);
      }
      if (limit?.aborted) throw fail("operation.timeout", { operation: name, waitedMs: timeoutMs ?? 0 }, error);
      throw error;
    }
  };

  return { call, hello, peek, stop };
};
