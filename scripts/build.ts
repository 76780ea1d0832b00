// Builds the one executable, build/banger, and the names it is called by. Quick, and the same whenever it is run again.
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
/** `--out DIR` builds elsewhere, for tests; the tree's own `./banger` is left alone then. */
const elsewhere = process.argv.includes("--out") ? process.argv[process.argv.indexOf("--out") + 1] : undefined;
const out = elsewhere ?? join(root, "build");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

const git = (...args: string[]): string => {
  const done = Bun.spawnSync(["git", "-C", root, ...args], { stderr: "ignore" });
  return done.exitCode === 0 ? done.stdout.toString().trim() : "";
};

/** Time first, so that two builds compare; then the commit, and whether the tree had changes. */
const buildId = (): string => {
  const time = new Date().toISOString();
  const commit = git("rev-parse", "--short=8", "HEAD") || "nogit";
  const isChanged = git("status", "--porcelain", "--untracked-files=no", "--", "src") !== "";
  return `${time}-${commit}${isChanged ? "-changed" : ""}`;
};

/** Replaces a link as one, so that whoever looks finds the old one or the new one. */
const link = (target: string, path: string): void => {
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  symlinkSync(target, temporary);
  renameSync(temporary, path);
};

const build = buildId();
const temporary = join(out, `.banger-${process.pid}`);
mkdirSync(out, { recursive: true });
const done = await Bun.build({
  entrypoints: [join(root, "src/main.ts")],
  target: "bun",
  format: "esm",
  minify: true,
  bytecode: true,
  splitting: true,
  compile: {
    outfile: temporary,
    // A .env or bunfig.toml in the directory of a command must not reach into it: a preload there is code (STACK §1i.1).
    autoloadDotenv: false,
    autoloadBunfig: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
  define: {
    BANGER_VERSION: JSON.stringify(version),
    BANGER_BUILD: JSON.stringify(build),
  },
  throw: false,
});
if (!done.success) {
  rmSync(temporary, { force: true });
  console.error(done.logs.map(String).join("\n"));
  process.exit(1);
}
// By rename: a running daemon keeps the file it was started from. Never strip it: that leaves a plain runtime (STACK §1i.3).
renameSync(temporary, join(out, "banger"));
link("banger", join(out, "bangerd"));
link("banger", join(out, "banger-root"));
if (!elsewhere) link("build/banger", join(root, "banger"));
console.log(`${join(out, "banger")} ${version} (${build})`);
