// Derives the data of each command from its method: flags, positionals, defaults and help come from the schema alone.
import type { z } from "zod";
import type { CommandData, FlagData, FlagKind, PathMeaning, PositionalData } from "../../src/cli/command-data.ts";
import { contract } from "../../src/spec/rpc/contract.ts";
import type { Method } from "../../src/spec/rpc/method.ts";

type Definition = {
  type: string;
  innerType?: z.ZodType;
  in?: z.ZodType;
  defaultValue?: unknown;
  entries?: Record<string, string>;
};

type Field = {
  kind: FlagKind;
  description: string;
  isRequired: boolean;
  default: unknown;
  choices: string[] | null;
  path: PathMeaning | null;
};

const kinds: Record<string, FlagKind> = {
  boolean: "boolean",
  string: "text",
  number: "integer",
  enum: "choice",
  array: "list",
  record: "pairs",
};

/** Reads a field through its wrappers: the outermost description and the innermost type count. */
const readField = (schema: z.ZodType): Field => {
  const field: Field = {
    kind: "text",
    description: "",
    isRequired: true,
    default: undefined,
    choices: null,
    path: null,
  };
  for (let at: z.ZodType | undefined = schema; at !== undefined; ) {
    const definition: Definition = at._zod.def as unknown as Definition;
    const meta = at.meta() as { path?: PathMeaning } | undefined;
    field.description ||= at.description ?? "";
    field.path ??= meta?.path ?? null;
    if (definition.type === "optional") field.isRequired = false;
    if (definition.type === "default" || definition.type === "prefault") {
      field.isRequired = false;
      field.default = definition.defaultValue;
    }
    const kind = kinds[definition.type];
    if (kind) field.kind = kind;
    if (definition.entries) field.choices = Object.values(definition.entries);
    at = definition.innerType ?? definition.in;
  }
  return field;
};

const placeholderOf = (name: string, field: Field): string | null => {
  if (field.kind === "pairs") return "KEY=VALUE";
  if (field.kind === "integer") return "N";
  if (field.path === "file") return "FILE";
  if (field.kind === "boolean" || field.kind === "choice") return null;
  if (["memory", "disk"].includes(name)) return "SIZE";
  if (["timeout", "since"].includes(name)) return "DURATION";
  return name.replace(/[A-Z]/g, (letter) => `-${letter}`).toUpperCase();
};

/** Only scalars that say something: an empty list or `false` is no news in help. */
const shownDefault = (value: unknown): { default?: boolean | number | string } =>
  value === true || typeof value === "number" || (typeof value === "string" && value !== "") ? { default: value } : {};

const flagOf = (name: string, field: Field, shape: NonNullable<Method["command"]>): FlagData => {
  const placeholder = placeholderOf(name, field);
  const letter = shape.letters?.[name];
  const aliases = shape.flagAliases?.[name];
  return {
    field: name,
    kind: field.kind,
    description: field.description,
    isRequired: field.isRequired,
    ...(letter ? { letter } : {}),
    ...(aliases ? { aliases } : {}),
    ...shownDefault(field.default),
    // Without a default there are three states: on, off, and as it is.
    ...(field.kind === "boolean" && !field.isRequired && field.default === undefined ? { canBeNegated: true } : {}),
    ...(field.choices ? { choices: field.choices } : {}),
    ...(field.path ? { path: field.path } : {}),
    ...(placeholder ? { placeholder } : {}),
  };
};

const positionalOf = (name: string, field: Field, shape: NonNullable<Method["command"]>): PositionalData => {
  const flag = shape.flagAliases?.[name]?.[0];
  const isSetting = shape.path[0] === "config" && name === "key";
  const names = name === "vm" || name === "image" ? name : isSetting ? "setting" : null;
  return {
    field: name,
    kind: field.kind === "integer" ? "integer" : "text",
    description: field.description,
    isRequired: field.isRequired,
    placeholder: name.toUpperCase(),
    ...(field.path ? { path: field.path } : {}),
    ...(names ? { names } : {}),
    ...(flag ? { flag } : {}),
  };
};

const commandOf = (name: string, method: Method, shape: NonNullable<Method["command"]>): CommandData => {
  const fields = Object.entries((method.input as z.ZodObject).shape).map(
    ([field, schema]) => [field, readField(schema as z.ZodType)] as const,
  );
  const positional = method.positional ?? [];
  for (const [field, { description }] of fields) {
    if (description === "") throw new Error(`${name}: the field ${field} has no description`);
  }
  return {
    name,
    path: shape.path,
    aliases: shape.aliases ?? [],
    summary: method.summary,
    ...(method.description ? { description: method.description } : {}),
    examples: shape.examples,
    flags: fields.filter(([field]) => !positional.includes(field)).map(([field, read]) => flagOf(field, read, shape)),
    positionals: positional.map((field) => {
      const read = fields.find(([known]) => known === field)?.[1];
      if (!read) throw new Error(`${name}: the positional ${field} is no field of its input`);
      return positionalOf(field, read, shape);
    }),
    isMulti: shape.isMulti ?? false,
    hasEvents: method.events !== undefined,
    isCancellable: method.onDisconnect === "cancel",
  };
};

/** Every method of the contract that is a command, in the contract's order. */
export const deriveCommands = (): CommandData[] =>
  Object.entries(contract as unknown as Record<string, Method>).flatMap(([name, method]) =>
    method.command ? [commandOf(name, method, method.command)] : [],
  );

export const renderCommands = (commands: readonly CommandData[]): string =>
  [
    "// Generated from src/spec/rpc by scripts/generate.ts; do not edit. The commands that call a method, as data.",
    'import type { CommandData } from "../command-data.ts";',
    "",
    "/** The methods that are commands: each has a view. */",
    `export type CommandMethod =\n${commands.map(({ name }) => `  | ${JSON.stringify(name)}`).join("\n")};`,
    "",
    `export const generatedCommands: readonly CommandData[] = ${JSON.stringify(commands, null, 2)};`,
    "",
  ].join("\n");
