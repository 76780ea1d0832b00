// `banger exec` in several VMs at once, or for a program: output by line with the VM's name before it, a summary, the worst exit code.
import { type ExecEnd, exitCodeOfEnd } from "../client/exec.ts";
import { EXIT } from "../spec/errors.ts";
import type { ExecRequest } from "../spec/guest/exec.ts";
import { sanitize } from "../spec/sanitize.ts";
import { describeFailure, exitCodeOf, renderFailure } from "./failure.ts";
import { handOnSignals, startExec } from "./run-exec.ts";
import { printJson } from "./run-method.ts";
import { worstExitCode } from "./run-multi.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

const SIDE_BY_SIDE = 32;
/** What `--json` keeps of each output; the rest is counted only. */
const KEPT_BYTES = 1024 * 1024;
/** A line without an end is shown in pieces of this length. */
const LINE_MAX = 8192;

type Result = { vm: string; end?: ExecEnd; error?: unknown; stdout: string; stderr: string; isCut: boolean };
type Wanted = Omit<ExecRequest, "user"> & { user: string | null };

/** Takes bytes and gives whole lines. */
const createLines = (onLine: (line: string) => void) => {
  const decoder = new TextDecoder();
  let held = "";
  return {
    push: (bytes: Uint8Array) => {
      const lines = (held + decoder.decode(bytes, { stream: true })).split("\n");
      held = lines.pop() ?? "";
      for (const line of lines) onLine(line);
      for (; held.length > LINE_MAX; held = held.slice(LINE_MAX)) onLine(held.slice(0, LINE_MAX));
    },
    end: () => {
      held += decoder.decode();
      if (held !== "") onLine(held);
    },
  };
};

const refsOf = async (session: Session, invocation: Invocation): Promise<string[]> => {
  const { own } = invocation;
  if (!own.all && own.selector === null) return [await selectOne(session, invocation)];
  const vms = await session.client.call("vm.list", { label: own.selector ?? {} });
  return vms.filter(({ state }) => state === "running").map(({ name }) => name);
};

const collect = () => {
  const kept = { 1: [] as Uint8Array[], 2: [] as Uint8Array[] };
  const bytesOf = { 1: 0, 2: 0 };
  return {
    take: (descriptor: 1 | 2, bytes: Uint8Array) => {
      if (bytesOf[descriptor] < KEPT_BYTES) kept[descriptor].push(bytes.slice(0, KEPT_BYTES - bytesOf[descriptor]));
      bytesOf[descriptor] += bytes.length;
    },
    result: () => ({
      stdout: Buffer.concat(kept[1]).toString(),
      stderr: Buffer.concat(kept[2]).toString(),
      isCut: bytesOf[1] > KEPT_BYTES || bytesOf[2] > KEPT_BYTES,
    }),
  };
};

const describeEnd = (end: ExecEnd): string =>
  end.kind === "exit" ? `exit ${end.code}` : `killed by signal ${end.signal}`;

const tellJson = (session: Session, invocation: Invocation, results: readonly Result[]): void => {
  const rendered = results.map(({ vm, end, error, stdout, stderr, isCut }) => ({
    vm,
    exitCode: end ? exitCodeOfEnd(end) : null,
    signal: end?.kind === "killed" ? end.signal : null,
    stdout,
    stderr,
    isCut,
    error: error === undefined ? null : describeFailure(error, invocation.command),
  }));
  const isOne = !invocation.own.all && invocation.own.selector === null;
  printJson(session, isOne ? rendered[0] : rendered);
};

export const runExecForSeveral = async (session: Session, invocation: Invocation, wanted: Wanted): Promise<number> => {
  const { terminal } = session;
  const { isJson } = invocation;
  const refs = await refsOf(session, invocation);
  if (refs.length === 0 && !isJson) terminal.err("No VM is running that this is for.\n");
  const width = Math.max(0, ...refs.map((name) => name.length));
  const live = new Set<Awaited<ReturnType<typeof startExec>>>();
  const results: Result[] = [];

  const runOne = async (vm: string): Promise<Result> => {
    const kept = collect();
    const prefix = `${vm.padEnd(width)} | `;
    const lines = {
      1: createLines((line) => terminal.out(`${prefix}${terminal.isOutTty ? sanitize(line) : line}\n`)),
      2: createLines((line) => terminal.err(`${prefix}${terminal.isErrTty ? sanitize(line) : line}\n`)),
    };
    try {
      const started = await startExec(session, {
        vm,
        wanted,
        onOutput: (descriptor, bytes) => (isJson ? kept.take(descriptor, bytes) : lines[descriptor].push(bytes)),
      });
      live.add(started);
      try {
        await started.run.endInput();
        return { vm, end: await started.run.ended, ...kept.result() };
      } finally {
        live.delete(started);
        lines[1].end();
        lines[2].end();
      }
    } catch (error) {
      return { vm, error, ...kept.result() };
    }
  };

  const stop = handOnSignals(() => [...live]);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < refs.length; index = next++) results[index] = await runOne(refs[index] ?? "");
  };
  try {
    await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, refs.length) }, worker));
  } finally {
    stop();
  }
  if (isJson) tellJson(session, invocation, results);
  else {
    for (const { error } of results) {
      if (error === undefined) continue;
      const report = describeFailure(error, invocation.command);
      terminal.err(renderFailure(report, { isJson, hasColor: terminal.hasErrColor }));
    }
    const good = results.filter(({ end }) => end?.kind === "exit" && end.code === 0).length;
    const bad = results.filter(({ end }) => !(end?.kind === "exit" && end.code === 0));
    const told = bad.map(({ vm, end }) => `${vm} ${end ? describeEnd(end) : "failed"}`).join(", ");
    if (refs.length > 1 || bad.length > 0)
      terminal.err(`${good} of ${refs.length} well${told === "" ? "" : `; ${told}`}\n`);
  }
  return worstExitCode(
    results.map(({ end, error }) => (end ? exitCodeOfEnd(end) : error === undefined ? EXIT.ok : exitCodeOf(error))),
  );
};
