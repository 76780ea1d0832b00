// The daemon's end of the holder: starts it or finds the one that runs, stays attached while it is needed, and has things done inside.
import { closeSync, existsSync } from "node:fs";
import { fail } from "../spec/errors.ts";
import type { ProcessProof } from "../spec/vm.ts";
import { SYSTEM_PATH } from "./command.ts";
import { receiveSockets } from "./passed-sockets.ts";
import { proveProcess } from "./process-proof.ts";

export type HolderState = { holder: number; inside: number; pasta: number; leases: number };

/** The instance's namespaces without root, and what is done in them. */
export type Holder = {
  /**
   * Returns when the namespaces are there and stay as long as we are attached. Those of running VMs are taken over when their holder
   * was killed. Errors: host.command_missing, bundle.missing, namespace.unavailable.
   */
  ensure(): Promise<void>;
  /** As `ensure`, but makes nothing: false when the namespaces are gone. */
  find(): Promise<boolean>;
  /** Lets go: the holder ends by itself when no VM is left. */
  release(): void;
  /** argv that runs a program inside; a leased one keeps the namespaces alive as long as it lives, and has no right to change them. */
  enterArgv(options?: { argv0?: string | null; isLeased?: boolean }): string[];
  /** argv that makes a TCP connection inside and hands it over on its stdout (ssh_config(5), ProxyUseFdpass). */
  connectArgv(to: { address: string; port: number; timeoutMs: number }): string[];
  /** argv that makes one and carries its own stdin and stdout; 1 or 75 when it could not be made. */
  carryArgv(to: { address: string; port: number; timeoutMs: number }): string[];
  /** Whether a TCP port inside answers, before the deadline. */
  reach(to: { address: string; port: number; timeoutMs: number; signal: AbortSignal }): Promise<boolean>;
  /** A UDP and a listening TCP socket inside, on one port; null when the address is not there. */
  bind(address: string): Promise<{ port: number; udp: number; tcp: number } | null>;
  /** A connection inside, as a descriptor that is the caller's to close; null when nobody answers. */
  connect(to: { address: string; port: number; timeoutMs: number }): Promise<number | null>;
  state(): HolderState | null;
};

export type HolderOptions = {
  /** Absolute path of banger-holder. */
  executable: string;
  socket: string;
  /** What pasta prints. */
  log: string;
  findPasta: () => string | null;
  /** The VMMs that run in the namespaces, as they were recorded. */
  members: () => readonly ProcessProof[];
  /** The host's addresses or routes changed. */
  onAddresses: () => void;
  /** The holder was lost while VMs ran, and this is what came of mending it. */
  onMended: (failure: unknown) => void;
};

type Attachment = { send(line: string): void; end(): void };

const START_TIMEOUT_MS = 10_000;
const RETRY_MS = 20;
const MEND_DELAY_MS = 500;

export const parseState = (line: string): HolderState | null => {
  const found = /^state holder=(\d+) inside=(\d+) pasta=(\d+) leases=(\d+)$/.exec(line);
  if (!found) return null;
  const [holder = 0, inside = 0, pasta = 0, leases = 0] = found.slice(1).map(Number);
  return { holder, inside, pasta, leases };
};

/** What a person can do about what the kernel refused, by the words of banger-holder; undefined where nothing is known. */
const fixFor = (detail: string): string | undefined =>
  /nothing may be done in it/.test(detail)
    ? "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    : /no user namespace can be made/.test(detail)
      ? "sudo sysctl user.max_user_namespaces=63000   # and kernel.unprivileged_userns_clone=1 where there is such a setting"
      : undefined;

