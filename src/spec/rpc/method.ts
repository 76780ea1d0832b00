// What a method of the contract is, and what the CLI needs to make a command of it.
import type { z } from "zod";
import type { ErrorCode } from "../errors.ts";

/** How a method appears as a command; what is not said here is derived from the input's schema. */
export type CommandShape = {
  /** `["vm", "create"]` is `banger vm create`. */
  path: readonly string[];
  /** Other spellings, each a whole path: `[["create"], ["vm", "new"]]`. */
  aliases?: readonly (readonly string[])[];
  examples: readonly { command: string; shows: string }[];
  /** Input field → other flag spellings, without dashes. */
  flagAliases?: Readonly<Record<string, readonly string[]>>;
  /** Input field → one-letter flag. */
  letters?: Readonly<Record<string, string>>;
  /** The first positional may be repeated: the command runs once for each, side by side. */
  isMulti?: boolean;
};

export type Method<
  Input extends z.ZodType = z.ZodType,
  Output extends z.ZodType = z.ZodType,
  Events extends z.ZodType | undefined = z.ZodType | undefined,
> = {
  summary: string;
  /** More than the summary, for `--help` and the reference. */
  description?: string;
  input: Input;
  output: Output;
  /** Streamed before the answer when present. */
  events?: Events;
  errors: readonly ErrorCode[];
  /** Input fields given by place rather than by flag. */
  positional?: readonly string[];
  /** What the client's going away does: `continue` unless said otherwise. */
  onDisconnect?: "continue" | "cancel";
  /** Absent: no command of its own. */
  command?: CommandShape;
};

/** Types a method; the value is itself. */
export const method = <
  Input extends z.ZodType,
  Output extends z.ZodType,
  Events extends z.ZodType | undefined = undefined,
>(
  definition: Method<Input, Output, Events>,
): Method<Input, Output, Events> => definition;
