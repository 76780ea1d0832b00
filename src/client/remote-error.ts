// An error that the daemon answered with, as the client throws it: code, fix and exit code are kept.
import { type ErrorReport, EXIT, errors } from "../spec/errors.ts";

/** What the daemon refused or failed at; its code is the catalogue's, or a newer daemon's own. */
export class RemoteError extends Error {
  override readonly name = "RemoteError";
  readonly code: string;
  readonly fix: string | null;
  readonly data: unknown;
  readonly exitCode: number;
  constructor(report: ErrorReport) {
    super(report.message);
    this.code = report.code;
    this.fix = report.fix;
    this.data = report.data;
    this.exitCode = exitCodeOf(report.code);
  }
}

/** The exit code of an error by its code; a code that a newer daemon invented is an ordinary failure. */
export const exitCodeOf = (code: string): number =>
  (errors as Readonly<Record<string, { exit?: number }>>)[code]?.exit ?? EXIT.failed;
