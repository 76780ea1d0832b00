// Runs a verb for several VMs side by side: one line for each as it is done, and the worst exit code at the end.
import { EXIT } from "../spec/errors.ts";
import { describeFailure, exitCodeOf, renderFailure, tellFailure } from "./failure.ts";
import type { CommandMethod } from "./generated/commands.ts";
import { untilUndone, watchInterrupt } from "./interrupt.ts";
import { openProgress, type Progress } from "./progress.ts";
import { callWithProgress, present, printJson, viewContext } from "./run-method.ts";
import { selectRefs } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

/** How many run at once: more would only wait for each other's disks and processors. */
const SIDE_BY_SIDE = 8;

type Result = { ref: string; output?: unknown; error?: unknown };

type Run = { session: Session; invocation: Invocation; progress: Progress; signal: AbortSignal };

const runOne = async (run: Run, ref: string, extra: Record<string, unknown>): Promise<Result> => {
  const { session, invocation, progress, signal } = run;
  const { command, input } = invocation;
  const field = command.positionals[0]?.field ?? "vm";
  const name = command.name as CommandMethod;
  try {
    const operation = { name, subject: ref, input: { ...input, ...extra, [field]: ref } };
    return { ref, output: await callWithProgress(session, operation, { progress, signal }) };
  } catch (error) {
    return { ref, error };
  }
};

/** Runs for all, some at a time, and hands each result on as it comes; results are in the order of `refs`. */
const runAll = async (
  run: Run,
  refs: readonly string[],
  options: { extra: Record<string, unknown>; onResult: (result: Result) => Promise<void> },
): Promise<Result[]> => {
  const results: Result[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < refs.length && !run.signal.aborted; index = next++) {
      const result = await runOne(run, refs[index] ?? "", options.extra);
      results[index] = result;
      await options.onResult(result);
    }
  };
  await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, refs.length) }, worker));
  return results.filter((result) => result !== undefined);
};

/** Not everything is done at the highest number: a bug outweighs a usage error, and any failure outweighs success. */
export const worstExitCode = (codes: readonly number[]): number => Math.max(EXIT.ok, ...codes);

const codeOf = (error: unknown): string => (error as { code?: string } | null)?.code ?? "";

/** A running VM is deleted only when its owner says so: asked once for all of them. */
const askToForce = async (session: Session, refs: readonly string[]): Promise<boolean> => {
  const { confirm } = await import("./confirm.ts");
  const verb = refs.length === 1 ? "is running" : "are running";
  return confirm(session, `${refs.join(", ")} ${verb}. Stop and delete ${refs.length === 1 ? "it" : "them"}?`);
};

const canAsk = (session: Session, invocation: Invocation): boolean =>
  invocation.command.name === "vm.delete" &&
  !invocation.isJson &&
  session.terminal.isInTty &&
  session.terminal.isErrTty;

export const runMulti = async (session: Session, invocation: Invocation): Promise<number> => {
  const { command, isJson } = invocation;
  if (invocation.own.plan) return (await import("./run-plan.ts")).runPlan(session, invocation);
  const refs = await selectRefs(session, invocation);
  if (command.name === "vm.stats" && refs.length !== 1 && !isJson) return runStats(session, refs);
  if (refs.length === 0) {
    if (isJson) printJson(session, []);
    else session.terminal.err("There is no VM that this is for.\n");
    return EXIT.ok;
  }
  const progress = openProgress({ terminal: session.terminal, isSilent: isJson });
  const interrupt = watchInterrupt(progress.say, command);
  const mayAsk = canAsk(session, invocation);
  const tell = async ({ ref, output, error }: Result) => {
    if (isJson || interrupt.isInterrupted() || (mayAsk && codeOf(error) === "vm.running")) return;
    if (error === undefined) {
      progress.say("");
      await present(session, invocation, output);
      return;
    }
    const report = describeFailure(error, command);
    const message = refs.length > 1 && !report.message.includes(ref) ? `${ref}: ${report.message}` : report.message;
    progress.say(renderFailure({ ...report, message }, { isJson, hasColor: session.terminal.hasErrColor }));
  };
  const run: Run = { session, invocation, progress, signal: interrupt.signal };
  try {
    let results = await runAll(run, refs, { extra: {}, onResult: tell });
    progress.end();
    const running = mayAsk ? results.filter(({ error }) => codeOf(error) === "vm.running") : [];
    if (running.length > 0) results = await retryForced({ run, results, running });
    if (interrupt.isInterrupted()) {
      if (command.isCancellable) await untilUndone(session);
      return EXIT.interrupted;
    }
    return isJson ? tellJson(session, invocation, results) : worstOf(results);
  } finally {
    progress.end();
    interrupt.end();
  }
};

const worstOf = (results: readonly Result[]): number =>
  worstExitCode(results.map(({ error }) => (error === undefined ? EXIT.ok : exitCodeOf(error))));

const retryForced = async (given: { run: Run; results: Result[]; running: readonly Result[] }): Promise<Result[]> => {
  const { run, results, running } = given;
  const { session, invocation } = run;
  const refs = running.map(({ ref }) => ref);
  const isAllowed = await askToForce(session, refs);
  if (!isAllowed) {
    session.terminal.err("nothing was deleted of what runs\n");
    return results;
  }
  const progress = openProgress({ terminal: session.terminal, isSilent: false });
  const again = await runAll({ ...run, progress }, refs, {
    extra: { force: true },
    onResult: async ({ output, error }) => {
      progress.say("");
      if (error === undefined) await present(session, invocation, output);
      else tellFailure(error, { terminal: session.terminal, isJson: false, command: invocation.command });
    },
  });
  progress.end();
  return [...results.filter((result) => !running.includes(result)), ...again];
};

/** One reference gives its object or its error; several give an array, in which a failure is `{"vm", "error"}`. */
const tellJson = (session: Session, { command, refs }: Invocation, results: readonly Result[]): number => {
  const [only] = results;
  if (only && results.length === 1 && refs.length === 1) {
    if (only.error !== undefined) {
      return tellFailure(only.error, { terminal: session.terminal, isJson: true, command });
    }
    printJson(session, only.output);
    return EXIT.ok;
  }
  const field = command.positionals[0]?.field ?? "vm";
  printJson(
    session,
    results.map(({ ref, output, error }) =>
      error === undefined ? output : { [field]: ref, error: describeFailure(error, command) },
    ),
  );
  for (const { error } of results) {
    if (error !== undefined) tellFailure(error, { terminal: session.terminal, isJson: true, command });
  }
  return worstOf(results);
};

/** Figures of several VMs are compared, so they share a table. */
const runStats = async (session: Session, refs: readonly string[]): Promise<number> => {
  const { terminal, client } = session;
  if (refs.length === 0) {
    terminal.err("No VM is running.\n");
    return EXIT.ok;
  }
  const { renderStats } = await import("./views/vm.ts");
  const settled = await Promise.allSettled(refs.map((vm) => client.call("vm.stats", { vm })));
  const found = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = settled.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  const invocation = { input: {}, isQuiet: false } as Invocation;
  if (found.length > 0) terminal.out(renderStats(found, viewContext(session, invocation)));
  for (const error of failed) tellFailure(error, { terminal, isJson: false, command: null });
  return worstExitCode(failed.map(exitCodeOf));
};
