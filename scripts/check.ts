// What must hold before a commit, side by side and in seconds: format and lint, types, generated files, shell scripts, the fast tests.
import { mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const say = (line: string): void => void writeSync(1, `${line}\n`);

type Check = { name: string; argv: readonly string[] };
type Verdict = { name: string; isGood: boolean; seconds: number; output: string };

const tracked = (pattern: string): string[] =>
  Bun.spawnSync(["git", "-C", root, "ls-files", "--", pattern]).stdout.toString().split("\n").filter(Boolean);

const checks: Check[] = [
  { name: "format and lint", argv: ["node_modules/.bin/biome", "ci", "--colors=off", "."] },
  {
    name: "types",
    argv: [
      process.execPath,
      "node_modules/typescript/bin/tsc",
      "--incremental",
      "--tsBuildInfoFile",
      "build/types.json",
    ],
  },
  { name: "generated files", argv: [process.execPath, "scripts/generate.ts", "--check"] },
  { name: "architecture and fast tests", argv: [process.execPath, "scripts/test.ts", "fast"] },
];
if (Bun.which("shellcheck")) {
  checks.push({
    name: "shell scripts",
    argv: ["shellcheck", "-x", "--severity=warning", "--exclude=SC2034", ...tracked("*.sh"), ".ci/run"],
  });
} else say("     shell scripts: not checked, shellcheck is not installed");

const run = async ({ name, argv }: Check): Promise<Verdict> => {
  const started = performance.now();
  const child = Bun.spawn([...argv], { cwd: root, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 180_000 });
  const parts = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const isGood = (await child.exited) === 0;
  const seconds = (performance.now() - started) / 1000;
  say(`${isGood ? "ok  " : "FAIL"} ${name} (${seconds.toFixed(1)} s)`);
  return { name, isGood, seconds, output: parts.join("") };
};

mkdirSync(join(root, "build"), { recursive: true });
const verdicts = await Promise.all(checks.map(run));
const bad = verdicts.filter(({ isGood }) => !isGood);
for (const { name, output } of bad) say(`\n== ${name}\n${output.trim()}`);
process.exit(bad.length > 0 ? 1 : 0);
