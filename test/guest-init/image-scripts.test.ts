// The shell tooling for images: clean under shellcheck, and gone without a trace when it fails or is interrupted.
import { expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const repository = join(import.meta.dir, "../..");
const hasBuilder = Bun.which("mmdebstrap") !== null && existsSync("/usr/share/keyrings/debian-archive-keyring.gpg");

test.skipIf(Bun.which("shellcheck") === null)(
  "every shell script of guest/ and images/ is clean under shellcheck",
  () => {
    const scripts = [...new Bun.Glob("{guest,images}/**/*.sh").scanSync(repository)].sort();
    expect(scripts.length).toBeGreaterThan(4);
    const run = Bun.spawnSync(["shellcheck", "-x", "-P", "SCRIPTDIR", ...scripts], { cwd: repository });
    expect(run.stdout.toString()).toBe("");
    expect(run.exitCode).toBe(0);
  },
);

function scene(): { directory: string; helpers: string; argv: (mirror: string) => string[] } {
  const directory = mkdtempSync(join(tmpdir(), "bgr-image-"));
  chmodSync(directory, 0o755);
  const helpers = mkdtempSync(join(tmpdir(), "bgr-helpers-"));
  // Never run here: the build ends before it would be.
  writeFileSync(join(helpers, "banger-init"), "#!/bin/sh\n", { mode: 0o755 });
  const argv = (mirror: string) => [
    join(repository, "images/customize.sh"),
    ...["--output", join(directory, "rootfs.ext4"), "--manifest", join(directory, "packages.txt")],
    ...["--guest-helpers", helpers, "--size", "1G", "--mirror", mirror, "--security-mirror", "none"],
  ];
  return { directory, helpers, argv };
}

/** Processes whose command line names this build's directory. */
function processesOf(directory: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8")];
      } catch {
        return [];
      }
    })
    .filter((line) => line.includes(directory));
}

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  test.skipIf(!hasBuilder)(
    `a build that gets ${signal} while it downloads leaves no file and no process`,
    async () => {
      const { directory, helpers, argv } = scene();
      const asked = Promise.withResolvers<void>();
      // A mirror that accepts and never answers: the build is certainly in the middle.
      const mirror = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: { data: () => asked.resolve(), open: () => asked.resolve() },
      });
      try {
        const build = Bun.spawn(argv(`http://127.0.0.1:${mirror.port}/debian`), { stdout: "ignore", stderr: "pipe" });
        const stderr = new Response(build.stderr).text();
        await asked.promise;
        build.kill(signal);
        expect(await build.exited).toBe({ SIGTERM: 143, SIGINT: 130, SIGHUP: 129 }[signal]);
        expect(readdirSync(directory)).toEqual([]);
        expect(processesOf(directory)).toEqual([]);
        expect(await stderr).toContain("step: download and install Debian trixie\n");
      } finally {
        mirror.stop(true);
        rmSync(directory, { recursive: true });
        rmSync(helpers, { recursive: true });
      }
    },
    60_000,
  );
}

test.skipIf(!hasBuilder)(
  "a build whose mirror is not there fails and leaves no file",
  () => {
    const { directory, helpers, argv } = scene();
    const run = Bun.spawnSync(argv("http://127.0.0.1:9/debian"), { timeout: 60_000 });
    expect(run.exitCode).not.toBe(0);
    expect(readdirSync(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
    rmSync(helpers, { recursive: true });
  },
  60_000,
);

test("a build without the first-stage init says how to make it", () => {
  const { directory, helpers, argv } = scene();
  rmSync(join(helpers, "banger-init"));
  const run = Bun.spawnSync(argv("http://127.0.0.1:9/debian"));
  expect(run.exitCode).toBe(1);
  expect(run.stderr.toString()).toBe(`error: ${helpers}/banger-init is missing: run guest/init/build.sh ${helpers}\n`);
  rmSync(directory, { recursive: true });
  rmSync(helpers, { recursive: true });
});
