// `banger exec`: a command in a guest, or in several, over the guest channel: its streams, its signals, its exit code.
import { constants } from "node:os";
import { type ExecRun, exitCodeOfEnd, runExec } from "../client/exec.ts";
import { openClientStream } from "../client/stream.ts";
import { EXIT, fail } from "../spec/errors.ts";
import { EXEC_FIELDS_MAX_BYTES, type ExecRequest, execFields } from "../spec/guest/exec.ts";
import { renderFields } from "../spec/guest/fields.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";
import { writeAll } from "./terminal.ts";
import { sizeOfTerminal } from "./terminal-size.ts";

const HANDED_ON = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
/** Whoever presses Ctrl-C so often wants to leave, whatever the command makes of it. */
const INTERRUPTS_TO_LEAVE = 3;

const invalid = (message: string) => fail("input.invalid", { issues: [{ path: "", message }], method: "vm.exec" });

type Wanted = Omit<ExecRequest, "user"> & { user: string | null };

/** `KEY=value` as it is, `KEY` with the value it has here. */
const readEnvironment = (words: readonly string[], env: Session["env"]): Record<string, string> => {
  const wanted: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf("=");
    if (equals === 0) throw invalid(`${JSON.stringify(word)} names no variable`);
    const value = equals < 0 ? env[word] : word.slice(equals + 1);
    if (value !== undefined) wanted[equals < 0 ? word : word.slice(0, equals)] = value;
  }
  return wanted;
};

const readWanted = (session: Session, { input, rest }: Invocation): Wanted => ({
  argv: rest,
  user: typeof input.user === "string" ? input.user : null,
  ...(typeof input.workdir === "string" ? { workdir: input.workdir } : {}),
  env: readEnvironment((input.env as readonly string[] | undefined) ?? [], session.env),
  ...(input.tty === true ? { terminal: { ...sizeOfTerminal(), type: session.env.TERM || "xterm" } } : {}),
});

/** Starts the command in one VM. Errors: those of vm.stream, and input.invalid for more words than a frame holds. */
export const startExec = async (
  session: Session,
  given: { vm: string; wanted: Wanted; onOutput: (descriptor: 1 | 2, bytes: Uint8Array) => void },
): Promise<{ name: string; run: ExecRun; abort: () => void }> => {
  const access = await session.client.call("vm.stream", { vm: given.vm, kind: "exec" });
  const fields = execFields({ ...given.wanted, user: given.wanted.user ?? access.user });
  if (renderFields(fields).length > EXEC_FIELDS_MAX_BYTES)
    throw invalid(
      `the command and its environment are longer than ${EXEC_FIELDS_MAX_BYTES} bytes; send the rest by its input`,
    );
  const stream = await openClientStream({
    socket: access.socket,
    vm: access.id,
    name: access.name,
    kind: "exec",
    fields,
  });
  const run = runExec(stream, { vm: access.name, onOutput: given.onOutput });
  return { name: access.name, run, abort: stream.abort };
};

/** Hands on signals while the commands run; returns what stops it. */
export const handOnSignals = (runs: () => readonly { run: ExecRun; abort: () => void }[]): (() => void) => {
  let interrupts = 0;
  const handlers = HANDED_ON.map((name) => {
    const handler = () => {
      if (name === "SIGINT") interrupts += 1;
      for (const { run, abort } of runs()) {
        if (interrupts >= INTERRUPTS_TO_LEAVE) abort();
        else run.signal(constants.signals[name]).catch(() => undefined);
      }
      if (interrupts >= INTERRUPTS_TO_LEAVE) process.exit(EXIT.interrupted);
    };
    process.on(name, handler);
    return { name, handler };
  });
  return () => {
    for (const { name, handler } of handlers) process.off(name, handler);
  };
};

/** Our input to the command, as fast as it takes it; returns what stops it. */
export const feed = (run: ExecRun): (() => void) => {
  const input = process.stdin;
  const onData = (bytes: Buffer) => {
    input.pause();
    run.input(bytes).then(
      () => input.resume(),
      () => undefined,
    );
  };
  const onEnd = () => void run.endInput().catch(() => undefined);
  input.on("data", onData);
  input.on("end", onEnd);
  input.on("error", onEnd);
  input.resume();
  return () => {
    input.off("data", onData);
    input.off("end", onEnd);
    input.pause();
    // A pipe that nobody closes would keep us here.
    input.unref?.();
  };
};

const followSize = (run: ExecRun): (() => void) => {
  const onChange = () => void run.resize(sizeOfTerminal()).catch(() => undefined);
  process.on("SIGWINCH", onChange);
  return () => void process.off("SIGWINCH", onChange);
};

const runForOne = async (session: Session, vm: string, wanted: Wanted): Promise<number> => {
  const { run, abort } = await startExec(session, {
    vm,
    wanted,
    onOutput: (descriptor, bytes) => writeAll(descriptor, bytes),
  });
  const isRaw = wanted.terminal !== undefined;
  const restore = () => {
    if (isRaw) process.stdin.setRawMode(false);
  };
  process.on("exit", restore);
  if (isRaw) process.stdin.setRawMode(true);
  const stops = [handOnSignals(() => [{ run, abort }]), feed(run), ...(isRaw ? [followSize(run)] : [])];
  try {
    return exitCodeOfEnd(await run.ended);
  } finally {
    for (const stop of stops) stop();
    restore();
    process.off("exit", restore);
  }
};

export const runExecCommand = async (session: Session, invocation: Invocation): Promise<number> => {
  const { own, input, rest, isJson } = invocation;
  const isSelection = own.all || own.selector !== null;
  const wantsTty = input.tty === true;
  if (wantsTty && (isSelection || isJson)) throw invalid("a terminal is for one VM, and not for JSON");
  if (wantsTty && !(session.terminal.isInTty && session.terminal.isOutTty))
    throw invalid("--tty needs a terminal as input and output");
  if (isSelection && typeof input.vm === "string") {
    throw invalid(
      `--all and -l say which VMs, so ${JSON.stringify(input.vm)} is one too many; a command comes after --`,
    );
  }
  if (rest.length === 0 && (isSelection || isJson)) throw invalid("COMMAND is missing.");
  if (isSelection || isJson) {
    const { runExecForSeveral } = await import("./run-exec-several.ts");
    return runExecForSeveral(session, invocation, readWanted(session, invocation));
  }
  const vm = await selectOne(session, invocation);
  return runForOne(session, vm, readWanted(session, invocation));
};
