// `banger doctor`: shows how this host stands, mends what can be mended without harm, and tells by its exit code how bad it is.
import { runOnTerminal } from "../host/process.ts";
import { EXIT } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { sanitize } from "../spec/sanitize.ts";
import { formatMs } from "./format.ts";
import { untilUndone, watchInterrupt } from "./interrupt.ts";
import { type Paint, paintFor } from "./paint.ts";
import { openProgress } from "./progress.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";
import { sizeOfTerminal } from "./terminal-size.ts";
import { wrap } from "./wrap.ts";

type Row = Output<"system.doctor">["checks"][number];
type Hop = Output<"system.canary">["hops"][number];
type Repair = { command: readonly string[]; exitCode: number | null };

/** A KVM that has not been tried since this host was started is tried now, with every VMM. */
const CHECK_TIMEOUT_MS = 300_000;

/** Asks the daemon, which is started as by every command; where that fails the checks are made here, and say why. */
const readRows = async (session: Session): Promise<Row[]> => {
  try {
    return (await session.client.call("system.doctor", {}, { timeoutMs: CHECK_TIMEOUT_MS })).checks;
  } catch (failure) {
    return session.checkHost(failure);
  }
};

const isBad = ({ status }: Row): boolean => status === "warning" || status === "error";

const paintStatus = (status: Row["status"], paint: Paint): string => {
  const text = status.padEnd("warning".length);
  if (status === "ok") return paint.good(text);
  if (status === "error") return paint.bad(text);
  return status === "warning" ? paint.busy(text) : paint.faint(text);
};

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** `columns` is what a terminal has: a summary goes on below itself there, and stays one line for programs. What is typed is never broken. */
export const renderRows = (rows: readonly Row[], paint: Paint, columns = Number.POSITIVE_INFINITY): string => {
  const width = Math.max(...rows.map(({ id }) => Bun.stringWidth(sanitize(id))));
  const indent = " ".repeat("warning".length + 2);
  const below = `\n${indent}${" ".repeat(width + 2)}`;
  const summaryOf = (row: Row) => wrap(sanitize(row.summary), Math.max(columns - below.length + 1, 40)).join(below);
  const lines = rows.flatMap((row) => [
    `${paintStatus(row.status, paint)}  ${sanitize(row.id).padEnd(width)}  ${summaryOf(row)}`,
    ...(isBad(row)
      ? wrap(`why: ${row.why}`, columns - indent.length).map((why) => `${indent}${paint.faint(why)}`)
      : []),
    ...(row.fix === null ? [] : [`${indent}${paint.faint("try:")} ${sanitize(row.fix)}`]),
  ]);
  const count = (status: Row["status"]) => rows.filter((row) => row.status === status).length;
  const sum = [
    `${count("ok")} ok`,
    plural(count("warning"), "warning"),
    plural(count("error"), "error"),
    `${count("skipped")} skipped`,
  ];
  return `${lines.join("\n")}\n\n${sum.join(", ")}\n`;
};

const exitCodeFor = (rows: readonly Row[], hops: readonly Hop[], isStrict: boolean): number => {
  if ([...rows, ...hops].some(({ status }) => status === "error")) return EXIT.host;
  return isStrict && rows.some(isBad) ? EXIT.failed : EXIT.ok;
};

/** `banger` is this very program; root itself types no sudo. */
const argvOf = (command: readonly string[], { executable }: Session["self"]): string[] => {
  const [first, ...rest] = command;
  if (first === "sudo" && process.getuid?.() === 0) return rest;
  if (first !== "banger") return [...command];
  return executable.endsWith(".ts") ? [process.execPath, executable, ...rest] : [executable, ...rest];
};

const needsRoot = ([first, second]: readonly string[]): boolean =>
  first === "sudo" || (first === "banger" && second === "setup");

/** The same command for two needs is run once; one that fails ends the repair of its need, not of the others. */
const mend = async (session: Session, rows: readonly Row[], options: { mayUseRoot: boolean }): Promise<Repair[]> => {
  const { terminal, self } = session;
  const paint = paintFor(terminal.hasErrColor);
  const done = new Map<string, number | null>();
  const repairs: Repair[] = [];
  for (const { repairs: commands } of rows.filter(isBad)) {
    for (const command of commands) {
      const key = JSON.stringify(command);
      const spelled = command.map(sanitize).join(" ");
      if (needsRoot(command) && !options.mayUseRoot) {
        if (!done.has(key)) terminal.err(`${paint.faint("left out, since it needs root (--root):")} ${spelled}\n`);
        done.set(key, null);
        break;
      }
      const known = done.get(key);
      if (known === undefined) {
        terminal.err(`$ ${spelled}\n`);
        // What it says goes beside the answer, which may be JSON.
        const argv = ["/bin/sh", "-c", 'exec "$@" >&2', "sh", ...argvOf(command, self)];
        done.set(key, await runOnTerminal(argv, { env: session.env }));
        repairs.push({ command, exitCode: done.get(key) ?? null });
      }
      if (done.get(key) !== 0) break;
    }
  }
  return repairs;
};

export const renderHops = (hops: readonly Hop[], paint: Paint): string =>
  hops
    .map(({ id, status, ms, summary, fix }) => {
      const time = (ms === null ? "" : formatMs(ms)).padStart(7);
      const line = `${paintStatus(status, paint)}  ${id.padEnd(8)}  ${time}  ${sanitize(summary)}\n`;
      return status === "error" && fix !== null ? `${line}         ${paint.faint("try:")} ${sanitize(fix)}\n` : line;
    })
    .join("");

/** Null when it was interrupted: the daemon has taken the VM away by then. */
const callCanary = async (session: Session, isSilent: boolean): Promise<readonly Hop[] | null> => {
  const progress = openProgress({ terminal: session.terminal, isSilent });
  const interrupt = watchInterrupt(progress.say, { isCancellable: true });
  try {
    const answer = await session.client.call(
      "system.canary",
      {},
      { signal: interrupt.signal, onEvent: (event) => progress.on("", event) },
    );
    return answer.hops;
  } catch (error) {
    if (!interrupt.isInterrupted()) throw error;
    await untilUndone(session);
    return null;
  } finally {
    progress.end();
    interrupt.end();
  }
};

export const runDoctor = async (session: Session, { input, isJson }: Invocation): Promise<number> => {
  const { terminal } = session;
  let rows = await readRows(session);
  let repairs: Repair[] | null = null;
  if (input.fix === true && rows.some(isBad)) {
    repairs = await mend(session, rows, { mayUseRoot: input.root === true });
    if (repairs.length > 0) rows = await readRows(session);
    else terminal.err("Nothing of this can be mended without harm: what is to be typed stands below.\n");
  }
  const columns = terminal.isOutTty ? sizeOfTerminal().columns : undefined;
  if (!isJson) terminal.out(renderRows(rows, paintFor(terminal.hasOutColor), columns));
  let hops: readonly Hop[] | null = null;
  if (input.canary === true) {
    hops = await callCanary(session, isJson);
    if (hops === null) return EXIT.interrupted;
    if (!isJson) terminal.out(`\n${renderHops(hops, paintFor(terminal.hasOutColor))}`);
  }
  const more = { ...(repairs === null ? {} : { repairs }), ...(hops === null ? {} : { canary: { hops } }) };
  if (isJson) printJson(session, { checks: rows, ...more });
  return exitCodeFor(rows, hops ?? [], input.strict === true);
};
