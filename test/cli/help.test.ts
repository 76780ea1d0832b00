// Help and completion: every command explains itself, and the shells get live names.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kebab } from "../../src/cli/command-data.ts";
import { commands, groups } from "../../src/cli/command-table.ts";
import { exitCodes } from "../../src/cli/exit-codes.ts";
import { EXIT } from "../../src/spec/errors.ts";
import { startFakeDaemon, vm } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";
import { banger, MAIN } from "./spawned.ts";

const daemon = startFakeDaemon({
  "vm.list": () => [vm(), vm({ name: "work" }), vm({ name: "db" })],
  "image.list": () => [],
  "config.show": () => [{ key: "vm.memory", value: "auto", source: "default", description: "" }],
});
afterAll(() => daemon.close());

describe("help", () => {
  test("the overview", async () => expect((await runLine(null, [])).out).toMatchSnapshot());

  for (const command of commands) {
    const line = command.path.join(" ");
    test(`banger ${line} --help`, async () => {
      const shown = await runLine(null, [...command.path, "--help"]);
      expect(shown).toMatchObject({ exitCode: 0, err: "" });
      expect(shown.out).toMatchSnapshot();
      for (const example of command.examples) expect(shown.out).toContain(example.command);
      // What is typed is never broken, not even where it is wider.
      const prose = shown.out.split("\n").filter((text) => !/^ {2}\S*banger /.test(text));
      expect(prose.filter((text) => text.length > 80)).toEqual([]);
      for (const flag of command.flags) expect(shown.out).toContain(`--${kebab(flag.field)}`);
    });
  }

  test("is the same by banger help, for groups too, and needs no daemon", async () => {
    expect((await runLine(null, ["help", "vm", "create"])).out).toBe(
      (await runLine(null, ["vm", "create", "--help"])).out,
    );
    for (const group of Object.keys(groups)) {
      const shown = await runLine(null, [group]);
      expect(shown.exitCode).toBe(0);
      expect((await runLine(null, ["help", group])).out).toBe(shown.out);
      for (const { path } of commands.filter((command) => command.path[0] === group)) {
        expect(shown.out).toContain(`banger ${path.join(" ")} `);
      }
    }
  });

  test("is ours wherever it is asked for, and JSON on request", async () => {
    const group = (await runLine(null, ["vm"])).out;
    expect((await runLine(null, ["vm", "help"])).out).toBe(group);
    expect((await runLine(null, ["--", "ls"])).out).toBe((await runLine(null, [])).out);
    const named = JSON.parse((await runLine(null, ["help", "vm", "create", "--json"])).out);
    expect(named).toMatchObject([{ name: "vm.create" }]);
    expect((await runLine(null, ["--version", "extra"])).err).toContain("banger help version");
  });

  test("of what does not exist is exit code 2", async () => {
    expect(await runLine(null, ["help", "nonsense"])).toMatchObject({ exitCode: 2, out: "" });
  });

  test("every exit code is explained", async () => {
    const { out } = await runLine(null, ["help", "exit-codes"]);
    for (const code of Object.values(EXIT)) {
      expect(exitCodes.map((known) => known.code)).toContain(code);
      expect(out).toMatch(new RegExp(`^\\s+${code}  \\S`, "m"));
    }
  });
});

describe("completion", () => {
  const propose = async (...words: string[]) =>
    (await banger(daemon.env, "__complete", ...words)).out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t")[0]);

  test("proposes the names of VMs that begin so", async () => {
    expect(await propose("start", "w")).toEqual(["web", "work"]);
    expect(await propose("vm", "stop", "web", "")).toContain("db");
    expect(await propose("ssh", "d")).toEqual(["db"]);
  });

  test("proposes settings, shells and flags", async () => {
    expect(await propose("config", "get", "vm.")).toEqual(["vm.memory"]);
    expect(await propose("completion", "")).toEqual(expect.arrayContaining(["bash", "zsh", "fish"]));
    expect(await propose("create", "--no-")).toEqual(["--no-start", "--no-wait", "--no-dns-wildcard"]);
  });

  test("asks nothing that could change anything", () => {
    expect(new Set(daemon.calls.map(({ method }) => method))).toEqual(new Set(["vm.list", "config.show"]));
  });

  const dir = mkdtempSync(join(tmpdir(), "bgr-complete-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const bin = join(dir, "banger");
  writeFileSync(bin, `#!/bin/sh\nexec ${process.execPath} ${MAIN} "$@"\n`, { mode: 0o755 });
  const env = { ...daemon.env, PATH: `${dir}:${daemon.env.PATH}` };
  const inShell = async (shell: string, script: string): Promise<string> => {
    const child = Bun.spawn([shell, "-c", script], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return out + err;
  };

  test("works in bash", async () => {
    const script = `source <(banger completion bash); COMP_WORDS=(banger vm start w); COMP_CWORD=3; _banger; echo "\${COMPREPLY[*]}"`;
    expect(await inShell("bash", script)).toBe("web work\n");
  });

  test.skipIf(Bun.which("zsh") === null)("its script is read by zsh (skipped where zsh is not installed)", async () => {
    expect(
      await inShell(
        "zsh",
        "autoload -U compinit; compinit -u; source <(banger completion zsh); echo $+functions[_banger]",
      ),
    ).toBe("1\n");
  });

  test.skipIf(Bun.which("zsh") === null)(
    "works in zsh with the first Tab, as a file of fpath (skipped where zsh is not installed)",
    async () => {
      writeFileSync(join(dir, "_banger"), (await runLine(null, ["completion", "zsh"])).out);
      const stub = `_describe() print -r -- \${(P)4}; compdef() print compdef`;
      const script = `${stub}; fpath=(${dir}); autoload _banger; words=(banger vm start w); CURRENT=4; _banger`;
      expect(await inShell("zsh", script)).toMatch(/^web:\S* .*work:/);
    },
  );

  test.skipIf(Bun.which("fish") === null)("works in fish (skipped where fish is not installed)", async () => {
    expect(await inShell("fish", "banger completion fish | source; complete -C 'banger vm start w'")).toContain(
      "web\t",
    );
  });

  for (const shell of ["bash", "zsh", "fish"]) {
    test(`the script of ${shell}`, async () =>
      expect((await runLine(null, ["completion", shell])).out).toMatchSnapshot());
  }
});
