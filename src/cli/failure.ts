// How a failure is told: one sentence and what to type next, or one JSON object; and the exit code that goes with it.
import { type ErrorReport, EXIT, isBangerError, reportOf } from "../spec/errors.ts";
import { type CommandData, kebab, spellPath } from "./command-data.ts";
import { paintFor } from "./paint.ts";
import type { Terminal } from "./terminal.ts";

/** The exit code of whatever was thrown. */
export const exitCodeOf = (error: unknown): number => {
  if (isBangerError(error)) return error.exitCode;
  return error instanceof Error && error.name === "RemoteError" && "exitCode" in error
    ? Number(error.exitCode)
    : EXIT.internal;
};

type Issues = { issues: readonly { path: string; message: string }[] };

const hasIssues = (data: unknown): data is Issues =>
  typeof data === "object" && data !== null && Array.isArray((data as Partial<Issues>).issues);

/** The daemon names a field of its input; people know it as a flag or a place on the line. */
const spellField = (path: string, command: CommandData): string => {
  const field = path.split(".")[0] ?? path;
  const positional = command.positionals.find((known) => known.field === field);
  if (positional) return positional.placeholder;
  return command.flags.some((known) => known.field === field) ? `--${kebab(field)}` : path;
};

/** The report of a failure, in the words of the command that was typed. */
export const describeFailure = (error: unknown, command: CommandData | null): ErrorReport => {
  const isRemote = error instanceof Error && error.name === "RemoteError";
  const report = isRemote ? toReport(error as Error & ErrorReport) : reportOf(error);
  if (!isRemote || report.code !== "input.invalid" || !command || !hasIssues(report.data)) return report;
  const message = report.data.issues
    .map((issue) => (issue.path ? `${spellField(issue.path, command)}: ${issue.message}` : issue.message))
    .join("; ");
  return { ...report, message, fix: `banger help ${spellPath(command.path)}` };
};

const toReport = ({ code, message, fix, data }: ErrorReport): ErrorReport => ({ code, message, fix, data });

/** `banger: what happened` and `  try: what to type next`, or `{"error":{…}}`. */
export const renderFailure = (report: ErrorReport, options: { isJson: boolean; hasColor: boolean }): string => {
  if (options.isJson) return `${JSON.stringify({ error: report })}\n`;
  const paint = paintFor(options.hasColor);
  const fix = report.fix ? `  ${paint.faint("try:")} ${report.fix}\n` : "";
  return `${paint.bad("banger:")} ${report.message}\n${fix}`;
};

/** Tells a failure on stderr and answers its exit code. */
export const tellFailure = (
  error: unknown,
  options: { terminal: Terminal; isJson: boolean; command: CommandData | null },
): number => {
  const { terminal, isJson, command } = options;
  terminal.err(renderFailure(describeFailure(error, command), { isJson, hasColor: terminal.hasErrColor }));
  return exitCodeOf(error);
};
