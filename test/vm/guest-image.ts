// The default image for tests: built once by banger itself for each state of its sources, and lent to instances without a copy.
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { openStore } from "../../src/store/store.ts";

const root = resolve(import.meta.dir, "../..");
const cacheDir = join(root, "build/test-image");
const BUILD_TIMEOUT_MS = 25 * 60_000;

/** What goes into an image: a change of any of it is another image. */
const sources = ["images", "guest/units", "build/guest", "src/image/build.ts"];
/** In the same directories, and in no image. */
const others = ["images/kernel.config", "images/build-kernel.sh", "images/README.md"];

const hashSources = (): string => {
  const hash = createHash("sha256");
  const add = (path: string): void => {
    const absolute = join(root, path);
    const entries = readdirSync(absolute, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory()) add(child);
      else if (entry.isFile() && !others.includes(child))
        hash.update(`${child}\0`).update(readFileSync(join(root, child)));
    }
  };
  for (const path of sources) {
    if (path.endsWith(".ts")) hash.update(readFileSync(join(root, path)));
    else add(path);
  }
  return hash.digest("hex").slice(0, 16);
};

/** The variables of an instance whose data and state lie in `dir`; sockets have a short directory of their own. */
const environmentOf = (dir: string, runtimeDir: string): Record<string, string> => ({
  PATH: process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: join(dir, "home"),
  LANG: "C.UTF-8",
  XDG_DATA_HOME: join(dir, "data"),
  XDG_STATE_HOME: join(dir, "state"),
  XDG_CONFIG_HOME: join(dir, "config"),
  XDG_CACHE_HOME: join(dir, "cache"),
  XDG_RUNTIME_DIR: runtimeDir,
  BANGER_DNS_PORT: "0",
  // The kernels of a template are its image's, whatever somebody built besides.
  BANGER_VM_KERNEL: "image",
  ...Object.fromEntries(
    ["BANGER_DEBIAN_MIRROR", "BANGER_DEBIAN_SECURITY_MIRROR", "http_proxy", "https_proxy", "no_proxy"].flatMap(
      (name) => (process.env[name] === undefined ? [] : [[name, process.env[name] as string]]),
    ),
  ),
});

const banger = (argv: string[], env: Record<string, string>, timeoutMs: number): void => {
  const done = Bun.spawnSync([join(root, "build/banger"), ...argv], {
    env,
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
  });
  if (done.exitCode !== 0) throw new Error(`banger ${argv.join(" ")} ended with ${done.exitCode}: ${done.stderr}`);
};

const buildTemplate = (dir: string): void => {
  const runtimeDir = mkdtempSync("/tmp/bgt-i-");
  const env = environmentOf(dir, runtimeDir);
  mkdirSync(env.HOME as string, { recursive: true });
  try {
    banger(["image", "build"], env, BUILD_TIMEOUT_MS);
    // What is found out once on a host, KVM and the speed of its clock, is found out here for all instances of tests.
    banger(["create", "probe", "--no-start", "--memory", "256M"], env, 120_000);
    banger(["rm", "probe"], env, 60_000);
  } finally {
    Bun.spawnSync([join(root, "build/banger"), "daemon", "stop", "--force"], { env, timeout: 60_000 });
    rmSync(runtimeDir, { recursive: true, force: true });
  }
  writeFileSync(join(dir, "complete"), `${new Date().toISOString()}\n`);
};

/** Held while an image is built, so that two test runs at once build one. */
const withLock = async <Result>(work: () => Result): Promise<Result> => {
  mkdirSync(cacheDir, { recursive: true });
  const lock = join(cacheDir, "lock");
  const until = performance.now() + BUILD_TIMEOUT_MS;
  const isHolderAlive = () => {
    try {
      process.kill(Number(readFileSync(join(lock, "pid"), "utf8")), 0);
      return true;
    } catch {
      return false;
    }
  };
  let misses = 0;
  for (;;) {
    try {
      mkdirSync(lock);
      writeFileSync(join(lock, "pid"), String(process.pid));
      break;
    } catch {
      if (performance.now() > until) throw new Error(`${lock} is held for too long`);
      // Between making the directory and writing the pid nobody seems to hold it.
      misses = isHolderAlive() ? 0 : misses + 1;
      if (misses > 10) rmSync(lock, { recursive: true, force: true });
      await Bun.sleep(100);
    }
  }
  try {
    return work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
};

/** A gigabyte each: only the newest few states of the sources are worth going back to, or in use by another run. */
const KEPT = 3;

const forgetOld = (): void => {
  const dated = readdirSync(cacheDir).flatMap((name) => {
    const path = join(cacheDir, name);
    const complete = join(path, "complete");
    return existsSync(complete) ? [{ path, builtMs: statSync(complete).mtimeMs }] : [];
  });
  for (const { path } of dated.sort((a, b) => b.builtMs - a.builtMs).slice(KEPT))
    rmSync(path, { recursive: true, force: true });
};

/** The directory of an instance that has the image and nothing else; builds it when what goes into it changed. */
export const findTemplate = async (): Promise<string> => {
  const given = process.env.BANGER_TEST_IMAGE_DIR;
  const dir = given ?? join(cacheDir, hashSources());
  if (existsSync(join(dir, "complete"))) return dir;
  await withLock(() => {
    if (existsSync(join(dir, "complete"))) return;
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    console.log(`building the default image for the tests in ${dir}`);
    buildTemplate(dir);
    if (!given) forgetOld();
  });
  return dir;
};

/** Enters the template's image into the records of an instance that has not run yet; its files stay where they are, or in a copy of the template. */
export const lendImage = (template: string, stateHome: string, copy?: string): void => {
  // A template may have been built under another name of its directory.
  const placed = (dir: string) => (copy === undefined ? dir : join(copy, dir.slice(dir.lastIndexOf("/data/banger/"))));
  const from = openStore({ path: join(template, "state/banger/banger.db"), readOnly: true });
  mkdirSync(join(stateHome, "banger"), { recursive: true, mode: 0o700 });
  const to = openStore({ path: join(stateHome, "banger/banger.db") });
  try {
    for (const kernel of from.kernels.all()) to.kernels.insert({ ...kernel, dir: placed(kernel.dir) });
    for (const image of from.images.all()) to.images.insert({ ...image, dir: placed(image.dir) });
  } finally {
    from.close();
    to.close();
  }
  const found = join(template, "state/banger/cache");
  if (existsSync(found)) cpSync(found, join(stateHome, "banger/cache"), { recursive: true });
};

if (import.meta.main) console.log(await findTemplate());
