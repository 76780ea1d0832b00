// Runs a command that is one method of the daemon: calls it, shows its progress, and prints its answer for people or programs.
import { EXIT } from "../spec/errors.ts";
import type { EventOf, MethodName, Output } from "../spec/rpc/contract.ts";
import type { CommandMethod } from "./generated/commands.ts";
import { untilUndone, watchInterrupt } from "./interrupt.ts";
import { paintFor } from "./paint.ts";
import { openProgress, type Progress } from "./progress.ts";
import type { Invocation, Session } from "./session.ts";
import { loadView, type ViewContext } from "./views/views.ts";

/** JSON for a program to read; indented, since people read it too. */
export const printJson = (session: Session, value: unknown): void => {
  session.terminal.out(`${JSON.stringify(value, null, 2)}\n`);
};

export const viewContext = (session: Session, invocation: Invocation): ViewContext => ({
  paint: paintFor(session.terminal.hasOutColor),
  nowMs: session.now(),
  isQuiet: invocation.isQuiet,
  isOutTty: session.terminal.isOutTty,
  input: invocation.input,
});

export type Operation = { name: CommandMethod; subject: string; input: Record<string, unknown> };

/** Calls a method that reports its progress. Answers null when the user cancelled it. */
export const callWithProgress = async (
  session: Session,
  operation: Operation,
  options: { progress: Progress; signal: AbortSignal },
): Promise<unknown> => {
  const { name, subject, input } = operation;
  return session.client.call(name as MethodName, input as never, {
    signal: options.signal,
    onEvent: (event) => options.progress.on(subject, event as EventOf<"vm.start">),
  });
};

/** Methods whose events are what the command is for, rather than its progress. */
const streams: ReadonlySet<string> = new Set<CommandMethod>(["vm.logs", "events.subscribe"]);

/** Methods that are such a stream when they are asked so. */
const isStream = (name: string, input: Readonly<Record<string, unknown>>): boolean =>
  streams.has(name) ||
  (name === "vm.ports" && input.watch === true) ||
  (name === "vm.forward" && input.forward !== undefined && input.keep !== true && input.list !== true);

/** Exit codes that say something although nothing failed. */
const exitCodeFor = (name: CommandMethod, output: unknown): number =>
  name === "system.audit" && !(output as Output<"system.audit">).clean ? EXIT.failed : EXIT.ok;

/** Prints the answer of a method and gives the exit code. */
export const present = async (session: Session, invocation: Invocation, output: unknown): Promise<number> => {
  const name = invocation.command.name as CommandMethod;
  if (invocation.isJson) printJson(session, output);
  else {
    const { terminal } = session;
    const shown = (await loadView(name))(output as never, viewContext(session, invocation));
    if (typeof shown === "string") terminal.out(shown);
    else {
      terminal.out(shown.out);
      terminal.err(shown.err);
    }
  }
  return exitCodeFor(name, output);
};

const runStream = async (session: Session, invocation: Invocation): Promise<number> => {
  const { streamViews } = await import("./views/streams.ts");
  const { terminal, client } = session;
  const name = invocation.command.name as keyof typeof streamViews;
  const view = streamViews[name](viewContext(session, invocation));
  const interrupt = watchInterrupt(() => {}, { isCancellable: true });
  let failure: unknown = null;
  const stop = new AbortController();
  try {
    await client.call(name, invocation.input as never, {
      signal: AbortSignal.any([interrupt.signal, stop.signal]),
      onEvent: (event) => {
        try {
          terminal.out(invocation.isJson ? `${JSON.stringify(event)}\n` : view(event as never));
        } catch (error) {
          // Whoever read our output has gone: so may the stream.
          failure ??= error;
          stop.abort();
        }
      },
    });
  } catch (error) {
    if (failure) throw failure;
    if (interrupt.isInterrupted()) return EXIT.interrupted;
    throw error;
  } finally {
    interrupt.end();
  }
  if (failure) throw failure;
  return EXIT.ok;
};

const runOperation = async (session: Session, invocation: Invocation): Promise<number> => {
  const { command, input, isJson } = invocation;
  const progress = openProgress({ terminal: session.terminal, isSilent: isJson });
  const interrupt = watchInterrupt(progress.say, command);
  try {
    const name = command.name as CommandMethod;
    const output = await callWithProgress(
      session,
      { name, subject: "", input },
      { progress, signal: interrupt.signal },
    );
    progress.end();
    return await present(session, invocation, output);
  } catch (error) {
    if (!interrupt.isInterrupted()) throw error;
    if (command.isCancellable) await untilUndone(session);
    return EXIT.interrupted;
  } finally {
    progress.end();
    interrupt.end();
  }
};

/** `daemon status` and `daemon stop` speak of a daemon that may not run, and start none. */
const runWithoutStarting = async (session: Session, invocation: Invocation): Promise<number> => {
  const { runDaemonStop, requireRunning } = await import("./run-daemon.ts");
  if (invocation.command.name === "system.stop") return runDaemonStop(session, invocation);
  await requireRunning(session);
  return present(session, invocation, await session.client.call("system.status", {}));
};

export const runMethod = async (session: Session, invocation: Invocation): Promise<number> => {
  const { command, input } = invocation;
  if (command.name === "system.status" || command.name === "system.stop") {
    return runWithoutStarting(session, invocation);
  }
  if (invocation.own.watch) return (await import("./run-ping.ts")).runPingWatch(session, invocation);
  if (command.isMulti) return (await import("./run-multi.ts")).runMulti(session, invocation);
  if (isStream(command.name, input)) return runStream(session, invocation);
  if (command.hasEvents) return runOperation(session, invocation);
  return present(session, invocation, await session.client.call(command.name as MethodName, input as never));
};
