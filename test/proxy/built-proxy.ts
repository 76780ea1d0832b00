// Builds banger-proxy as it is shipped and under sanitizers, and runs one on sockets of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proxies } from "../../src/host/proxy.ts";
import { identifyProcess } from "../../src/host/shim.ts";

const SOURCE = join(import.meta.dir, "../../native/proxy");
const SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all";
const WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"];

export const directory = mkdtempSync(join(tmpdir(), "bgr-proxy-"));

const run = (argv: string[], env: Record<string, string> = {}) =>
  Bun.spawnSync(argv, { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });

const compiler = ["clang", "gcc"].find((name) => {
  const probe = join(directory, "probe.c");
  Bun.spawnSync(["sh", "-c", `echo 'int main(void){return 0;}' > ${probe}`]);
  const output = join(directory, "probe");
  return Bun.which(name) && run([name, ...SANITIZERS.split(" "), probe, "-o", output]).success && run([output]).success;
});

export const sanitizerObstacle = compiler === undefined ? "no clang or gcc with sanitizers" : null;
export const shippedObstacle = Bun.which("musl-gcc") === null ? "musl-gcc is not installed" : null;

/** Its path; a build that fails is an error of the test. */
export const buildProxy = (kind: "shipped" | "sanitized"): string => {
  const out = join(directory, kind);
  const env: Record<string, string> = kind === "shipped" ? {} : { CC: compiler ?? "", CFLAGS: SANITIZERS };
  const { success, stderr } = run(["sh", join(SOURCE, "../build.sh"), "proxy", out], env);
  if (!success) throw new Error(stderr.toString());
  return join(out, "banger-proxy");
};

export const buildFuzz = (): string => {
  const out = join(directory, "fuzz");
  const sources = [join(import.meta.dir, "fuzz-proxy.c"), join(SOURCE, "command.c")];
  const { success, stderr } = run([compiler ?? "", ...WARNINGS, ...SANITIZERS.split(" "), "-o", out, ...sources]);
  if (!success) throw new Error(stderr.toString());
  return out;
};

let count = 0;

/** One proxy, bound to a process that can be ended. */
export const startProxy = async (proxyPath: string, options: readonly string[] = []) => {
  const control = join(directory, `control-${++count}`);
  const bound = Bun.spawn(["sleep", "infinity"], { stdio: ["ignore", "ignore", "ignore"] });
  const proof = await identifyProcess(bound.pid);
  if (!proof) throw new Error("sleep did not start");
  const argv = [
    proxyPath,
    "--serve",
    control,
    "vm1",
    "--until",
    String(proof.pid),
    String(proof.startTicks),
    ...options,
  ];
  const { success, stderr } = run(argv);
  if (!success) throw new Error(stderr.toString());
  const where = { proxyPath, control };
  return {
    ...where,
    bound,
    where,
    argv,
    run,
    async stop() {
      await proxies.quit(where);
      bound.kill("SIGKILL");
      await bound.exited;
    },
  };
};

export type RunningProxy = Awaited<ReturnType<typeof startProxy>>;

export const removeBuilt = () => rmSync(directory, { recursive: true, force: true });
