// Reads the line before the parser does: which command is meant, other spellings of its flags, and where the guest's words begin.
import { type CommandData, type FlagData, kebab } from "./command-data.ts";

export type Resolved = {
  command: CommandData;
  /** The spelling that was used. */
  path: readonly string[];
  rest: readonly string[];
};

const isPrefix = (path: readonly string[], words: readonly string[]): boolean =>
  path.length <= words.length && path.every((word, index) => word === words[index]);

/** The command whose path or alias is the longest beginning of the line; null when there is none. */
export const resolveCommand = (commands: readonly CommandData[], words: readonly string[]): Resolved | null => {
  let best: Resolved | null = null;
  for (const command of commands) {
    for (const path of [command.path, ...command.aliases]) {
      if (isPrefix(path, words) && path.length > (best?.path.length ?? 0)) {
        best = { command, path, rest: words.slice(path.length) };
      }
    }
  }
  return best;
};

/** `banger --json list` is `banger list --json`: flags of every command may come before it. */
export const hoistGlobalFlags = (words: readonly string[]): string[] => {
  const first = words.findIndex((word) => !["--json", "--help", "-h"].includes(word));
  return first <= 0 ? [...words] : [...words.slice(first), ...words.slice(0, first)];
};

/** What has a value: everything that is not a switch. */
const takesValue = (flag: FlagData): boolean => flag.kind !== "boolean";

type Spelling = { name: string; flag: FlagData };

const spellingsOf = (command: CommandData): Map<string, Spelling> => {
  const spellings = new Map<string, Spelling>();
  const add = (spelled: string, flag: FlagData) => spellings.set(spelled, { name: `--${kebab(flag.field)}`, flag });
  for (const flag of command.flags) {
    add(`--${kebab(flag.field)}`, flag);
    for (const alias of flag.aliases ?? []) add(`--${alias}`, flag);
    if (flag.letter) spellings.set(`-${flag.letter}`, { name: `-${flag.letter}`, flag });
  }
  return spellings;
};

/**
 * Other spellings become the parser's own, and a value is tied to its flag where it looks like one, or is written behind a letter:
 * `--vcpu -1` → `--vcpu=-1`, `-m2G` → `--memory=2G`.
 */
export const normalizeFlags = (command: CommandData, words: readonly string[]): string[] => {
  const spellings = spellingsOf(command);
  const done: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") return [...done, ...words.slice(index)];
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const spelling = spellings.get(equals < 0 ? word : word.slice(0, equals));
    const attached = spelling ? undefined : spellings.get(word.slice(0, 2));
    if (attached && takesValue(attached.flag) && /^-[^-]./.test(word)) {
      done.push(`--${kebab(attached.flag.field)}=${word.slice(word[2] === "=" ? 3 : 2)}`);
    } else if (!spelling) {
      done.push(word);
    } else if (equals >= 0) {
      done.push(`${spelling.name}${word.slice(equals)}`);
    } else if (takesValue(spelling.flag) && /^-./.test(words[index + 1] ?? "")) {
      done.push(`--${kebab(spelling.flag.field)}=${words[++index]}`);
    } else {
      done.push(spelling.name);
    }
  }
  return done;
};

/**
 * For a command whose last words belong to someone else: flags of ours up to its positional, then `--` before everything that follows.
 * `ssh web ls -la` → `-- web ls -la`; `ssh -- ls` names no VM, which the empty word stands for.
 */
export const fenceRest = (command: CommandData, words: readonly string[]): string[] => {
  const spellings = spellingsOf(command);
  let index = 0;
  for (; index < words.length; index++) {
    const word = words[index] ?? "";
    if (!word.startsWith("-") || word === "--") break;
    const spelling = spellings.get(word);
    if (spelling && takesValue(spelling.flag)) index++;
  }
  const flags = words.slice(0, index);
  const rest = words.slice(index);
  if (command.positionals.length === 0) return [...flags, "--", ...rest];
  const [name, ...after] = rest[0] === "--" ? ["", ...rest.slice(1)] : rest;
  if (name === undefined) return [...flags];
  return [...flags, "--", name, ...(after[0] === "--" && name !== "" ? after.slice(1) : after)];
};

/** Whether `--json` is among our own flags: errors must be told in JSON even when the line cannot be parsed. */
export const wantsJson = (words: readonly string[]): boolean => {
  const end = words.indexOf("--");
  return words.slice(0, end < 0 ? undefined : end).includes("--json");
};
