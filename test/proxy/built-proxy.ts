// banger-proxy as it is shipped and under sanitizers, and one run on sockets of its own.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proxies } from "../../src/host/proxy.ts";
import { identifyProcess } from "../../src/host/shim.ts";
import { builtNative, runTool, sanitizing } from "../native.ts";

const SOURCE = join(import.meta.dir, "../../native/proxy");
const WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror"];

export const directory = mkdtempSync(join(tmpdir(), "bgr-proxy-"));

const run = (argv: string[]) => Bun.spawnSync(argv, { stdout: "pipe", stderr: "pipe" });

export const buildProxy = (kind: "shipped" | "sanitized"): string =>
  builtNative("proxy", kind === "shipped" ? {} : (sanitizing() ?? {}));

export const buildFuzz = (): string => {
  const out = join(directory, "fuzz");
  const { CC = "", CFLAGS = "" } = sanitizing() ?? {};
  const sources = [join(import.meta.dir, "fuzz-proxy.c"), join(SOURCE, "command.c")];
  runTool([CC, ...WARNINGS, ...CFLAGS.split(" "), "-o", out, ...sources]);
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
