// Writes what is derived from the contract: the commands' data and the reference. `--check` only says what has drifted.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deriveCommands, renderCommands } from "./generate/command-data.ts";

const root = join(import.meta.dir, "..");

/** TypeScript is formatted as the linter wants it, so that generated files pass the same check as written ones. */
const format = (path: string, text: string): string => {
  const done = Bun.spawnSync([join(root, "node_modules/.bin/biome"), "format", `--stdin-file-path=${path}`], {
    cwd: root,
    stdin: Buffer.from(text),
    stderr: "pipe",
  });
  if (done.exitCode !== 0) throw new Error(`biome cannot format ${path}: ${done.stderr}`);
  return done.stdout.toString();
};

const read = (path: string): string | null => {
  try {
    return readFileSync(join(root, path), "utf8");
  } catch {
    return null;
  }
};

const isCheck = process.argv.includes("--check");
const drifted: string[] = [];

const emit = (path: string, text: string): void => {
  const formatted = path.endsWith(".ts") ? format(path, text) : text;
  if (read(path) === formatted) return;
  drifted.push(path);
  if (isCheck) return;
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), formatted);
};

const commands = deriveCommands();
emit("src/cli/generated/commands.ts", renderCommands(commands));

// The reference reads the table of commands, which holds the file written above: it is loaded after that.
const { renderReference } = await import("./generate/reference.ts");
for (const [path, text] of Object.entries(renderReference())) emit(path, text);

if (isCheck && drifted.length > 0) {
  console.error(`Generated files have drifted: ${drifted.join(", ")}.\n  try: bun scripts/generate.ts`);
  process.exit(1);
}
for (const path of drifted) console.log(`wrote ${path}`);
