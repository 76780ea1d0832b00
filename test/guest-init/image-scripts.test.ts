// The shell tooling for images: clean under shellcheck, and gone without a trace when it fails or is interrupted.
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
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
  // None boots here: the build ends before it would.
  for (const name of ["banger-init", "banger-vsock-pingd"])
    writeFileSync(join(helpers, name), "#!/bin/sh\n", { mode: 0o755 });
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

for (const [name, source] of [
  ["banger-init", "init"],
  ["banger-vsock-pingd", "pingd"],
] as const)
  test(`a build without ${name} is refused, and is told how to make it`, () => {
    const { directory, helpers, argv } = scene();
    rmSync(join(helpers, name));
    const run = Bun.spawnSync(argv("http://127.0.0.1:9/debian"));
    expect(run.exitCode).toBe(1);
    expect(run.stderr.toString()).toBe(
      `error: ${helpers}/${name} is missing: run guest/${source}/build.sh ${helpers}\n`,
    );
    expect(readdirSync(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
    rmSync(helpers, { recursive: true });
  });

test("what cannot be put into a root is refused before anything is downloaded", () => {
  const { directory, helpers, argv } = scene();
  const file = join(directory, "a file");
  writeFileSync(file, "x");
  const refused: [string[], string][] = [
    [["--package", "git; reboot"], "that is no Debian package name"],
    [["--file", file], "--file wants SRC:DST with an absolute DST"],
    [["--file", `${file}:etc/motd`], "--file wants SRC:DST with an absolute DST"],
    [["--file", `${file}:/etc/../../outside`], "--file wants a DST without . and .."],
    [["--file", `${file}.not:/etc/motd`], "is missing"],
    [["--file", `${file}:/etc/motd`, "--script", `${file}.sh`], "is missing"],
  ];
  for (const [more, message] of refused) {
    const run = Bun.spawnSync([...argv("http://127.0.0.1:9/debian"), ...more]);
    expect({ more, code: run.exitCode, said: run.stderr.toString() }).toEqual({
      ...{ more, code: 1 },
      said: expect.stringContaining(message),
    });
  }
  expect(readdirSync(directory)).toEqual(["a file"]);
  rmSync(directory, { recursive: true });
  rmSync(helpers, { recursive: true });
});

for (const name of ["customize.sh", "interactive.sh"])
  test(`${name} --help has an example on its output, and a wrong option shows it as an error`, () => {
    const script = join(repository, "images", name);
    const help = Bun.spawnSync([script, "--help"]);
    expect([help.exitCode, help.stderr.toString()]).toEqual([0, ""]);
    expect(help.stdout.toString()).toMatch(/^example: [\s\S]*banger image register /m);
    const wrong = Bun.spawnSync([script, "--no-such-option"]);
    expect([wrong.exitCode, wrong.stdout.toString()]).toEqual([2, ""]);
    expect(wrong.stderr.toString()).toBe(help.stdout.toString());
  });

const hasQemu = Bun.which("qemu-system-x86_64") !== null && Bun.which("ssh") !== null;
test.skipIf(!hasQemu)(
  "a shell is not opened in a root without the guest helper, nor without a kernel (skipped without QEMU)",
  () => {
    const { directory, helpers } = scene();
    const bare = join(directory, "bare.ext4");
    Bun.spawnSync(["/sbin/mkfs.ext4", "-q", "-F", bare, "8M"]);
    const kernel = join(directory, "kernel");
    mkdirSync(kernel);
    const script = join(repository, "images/interactive.sh");
    const argv = [script, "--from", bare, "--kernel", kernel, "--output", join(directory, "out.ext4")];
    const without = Bun.spawnSync(argv);
    expect([without.exitCode, without.stderr.toString()]).toEqual([
      1,
      `error: ${kernel} holds no kernel: make one with ${repository}/images/debian-kernel.sh\n`,
    ]);
    writeFileSync(join(kernel, "vmlinux"), "no kernel");
    const refused = Bun.spawnSync(argv);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr.toString()).toMatch(
      /^error: \S+bare\.ext4 does not carry the guest helper: build it with \S+customize\.sh/,
    );
    expect(readdirSync(directory).sort()).toEqual(["bare.ext4", "kernel"]);
    rmSync(directory, { recursive: true });
    rmSync(helpers, { recursive: true });
  },
);
