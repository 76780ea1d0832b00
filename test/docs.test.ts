// Documentation names nothing that does not exist: every `banger …` in it is a command with flags it has (FACTS §6.13).
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { resolveCommand } from "../src/cli/arguments.ts";
import { kebab } from "../src/cli/command-data.ts";
import { commands, groups } from "../src/cli/command-table.ts";
import { errors } from "../src/spec/errors.ts";

const root = join(import.meta.dir, "..");

const pagesBelow = (directory: string): string[] =>
  existsSync(directory)
    ? readdirSync(directory, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? pagesBelow(join(directory, entry.name)) : [join(directory, entry.name)],
      )
    : [];

const pages = [join(root, "README.md"), join(root, "AGENTS.md"), ...pagesBelow(join(root, "docs"))].filter(
  (path) => path.endsWith(".md") && existsSync(path),
);

type Line = { where: string; line: string };

/** Lines of shell blocks and code spans that call banger. */
const linesOf = (path: string): Line[] => {
  const text = readFileSync(path, "utf8");
  const where = relative(root, path);
  const blocks = [...text.matchAll(/```(?:sh|bash|shell|console|text)?\n([\s\S]*?)```/g)].flatMap((found) =>
    (found[1] ?? "").split("\n"),
  );
  const spans = [...text.replace(/```[\s\S]*?```/g, "").matchAll(/`([^`\n]+)`/g)].map((found) => found[1] ?? "");
  return [...blocks, ...spans]
    .map((line) =>
      line
        .trim()
        .replace(/^[$#]\s+/, "")
        .replace(/^(\w+=\S*\s+)*/, ""),
    )
    .filter((line) => /^(\.\/|sudo )?banger(\s|$)/.test(line))
    .map((line) => ({ where, line }));
};

/** Words of a line up to a pipe, a redirection, a comment, or where the guest's own words begin. */
const wordsOf = (line: string): string[] => {
  const words = (line.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).slice(1);
  const end = words.findIndex((word) => /^([|>&;#]|--$|&&|\|\||2>|…)/.test(word));
  return words.slice(0, end < 0 ? undefined : end).map((word) => word.replace(/[,.;:)]+$/, ""));
};

/** What is wrong with a line; null when nothing is. */
const faultOf = (line: string): string | null => {
  const words = wordsOf(line);
  const [first] = words;
  if (first === undefined || /^(--version|-V|--help|-h|--json|COMMAND|\.\.\.)$/.test(first)) return null;
  // `a|b` in a synopsis stands for both.
  const alternatives = words.findIndex((word) => /^\[?[a-z-]+(\|[a-z-]+)+\]?$/.test(word));
  if (alternatives >= 0 && alternatives < 2) {
    const choices = (words[alternatives] ?? "").replace(/[[\]]/g, "").split("|");
    const faults = choices.map((choice) => faultOf(["banger", ...words.with(alternatives, choice)].join(" ")));
    return faults.find((fault) => fault !== null) ?? null;
  }
  const found = resolveCommand(commands, words);
  if (!found) return first in groups && words.length === 1 ? null : "no such command";
  const { command, rest } = found;
  const known = new Set(["--help", "-h"]);
  for (const flag of command.flags) {
    for (const name of [kebab(flag.field), ...(flag.aliases ?? [])]) known.add(`--${name}`);
    known.add(`--no-${kebab(flag.field)}`);
    if (flag.letter) known.add(`-${flag.letter}`);
  }
  for (const { flag } of command.positionals) if (flag) known.add(`--${flag}`);
  for (const word of rest) {
    // After the VM's name the words are the guest's.
    if (command.takesRest && !word.startsWith("-")) return null;
    const spelled = word.replace(/^\[/, "").replace(/[\]=].*$/, "");
    if (spelled.startsWith("-") && !known.has(spelled)) return `no flag ${spelled}`;
  }
  return null;
};

describe("documentation", () => {
  test("the check sees what is wrong", () => {
    expect(faultOf("banger vm create --vcpus 2 web")).toBe(null);
    expect(faultOf("banger ssh web -- ls -la")).toBe(null);
    expect(faultOf("banger daemon status|stop")).toBe(null);
    expect(faultOf("banger vm crate web")).toBe("no such command");
    expect(faultOf("banger vm create --cores 2")).toBe("no flag --cores");
  });

  test("every command and flag in README and docs exists", () => {
    const lines = pages.flatMap(linesOf);
    expect(lines.length).toBeGreaterThan(20);
    const faults = lines.flatMap(({ where, line }) => {
      const fault = faultOf(line);
      return fault ? [`${where}: ${line}: ${fault}`] : [];
    });
    expect(faults).toEqual([]);
  });

  test("every example of the contract is a line that can be typed", () => {
    const examples = commands.flatMap(({ examples: own }) => own.map(({ command }) => command));
    expect(examples.length).toBeGreaterThan(30);
    expect(examples.filter((line) => faultOf(line) !== null)).toEqual([]);
  });

  test("every command has a summary, an example and a description of each flag", () => {
    const bare = commands.filter(
      ({ summary, examples, flags, positionals }) =>
        summary === "" ||
        examples.length === 0 ||
        [...flags, ...positionals].some(({ description }) => description === ""),
    );
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  test("every fix that is a command names one that exists", () => {
    // Commands of later issues, which the catalogue names already.
    const later = /^banger doctor\b/;
    const source = readFileSync(join(root, "src/spec/errors.ts"), "utf8");
    const fixes = [...source.matchAll(/["`](banger [a-z-]+[^"`]*)["`]/g)].map((found) =>
      (found[1] ?? "").replace(/\$\{[^}]*\}/g, "web"),
    );
    expect(Object.keys(errors).length).toBeGreaterThan(30);
    expect(fixes.length).toBeGreaterThan(20);
    const faults = fixes.filter(
      (line) => !later.test(line) && !/^banger (help web|web web)/.test(line) && faultOf(line) !== null,
    );
    expect(faults).toEqual([]);
  });

  test("the generated files are what the contract says", () => {
    const done = Bun.spawnSync([process.execPath, join(root, "scripts/generate.ts"), "--check"], { stderr: "pipe" });
    expect(`${done.stderr}`).toBe("");
    expect(done.exitCode).toBe(0);
  });
});
