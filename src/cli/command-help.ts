// What a command says of itself: its usage, what it does, examples, arguments and flags.
import { type CommandData, type FlagData, kebab } from "./command-data.ts";
import { wrap, wrapRows } from "./wrap.ts";

/** The words of a command after its own; what may be left out is in brackets. */
export const spellArguments = ({ positionals, isMulti, takesRest }: CommandData): string => {
  const words = positionals.map(({ placeholder, isRequired }, index) => {
    const spelled = isMulti && index === 0 ? `${placeholder}...` : placeholder;
    return isRequired ? spelled : `[${spelled}]`;
  });
  const fence = takesRest && positionals.length > 0 ? "[--] " : "";
  return [...words, ...(takesRest ? [`${fence}[${takesRest.placeholder}...]`] : [])].join(" ");
};

const canBeSwitchedOff = ({ kind, default: value, canBeNegated }: FlagData): boolean =>
  kind === "boolean" && (value === true || canBeNegated === true);

/** `-m, --memory SIZE`, with a place for the letter where there is none. */
export const spellFlag = (flag: FlagData): string => {
  const name = kebab(flag.field);
  const value = flag.choices ? ` ${flag.choices.join("|")}` : flag.kind === "boolean" ? "" : ` ${placeholderOf(flag)}`;
  const letter = flag.letter ? `-${flag.letter}, ` : "    ";
  return `${letter}--${name}${value}${canBeSwitchedOff(flag) ? `, --no-${name}` : ""}`;
};

const placeholderOf = ({ placeholder, field, kind }: FlagData): string =>
  placeholder ?? (kind === "integer" ? "N" : kebab(field).toUpperCase());

/** What a flag means, with its default and its other spellings. */
export const explainFlag = (flag: FlagData): string => {
  const hint = flag.default === undefined || flag.default === true ? "" : ` (default: ${flag.default})`;
  const repeats = flag.kind === "list" || flag.kind === "pairs" ? "; may be repeated" : "";
  const others = (flag.aliases ?? []).map((alias) => `--${alias}`);
  return `${flag.description}${hint}${repeats}${others.length > 0 ? `; also ${others.join(", ")}` : ""}`;
};

/** What stands after the command and means something by its place. */
export const argumentRows = ({ positionals, takesRest }: CommandData): [string, string][] => {
  const rows = positionals.map(({ placeholder, description, flag }): [string, string] => [
    placeholder,
    flag === undefined ? description : `${description}; also --${flag} ${placeholder}`,
  ]);
  return takesRest ? [...rows, [`${takesRest.placeholder}...`, takesRest.description]] : rows;
};

/** The page of `--help`; `spelled` is the path that was typed. */
export const renderCommandHelp = (command: CommandData, spelled: readonly string[]): string => {
  const path = spelled.join(" ");
  const others = [command.path, ...command.aliases].map((one) => one.join(" ")).filter((one) => one !== path);
  const rows = argumentRows(command);
  const flags: [string, string][] = command.flags.map((flag) => [spellFlag(flag), explainFlag(flag)]);
  const paragraphs = [
    `${command.summary}.`,
    ...(command.description ? [command.description] : []),
    ...(others.length > 0 ? [`Also: ${others.map((one) => `banger ${one}`).join(", ")}`] : []),
  ];
  return [
    `USAGE\n  ${`banger ${path} [FLAGS] ${spellArguments(command)}`.trimEnd()}\n`,
    ...paragraphs.map((text) => `${wrap(text).join("\n")}\n`),
    ...(command.examples.length > 0
      ? [`EXAMPLES\n${command.examples.map(({ command: line, shows }) => `  ${line}\n      ${shows}\n`).join("")}`]
      : []),
    ...(rows.length > 0 ? [`ARGUMENTS\n${wrapRows(rows)}`] : []),
    `FLAGS\n${wrapRows([...flags, ["-h, --help", "explain this command"]])}`,
  ].join("\n");
};
