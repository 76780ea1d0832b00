// What `make install` puts into /usr/local serves an ordinary user without the checkout and without mmdebstrap: a VM is made and entered.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { findObstacle } from "./fixture.ts";
import { findTemplate } from "./guest-image.ts";
import { asRoot, hasRoot, processesOf } from "./processes.ts";

const root = resolve(import.meta.dir, "../..");
const obstacle =
  findObstacle({ needsRoot: "an installation" }) ??
  (Bun.which("sudo") === null || Bun.which("setpriv") === null ? "sudo or setpriv is not installed" : null);

let work: string;
beforeAll(() => {
  work = mkdtempSync("/tmp/bgt-u-");
  // The user of the installation passes through it.
  chmodSync(work, 0o711);
});
afterAll(() => {
  expect(processesOf(work)).toEqual([]);
  if (hasRoot) Bun.spawnSync(asRoot(["rm", "-rf", work]));
  rmSync(work, { recursive: true, force: true });
});

test.skipIf(obstacle !== null)(
  `an installed banger needs no checkout${obstacle ? ` (skipped: ${obstacle})` : ""}`,
  async () => {
    const runtime = join(work, "runtime");
    mkdirSync(runtime);
    const bundle = Bun.spawnSync([process.execPath, "scripts/bundle.ts", "--image", await findTemplate()], {
      cwd: root,
      env: { ...process.env, BANGER_RUNTIME_DIR: runtime, BANGER_BUNDLE_FROM: join(work, "nowhere") },
      stdout: "pipe",
      stderr: "inherit",
    });
    expect({ code: bundle.exitCode, out: bundle.stdout.toString() }).toMatchObject({ code: 0 });
    const log = join(work, "log");
    const child = Bun.spawn(
      asRoot([
        "unshare",
        "--mount",
        "--propagation",
        "private",
        join(import.meta.dir, "installed.sh"),
        root,
        runtime,
        work,
      ]),
      { cwd: "/", stdin: "ignore", stdout: "pipe", stderr: Bun.file(log), timeout: 280_000 },
    );
    const out = await new Response(child.stdout).text();
    const code = await child.exited;
    expect({ code, out, log: code === 0 ? "" : readFileSync(log, "utf8").slice(-4000) }).toEqual({
      code: 0,
      out: [
        "proved: the checkout is gone, and so is mmdebstrap",
        "proved: the default image is unpacked from the bundle",
        "proved: an ordinary user has a VM and is in it",
        "proved: the image says how it was made",
        "proved: make uninstall leaves nothing\n",
      ].join("\n"),
      log: "",
    });
  },
);
