// The disk that the lab boots from: built once for each state of its recipe, outside the checkout, and never written to again.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { join, resolve } from "node:path";

const recipeDir = resolve(import.meta.dir, "../../scripts/lab");
const BUILD_TIMEOUT_MS = 30 * 60_000;
/** A gigabyte and a half each. */
const KEPT = 2;

export const labCachePath = (environment: Readonly<Record<string, string | undefined>>): string =>
  environment.BANGER_LAB_CACHE ?? `${environment.XDG_CACHE_HOME ?? `${environment.HOME}/.cache`}/banger-lab`;

export const labCacheDir = (): string => {
  const base = labCachePath(process.env);
  mkdirSync(base, { recursive: true, mode: 0o700 });
  return base;
};

const suite = (): string => process.env.BANGER_LAB_SUITE ?? "bookworm";

const hashRecipe = (): string => {
  const hash = createHash("sha256").update(suite());
  for (const name of readdirSync(recipeDir).sort())
    if (/\.(sh|txt)$/.test(name)) hash.update(`${name}\0`).update(readFileSync(join(recipeDir, name)));
  return hash.digest("hex").slice(0, 16);
};

/** Directories by when they were last used, older ones than the newest few removed. */
const forgetOld = (current: string): void => {
  const images = readdirSync(labCacheDir()).filter((name) => /^[0-9a-f]{16}$/.test(name) && name !== current);
  for (const name of images.sort().slice(KEPT - 1)) rmSync(join(labCacheDir(), name), { recursive: true, force: true });
};

/** The directory with root.raw, vmlinuz, initrd and id_ed25519; builds it when its recipe changed, which takes minutes. */
export const findHostImage = async (say: (line: string) => void): Promise<string> => {
  const hash = hashRecipe();
  const dir = join(labCacheDir(), hash);
  if (!existsSync(dir)) {
    say(`building the host of the lab in ${dir}: some minutes, once`);
    const child = Bun.spawn(["sh", join(recipeDir, "build-host.sh"), "--output", dir, "--suite", suite()], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
      timeout: BUILD_TIMEOUT_MS,
    });
    const said = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(`the host of the lab could not be built:\n${said.slice(-3000)}`);
  }
  utimesSync(dir, new Date(), new Date());
  forgetOld(hash);
  return dir;
};
