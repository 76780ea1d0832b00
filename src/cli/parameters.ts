// Turns the data of a command into the parser's parameters, and what was parsed into the input of its method.

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { CommandData, FlagData, PathMeaning, PositionalData } from "./command-data.ts";
import type { Invocation } from "./session.ts";

/** Values to propose for a word that begins with `partial`. */
export type Complete = (names: NonNullable<PositionalData["names"]>, partial: string) => Promise<readonly string[]>;

type Place = { cwd: string; home: string | undefined; complete: Complete };

// The parser shows the message of whatever a value's parser throws.
class BadValue extends Error {
  override toString(): string {
    return this.message;
  }
}

const parseInteger = (text: string): number => {
  if (!/^[+-]?\d{1,15}$/.test(text)) throw new BadValue(`${JSON.stringify(text)} is no whole number`);
  return Number(text);
};

const parsePair = (text: string): readonly [string, string] => {
  const equals = text.indexOf("=");
  if (equals < 1) throw new BadValue(`${JSON.stringify(text)} is no pair; write key=value`);
  return [text.slice(0, equals), text.slice(equals + 1)];
};

const parsePath =
  (meaning: PathMeaning, place: Place) =>
  (text: string): string => {
    // A shell leaves `~` alone after `--flag=`.
    const expanded = text.startsWith("~/") && place.home ? `${place.home}${text.slice(1)}` : text;
    const path = resolve(place.cwd, expanded);
    return meaning === "file" || existsSync(path) ? path : text;
  };

const choiceParser =
  (choices: readonly string[]) =>
  (text: string): string => {
    if (!choices.includes(text)) throw new BadValue(`${JSON.stringify(text)} is none of ${choices.join(", ")}`);
    return text;
  };

const brief = (flag: FlagData): string => {
  const hint = flag.default === undefined || flag.default === true ? "" : ` (default: ${flag.default})`;
  const others = (flag.aliases ?? []).map((alias) => `--${alias}`);
  return `${flag.description}${hint}${others.length > 0 ? `; also ${others.join(", ")}` : ""}`;
};

const flagParameter = (flag: FlagData, place: Place) => {
  const shared = {
    brief: brief(flag),
    optional: !flag.isRequired,
    ...(flag.placeholder ? { placeholder: flag.placeholder } : {}),
  };
  switch (flag.kind) {
    case "boolean":
      return { ...shared, kind: "boolean", withNegated: flag.default === true || flag.canBeNegated === true };
    case "integer":
      return { ...shared, kind: "parsed", parse: parseInteger };
    case "choice":
      return { ...shared, kind: "enum", values: flag.choices ?? [] };
    case "pairs":
      return { ...shared, kind: "parsed", parse: parsePair, variadic: true };
    case "list":
      return { ...shared, kind: "parsed", parse: flag.path ? parsePath(flag.path, place) : String, variadic: true };
    case "text":
      return { ...shared, kind: "parsed", parse: flag.path ? parsePath(flag.path, place) : String };
  }
};

const positionalParameter = (positional: PositionalData, place: Place) => {
  const { names, choices, path } = positional;
  const parse = choices
    ? choiceParser(choices)
    : path
      ? parsePath(path, place)
      : positional.kind === "integer"
        ? parseInteger
        : String;
  return {
    brief: positional.description,
    placeholder: positional.placeholder,
    optional: !positional.isRequired,
    parse,
    ...(names ? { proposeCompletions: (partial: string) => place.complete(names, partial) } : {}),
    ...(choices ? { proposeCompletions: (partial: string) => choices.filter((one) => one.startsWith(partial)) } : {}),
  };
};

/** A positional that may be given as a flag too. */
const twinFlag = ({ field, description }: PositionalData): FlagData => ({
  field,
  kind: "text",
  description: `${description}; also by place`,
  isRequired: false,
});

const takesMany = (command: CommandData): boolean => command.isMulti || command.takesRest !== undefined;

/** Flags, letters and positionals as the parser wants them. */
export const parametersOf = (command: CommandData, place: Place) => {
  const twins = command.positionals.filter(({ flag }) => flag !== undefined).map(twinFlag);
  const flags = [...command.flags, ...twins];
  const positionals = command.positionals.map((positional) => positionalParameter(positional, place));
  const [first] = positionals;
  const rest = command.takesRest && {
    brief: command.takesRest.description,
    placeholder: command.takesRest.placeholder,
  };
  return {
    flags: Object.fromEntries(flags.map((flag) => [flag.field, flagParameter(flag, place)])),
    aliases: Object.fromEntries(flags.flatMap(({ letter, field }) => (letter ? [[letter, field]] : []))),
    positional: takesMany(command)
      ? { kind: "array", parameter: { ...(first ?? { parse: String }), ...(rest ?? {}), optional: false } }
      : { kind: "tuple", parameters: positionals },
  };
};

/** Only what was given: defaults are the daemon's. */
const given = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** What was parsed, as an invocation: the CLI's own flags apart from the input of the method. */
export const readInvocation = (
  command: CommandData,
  parsed: { flags: Record<string, unknown>; args: readonly unknown[] },
): Invocation => {
  const values = given(parsed.flags);
  for (const { field, kind } of command.flags) {
    if (kind === "pairs" && values[field] !== undefined) {
      values[field] = Object.fromEntries(values[field] as [string, string][]);
    }
  }
  const isAdded = (field: string) => !["json", "quiet", "all", "selector", "plan", "watch"].includes(field);
  const input = Object.fromEntries(Object.entries(values).filter(([field]) => isAdded(field)));
  const words = parsed.args.filter((word) => word !== undefined);
  const names = command.positionals.length;
  const refs = command.isMulti ? words.map(String) : [];
  if (!command.isMulti) {
    for (const [index, { field }] of command.positionals.entries()) {
      const word = words[index];
      if (word !== undefined && !(command.takesRest && word === "")) input[field] = word;
    }
  }
  return {
    command,
    input,
    refs,
    rest: command.takesRest ? words.slice(names).map(String) : [],
    isJson: values.json === true,
    isQuiet: values.quiet === true,
    own: {
      all: values.all === true,
      selector: (values.selector as Record<string, string> | undefined) ?? null,
      plan: values.plan === true,
      watch: values.watch === true,
    },
  };
};
