// Compiles the C helpers for tests, below build/: once for each state of their sources and each environment.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const repository = join(import.meta.dir, "..");

/** Where they lie, from the root of the checkout. */
export const NATIVE_BUILT = "build/test-native";

export type NativeName = "dns-front" | "holder" | "jail" | "proxy" | "shim" | "tsc";

/** Runs a tool to its end and fails with what it said. */
export const runTool = (argv: readonly string[], env: Record<string, string> = {}): string => {
  const result = Bun.spawnSync([...argv], {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 120_000,
  });
  if (!result.success)
    throw new Error(`${argv.join(" ")} ended with ${result.exitCode}: ${result.stdout}${result.stderr}`);
  return result.stdout.toString();
};

/** Why none can be compiled as it is shipped, or null. */
export const shippedObstacle = Bun.which("musl-gcc") === null ? "musl-gcc is not installed" : null;

const SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all";

/** A compiler whose sanitizers work here: one without its runtime library is of no use. */
const findSanitizing = (): string | null => {
  const directory = mkdtempSync(join(tmpdir(), "bgr-probe-"));
  const [probe, output] = [join(directory, "probe.c"), join(directory, "probe")];
  writeFileSync(probe, "int main(void){return 0;}\n");
  const works = (name: string): boolean => {
    try {
      runTool([name, ...SANITIZERS.split(" "), probe, "-o", output]);
      runTool([output]);
      return true;
    } catch {
      return false;
    }
  };
  try {
    return ["clang", "gcc"].find((name) => Bun.which(name) !== null && works(name)) ?? null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

let found: string | null | undefined;
/** The compiler and flags that make a helper end where C has no answer; null where no compiler can. */
export const sanitizing = (): { CC: string; CFLAGS: string } | null => {
  if (found === undefined) found = findSanitizing();
  return found === null ? null : { CC: found, CFLAGS: SANITIZERS };
};
export const sanitizerObstacle = (): string | null => (sanitizing() ? null : "no clang or gcc with sanitizers");

/** Path of `program`, which `script` builds of `sources` (a directory) when given a directory; a build that fails is an error of the test. */
const compileOnce = (given: {
  sources: string;
  script: string;
  program: string;
  /** Arguments of the script before the directory. */
  words: readonly string[];
  env: Record<string, string>;
}): string => {
  const { sources, script, program, words, env } = given;
  const hash = new Bun.CryptoHasher("sha256").update(JSON.stringify(env)).update(readFileSync(script));
  for (const file of readdirSync(sources).sort()) hash.update(file).update(readFileSync(join(sources, file)));
  const directory = join(repository, NATIVE_BUILT, `${program}-${hash.digest("hex").slice(0, 16)}`);
  const path = join(directory, program);
  if (!existsSync(path)) runTool(["sh", script, ...words, directory], env);
  return path;
};

/** A helper of the host. `env`: CC and CFLAGS, where they are not those it is shipped with. */
export const builtNative = (name: NativeName, env: Record<string, string> = {}): string =>
  compileOnce({
    sources: join(repository, "native", name),
    script: join(repository, "native/build.sh"),
    program: `banger-${name}`,
    words: [name],
    env,
  });

/** The helper in the guest, as it is shipped. */
export const builtPingd = (): string => {
  const sources = join(repository, "guest/pingd");
  return compileOnce({ sources, script: join(sources, "build.sh"), program: "banger-vsock-pingd", words: [], env: {} });
};
