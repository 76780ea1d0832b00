// Writes the man pages, one for banger and one for each command, from the same data that --help is made of.
// usage: bun scripts/man.ts DIRECTORY
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CommandData } from "../src/cli/command-data.ts";
import { argumentRows, explainFlag, spellArguments, spellFlag } from "../src/cli/command-help.ts";
import { commands, groups } from "../src/cli/command-table.ts";

/** What roff would print as something else, a typographic quote say, which no shell takes (groff_char(7)). */
const asTyped: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  '"': "\\(dq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** Text as roff takes it: no escape, no request at the beginning of a line, and every character such that it can be copied. */
export const roff = (text: string): string =>
  text.replace(/[\\\-'"`^~]/g, (character) => asTyped[character] ?? character).replace(/^\./gm, "\\&.");

const header = (name: string): string => `.TH ${name.toUpperCase().replaceAll("-", "\\-")} 1 "" banger "banger manual"`;

export const pageName = (command: CommandData): string => ["banger", ...command.path].join("-");

export const renderPage = (command: CommandData): string => {
  const usage = `banger ${command.path.join(" ")} [FLAGS] ${spellArguments(command)}`.trimEnd();
  const flags = command.flags.flatMap((flag) => [
    ".TP",
    `.B ${roff(spellFlag(flag).trimStart())}`,
    roff(explainFlag(flag)),
  ]);
  const positionals = argumentRows(command).flatMap(([spelled, meaning]) => [
    ".TP",
    `.I ${roff(spelled)}`,
    roff(meaning),
  ]);
  const examples = command.examples.flatMap(({ command: line, shows }) => [".TP", `.B ${roff(line)}`, roff(shows)]);
  const aliases = command.aliases.map((path) => `banger ${path.join(" ")}`);
  return [
    header(pageName(command)),
    ".SH NAME",
    `${roff(pageName(command))} \\- ${roff(command.summary)}`,
    ".SH SYNOPSIS",
    roff(usage),
    ".SH DESCRIPTION",
    roff(`${command.summary}.${command.description ? ` ${command.description}` : ""}`),
    ...(aliases.length > 0 ? [".PP", roff(`Also: ${aliases.join(", ")}.`)] : []),
    ...(positionals.length > 0 ? [".SH ARGUMENTS", ...positionals] : []),
    ...(flags.length > 0 ? [".SH FLAGS", ...flags] : []),
    ...(examples.length > 0 ? [".SH EXAMPLES", ...examples] : []),
    ".SH SEE ALSO",
    ".BR banger (1)",
    "",
  ].join("\n");
};

export const renderOverviewPage = (all: readonly CommandData[]): string => {
  const isIn = (group: string) => (command: CommandData) => command.path.length > 1 && command.path[0] === group;
  const entry = (command: CommandData) => [".TP", `.BR ${roff(pageName(command))} (1)`, roff(command.summary)];
  const sections = Object.entries(groups).flatMap(([group, title]) => [
    `.SS ${roff(title)}`,
    ...all.filter(isIn(group)).flatMap(entry),
  ]);
  return [
    header("banger"),
    ".SH NAME",
    "banger \\- persistent microVMs on your own computer",
    ".SH SYNOPSIS",
    ".B banger",
    "COMMAND [FLAGS] [ARGUMENTS]",
    ".SH DESCRIPTION",
    "Named Linux VMs that stay until they are removed. The daemon bangerd is started when it is needed; VMs outlive it.",
    ".SH COMMANDS",
    ...sections,
    ".SS Everything else",
    ...all.filter(({ path }) => path.length === 1).flatMap(entry),
    "",
  ].join("\n");
};

if (import.meta.main) {
  const [directory = "build/man"] = process.argv.slice(2);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "banger.1"), renderOverviewPage(commands));
  for (const command of commands) writeFileSync(join(directory, `${pageName(command)}.1`), renderPage(command));
}
