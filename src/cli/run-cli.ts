// Runs one line: finds its command, parses it, does it, tells a failure, and answers the exit code.

import { type Application, type CommandContext, proposeCompletions, run } from "@stricli/core";
import { EXIT, fail } from "../spec/errors.ts";
import { buildCommandApp, buildWholeApp, type LineFault, type ParserPort } from "./app.ts";
import { fenceRest, hoistGlobalFlags, normalizeFlags, type Resolved, resolveCommand, wantsJson } from "./arguments.ts";
import { type CommandData, kebab, spellPath } from "./command-data.ts";
import { renderCommandHelp } from "./command-help.ts";
import { commands, groups } from "./command-table.ts";
import { withEnvironment } from "./environment.ts";
import { tellFailure } from "./failure.ts";
import type { Complete } from "./parameters.ts";
import type { Invocation, Session } from "./session.ts";
import { EXIT_READER_GONE, ReaderGone } from "./terminal.ts";

/** Names for the word under the cursor: the running daemon's, and nothing at all when that takes longer than a blink. */
const completeNames =
  (session: Session): Complete =>
  async (names, partial) => {
    const { proposeNames } = await import("./completion.ts");
    return proposeNames(session, names, partial);
  };

const fixOf = (fault: LineFault & { group?: string }, command: CommandData | null): string => {
  const { group } = fault;
  const [correction] = fault.corrections;
  if (command)
    return correction
      ? `${correction}, or banger help ${spellPath(command.path)}`
      : `banger help ${spellPath(command.path)}`;
  return correction ? `banger ${correction}` : group ? `banger help ${group}` : "banger help";
};

/** A line that makes no sense, as the same kind of failure that the daemon's own checks give. */
const faultError = (fault: LineFault, command: CommandData | null): Error => {
  const found = fail("input.invalid", { issues: [{ path: "", message: fault.message }] });
  return Object.defineProperty(found, "fix", { value: fixOf(fault, command) });
};

type Outcome = { exitCode: number; failure: unknown };

const dispatch = async (session: Session, invocation: Invocation): Promise<number> => {
  if (invocation.command.name.startsWith("cli.")) {
    const { runLocalCommand } = await import("./run-local.ts");
    return runLocalCommand(session, invocation);
  }
  const { runMethod } = await import("./run-method.ts");
  return runMethod(session, invocation);
};

const parse = async (
  build: (port: ParserPort) => Application<CommandContext>,
  words: readonly string[],
  given: { session: Session; explain: () => string },
): Promise<Outcome & { fault: LineFault | null }> => {
  let fault: LineFault | null = null;
  let failure: unknown = null;
  let exitCode: number | null = null;
  const { session, explain } = given;
  const app = build({
    place: { cwd: session.cwd, home: session.env.HOME, complete: completeNames(session) },
    onFault: (found) => {
      fault ??= found;
    },
    onCommand: async (invocation) => {
      try {
        exitCode = await dispatch(session, withEnvironment(invocation, session.env));
      } catch (error) {
        failure = error;
      }
    },
  });
  // What the parser itself would say of a failure is said by us, in one place and one form.
  const out = () => session.terminal.out(explain());
  const context = { process: { stdout: { write: out }, stderr: { write: () => {} }, exitCode: 0 } };
  await run(app, words, context);
  if (context.process.exitCode !== 0 && !fault && !failure) {
    failure = fail("internal.bug", { detail: `the parser ended with ${context.process.exitCode}` });
  }
  return { exitCode: exitCode ?? EXIT.ok, failure, fault };
};

const runResolved = async (session: Session, resolved: Resolved): Promise<number> => {
  const { command, path } = resolved;
  const fenced = command.takesRest ? fenceRest(command, resolved.rest) : [...resolved.rest];
  const words = normalizeFlags(command, fenced);
  const isJson = wantsJson(words);
  // The parser notices that help is wanted; what it would say is wider than a terminal.
  const explain = () => renderCommandHelp(command, path);
  const outcome = await parse((port) => buildCommandApp(command, path, port), words, { session, explain });
  const failure = outcome.fault ? faultError(outcome.fault, command) : outcome.failure;
  if (failure === null) return outcome.exitCode;
  if (failure instanceof ReaderGone) return EXIT_READER_GONE;
  return tellFailure(failure, { terminal: session.terminal, isJson, command });
};

