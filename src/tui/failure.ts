// Any thrown value as code, cause and fix, wherever it was thrown.
import { RemoteError } from "../client/remote-error.ts";
import { type ErrorReport, reportOf } from "../spec/errors.ts";

export const reportFailure = (error: unknown): ErrorReport =>
  error instanceof RemoteError
    ? { code: error.code, message: error.message, fix: error.fix, data: error.data }
    : reportOf(error);