export const createHolder = (options: HolderOptions): Holder => {
  const { executable, socket } = options;
  let attachment: Attachment | null = null;
  let state: HolderState | null = null;
  let isWanted = false;
  let ensuring: Promise<void> | null = null;

  const environment = { PATH: SYSTEM_PATH, LC_ALL: "C" };

  const takeLine = (line: string) => {
    if (line === "addresses") options.onAddresses();
    state = parseState(line) ?? state;
  };

  const mend = async (): Promise<void> => {
    await Bun.sleep(MEND_DELAY_MS);
    if (!isWanted || attachment) return;
    await ensure().then(
      () => options.onMended(null),
      (error) => options.onMended(error),
    );
  };

  /** Null when nobody listens there. */
  const attach = async (): Promise<Attachment | null> => {
    let held = "";
    const { promise: isAttached, resolve } = Promise.withResolvers<boolean>();
    const opened = await Bun.connect({
      unix: socket,
      socket: {
        data: (_, bytes) => {
          held += bytes.toString();
          for (let end = held.indexOf("\n"); end >= 0; end = held.indexOf("\n")) {
            takeLine(held.slice(0, end));
            held = held.slice(end + 1);
            resolve(true);
          }
        },
        close: () => {
          resolve(false);
          if (attachment !== made) return;
          attachment = null;
          state = null;
          if (isWanted) void mend();
        },
        error: () => resolve(false),
      },
    }).catch(() => null);
    if (!opened) return null;
    const made: Attachment = { send: (line) => void opened.write(`${line}\n`), end: () => void opened.end() };
    made.send("attach");
    const isDone = await Promise.race([isAttached, Bun.sleep(START_TIMEOUT_MS).then(() => false)]);
    if (isDone) return made;
    made.end();
    return null;
  };

  /** The VMMs that still run. A recorded number may be anybody's by now, who would be adopted, or keep the namespaces as long as he lives. */
  const findMembers = async (): Promise<number[]> => {
    const found: number[] = [];
    for (const proof of options.members()) if ((await proveProcess(proof)) === "same") found.push(proof.pid);
    return found;
  };

  const start = async (): Promise<void> => {
    if (!existsSync(executable))
      throw fail("bundle.missing", {
        artifact: "banger-holder",
        directory: executable.slice(0, executable.lastIndexOf("/")),
      });
    const pasta = options.findPasta();
    if (pasta === null) throw fail("host.command_missing", { command: "pasta", package: "passt" });
    // Whose namespaces are taken over, when nobody holds them.
    const [member] = await findMembers();
    const child = Bun.spawn(
      [
        executable,
        "hold",
        socket,
        ...["--log", options.log, "--pasta", pasta],
        ...(member === undefined ? [] : ["--adopt", String(member)]),
      ],
      { env: environment, cwd: "/", stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    child.unref();
    const stderr = new Response(child.stderr).text().catch(() => "");
    // Both ends of its output close when it is ready, or has ended.
    const said = await Promise.race([
      new Response(child.stdout).text().catch(() => ""),
      Bun.sleep(START_TIMEOUT_MS).then(() => ""),
    ]);
    if (said.includes("ready")) return;
    child.kill("SIGTERM");
    const detail = (await Promise.race([stderr, Bun.sleep(1000).then(() => "")]))
      .trim()
      .replace(/^banger-holder: /, "");
    // Another of our daemons was quicker, or the last one has not let go yet: whoever holds them is asked next.
    if (/another holder/.test(detail)) return;
    const text = detail || "it did not start in time";
    throw fail("namespace.unavailable", { detail: text, fix: fixFor(text) });
  };

  const findOrStart = async (): Promise<void> => {
    const until = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const made = await attach();
      if (made) {
        attachment = made;
        for (const pid of await findMembers()) made.send(`watch ${pid}`);
        made.send("state");
        return;
      }
      if (performance.now() > until)
        throw fail("namespace.unavailable", { detail: "the holder of the namespaces does not answer", fix: undefined });
      await start();
      await Bun.sleep(RETRY_MS);
    }
  };

  const ensure = async (): Promise<void> => {
    isWanted = true;
    if (attachment) return;
    ensuring ??= findOrStart().finally(() => {
      ensuring = null;
    });
    await ensuring;
  };

  /** Runs the holder's own program with a socket as descriptor 3, on which it hands over what it made. */
  const receive = async (argv: readonly string[]): Promise<{ bytes: Uint8Array; sockets: number[] } | null> => {
    const child = Bun.spawn([executable, ...argv, "3"], {
      env: environment,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const exitCode = await child.exited;
    const channel = child.stdio[3];
    if (typeof channel !== "number") return null;
    const given = exitCode === 0 ? receiveSockets(channel) : null;
    closeSync(channel);
    return given;
  };

  type There = Parameters<Holder["connectArgv"]>[0];
  const leadTo = (mode: "connect" | "carry", { address, port, timeoutMs }: There): string[] => [
    executable,
    ...[mode, socket, address, String(port), String(Math.max(0, Math.round(timeoutMs)))],
  ];
  const connectArgv: Holder["connectArgv"] = (to) => leadTo("connect", to);

  return {
    ensure,
    async find() {
      if (attachment) return true;
      if ((await findMembers()).length === 0) {
        const made = await attach();
        if (!made) return false;
        made.end();
      }
      await ensure();
      return true;
    },
    release() {
      isWanted = false;
      attachment?.end();
      attachment = null;
      state = null;
    },
    enterArgv: ({ argv0 = null, isLeased = false } = {}) => [
      executable,
      ...["enter", socket],
      ...(isLeased ? ["--lease"] : []),
      ...(argv0 === null ? [] : ["--argv0", argv0]),
      "--",
    ],
    connectArgv,
    carryArgv: (to) => leadTo("carry", to),
    async reach({ signal, ...to }) {
      const child = Bun.spawn([...connectArgv(to), "-"], {
        env: environment,
        stdio: ["ignore", "ignore", "ignore"],
        signal,
      });
      const exitCode = await child.exited;
      signal.throwIfAborted();
      return exitCode === 0;
    },
    async bind(address) {
      const given = await receive(["bind", socket, address, "0"]);
      const [udp, tcp] = given?.sockets ?? [];
      if (!given || udp === undefined || tcp === undefined) return null;
      return { port: (given.bytes[0] ?? 0) * 256 + (given.bytes[1] ?? 0), udp, tcp };
    },
    async connect(to) {
      const [, ...argv] = connectArgv(to);
      return (await receive(argv))?.sockets[0] ?? null;
    },
    state: () => state,
  };
};
