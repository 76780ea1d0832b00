// Builds banger-dns-front as it is shipped and under sanitizers, for servers that have it in front.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDnsFront, type OpenDnsFront } from "../../src/host/dns-front.ts";

const SOURCE = join(import.meta.dir, "../../native/dns-front");
const SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all";

const directory = mkdtempSync(join(tmpdir(), "bgr-dns-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

const run = (argv: string[], env: Record<string, string> = {}) =>
  Bun.spawnSync(argv, { env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });

const sanitizing = (): string | null => {
  const [probe, output] = [join(directory, "probe.c"), join(directory, "probe")];
  Bun.spawnSync(["sh", "-c", `echo 'int main(void){return 0;}' > ${probe}`]);
  const works = (name: string) =>
    Bun.which(name) !== null && run([name, ...SANITIZERS.split(" "), probe, "-o", output]).success;
  return ["clang", "gcc"].find((name) => works(name) && run([output]).success) ?? null;
};

const sanitizer = sanitizing();
export const sanitizerObstacle = sanitizer === null ? "no clang or gcc with sanitizers" : null;
export const frontObstacle = Bun.which("musl-gcc") === null ? "musl-gcc is not installed" : null;

const built = new Map<string, string>();

/** Its path; a build that fails is an error of the test. */
export const buildFront = (kind: "shipped" | "sanitized" = "shipped"): string => {
  const known = built.get(kind);
  if (known !== undefined) return known;
  const out = join(directory, kind);
  const { success, stderr } = run(
    ["sh", join(SOURCE, "../build.sh"), "dns-front", out],
    kind === "shipped" ? {} : { CC: sanitizer ?? "", CFLAGS: SANITIZERS },
  );
  if (!success) throw new Error(stderr.toString());
  built.set(kind, join(out, "banger-dns-front"));
  return join(out, "banger-dns-front");
};

/** Where the boards of its servers begin as files. */
export const boards = directory;

export const openFront = (kind?: "shipped" | "sanitized"): OpenDnsFront =>
  createDnsFront({ helper: buildFront(kind), directory });

/** Both ways in which the server answers by UDP, for tests of what must be the same in both. */
export const waysOfUdp: readonly (readonly [how: string, options: () => { front?: OpenDnsFront }])[] = [
  ["by itself", () => ({})],
  ...(frontObstacle === null ? ([["behind banger-dns-front", () => ({ front: openFront() })]] as const) : []),
];
