// What a command is to the command line: pure data, generated from the contract or written beside it, without any schema library.

export type FlagKind = "boolean" | "text" | "integer" | "choice" | "list" | "pairs";

/** How a value names a file: `file` always does; `if-exists` may be the thing itself instead. */
export type PathMeaning = "file" | "if-exists";

export type FlagData = {
  /** Field of the method's input, camelCase; the flag is its kebab-case. */
  field: string;
  kind: FlagKind;
  description: string;
  isRequired: boolean;
  /** One-letter spelling. */
  letter?: string;
  /** Other long spellings, without dashes, kebab-case. */
  aliases?: readonly string[];
  /** As it is shown in help; absent when the default is empty or decided elsewhere. */
  default?: boolean | number | string;
  /** Has a `--no-` spelling although it is not on by default. */
  canBeNegated?: boolean;
  choices?: readonly string[];
  path?: PathMeaning;
  /** What stands for the value in help: `SIZE`, `DURATION`. */
  placeholder?: string;
};

export type PositionalData = {
  field: string;
  kind: "text" | "integer";
  description: string;
  isRequired: boolean;
  placeholder: string;
  path?: PathMeaning;
  /** What completes it: live names. */
  names?: "vm" | "image" | "setting";
  choices?: readonly string[];
  /** May also be given as this flag (kebab-case, without dashes). */
  flag?: string;
};

export type ExampleData = { command: string; shows: string };

export type CommandData = {
  /** The method it calls, or the name of a command that is the CLI's own. */
  name: string;
  path: readonly string[];
  aliases: readonly (readonly string[])[];
  summary: string;
  description?: string;
  examples: readonly ExampleData[];
  flags: readonly FlagData[];
  positionals: readonly PositionalData[];
  /** The first positional may be repeated: the command runs once for each, side by side. */
  isMulti: boolean;
  /** The method streams events before its answer. */
  hasEvents: boolean;
  /** Going away cancels it. */
  isCancellable: boolean;
  /** Everything after the last positional belongs to someone else (a command in a guest). */
  takesRest?: { placeholder: string; description: string };
};

/** `sshKey` → `ssh-key`. */
export const kebab = (field: string): string => field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `vm create`, as people type it after `banger`. */
export const spellPath = (path: readonly string[]): string => path.join(" ");