/** A line that names no command: a group, whose help is shown, or a word that was perhaps mistyped. */
const runUnresolved = async (session: Session, words: readonly string[]): Promise<number> => {
  const { renderGroup, renderOverview } = await import("./help.ts");
  const [group = ""] = words;
  const explain = () => (group in groups ? renderGroup(group) : renderOverview());
  const outcome = await parse((port) => buildWholeApp(commands, port), words, { session, explain });
  const failure = outcome.fault ? faultError(withGroup(outcome.fault, words), null) : outcome.failure;
  if (failure === null) return outcome.exitCode;
  return tellFailure(failure, { terminal: session.terminal, isJson: wantsJson(words), command: null });
};

/** `banger vm lsit` is corrected to `vm list`, not to `list` alone. */
const withGroup = (fault: LineFault, words: readonly string[]): LineFault & { group?: string } => {
  const [group] = words;
  if (group === undefined || !(group in groups)) return fault;
  return { ...fault, group, corrections: fault.corrections.map((correction) => `${group} ${correction}`) };
};

/** Completions of an unfinished line, one a line with what it is behind a tab. Never fails, never starts a daemon. */
const runCompletion = async (session: Session, words: readonly string[]): Promise<number> => {
  const port: ParserPort = {
    place: { cwd: session.cwd, home: session.env.HOME, complete: completeNames(session) },
    onFault: () => {},
    onCommand: async () => {},
  };
  const context = { process: { stdout: { write: () => {} }, stderr: { write: () => {} } } };
  const found = await proposeCompletions(buildWholeApp(commands, port), words, context).catch(() => []);
  const switchedOff = proposeSwitchedOff(words);
  const proposals = [...found.filter(({ completion }) => completion !== "--"), ...switchedOff];
  session.terminal.out(proposals.map(({ completion, brief }) => `${completion}\t${brief.split("\n")[0]}\n`).join(""));
  return EXIT.ok;
};

/** `--no-wait` for what is on unless it is switched off, which the parser knows but does not propose. */
const proposeSwitchedOff = (words: readonly string[]): { completion: string; brief: string }[] => {
  const partial = words.at(-1) ?? "";
  if (!partial.startsWith("--") || words.slice(0, -1).includes("--")) return [];
  return (resolveCommand(commands, words)?.command.flags ?? [])
    .filter((flag) => flag.kind === "boolean" && (flag.default === true || flag.canBeNegated))
    .map(({ field, description }) => ({ completion: `--no-${kebab(field)}`, brief: `do not ${description}` }))
    .filter(({ completion }) => completion.startsWith(partial));
};

const isVersionFlag = (word: string): boolean => word === "--version" || word === "-V";

/** The hidden first word that completion scripts use. */
export const COMPLETE_WORD = "__complete";

export const runCli = async (session: Session, argv: readonly string[]): Promise<number> => {
  try {
    if (argv[0] === COMPLETE_WORD) return await runCompletion(session, argv.slice(1));
    const words = hoistGlobalFlags(argv).map((word, index) => (index === 0 && isVersionFlag(word) ? "version" : word));
    const [first] = words;
    if (first === undefined) {
      const { canRunTui, runTui } = await import("./run-tui.ts");
      if (canRunTui(session) && session.openTui !== null) return await runTui(session);
    }
    if (first === undefined || first === "--help" || first === "-h") {
      const { renderOverview } = await import("./help.ts");
      session.terminal.out(renderOverview());
      return EXIT.ok;
    }
    const isGroupAlone = first in groups && (words[1] === undefined || /^(-h|--help|--json|help)$/.test(words[1]));
    if (isGroupAlone) {
      const { renderGroup } = await import("./help.ts");
      session.terminal.out(renderGroup(first));
      return EXIT.ok;
    }
    const resolved = resolveCommand(commands, words);
    return await (resolved ? runResolved(session, resolved) : runUnresolved(session, words));
  } catch (error) {
    if (error instanceof ReaderGone) return EXIT_READER_GONE;
    return tellFailure(error, { terminal: session.terminal, isJson: wantsJson(argv), command: null });
  }
};
