// The executable itself: one file with three names, deaf to the directory it is run in, and replacing an older daemon of its own.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const dir = mkdtempSync(join(tmpdir(), "bgr-build-"));
const out = join(dir, "build");
const env = { PATH: process.env.PATH ?? "", HOME: dir, XDG_RUNTIME_DIR: dir, BANGER_DNS_PORT: "0", USER: "tester" };

const run = (argv: string[], options: { cwd?: string; argv0?: string; env?: Record<string, string> } = {}) => {
  const done = Bun.spawnSync(argv, { cwd: dir, env, stdout: "pipe", stderr: "pipe", ...options });
  return { exitCode: done.exitCode, out: String(done.stdout), err: String(done.stderr) };
};
const banger = (...argv: string[]) => run([join(out, "banger"), ...argv]);
const build = () => run([process.execPath, join(root, "scripts/build.ts"), "--out", out], { cwd: root });

let buildMs = 0;
beforeAll(() => {
  const startedMs = performance.now();
  expect(build()).toMatchObject({ exitCode: 0, err: "" });
  buildMs = performance.now() - startedMs;
}, 60_000);

afterAll(() => {
  banger("daemon", "stop", "--force");
  rmSync(dir, { recursive: true, force: true });
});

describe("the executable", () => {
  test("has its version and build, and both other names lead to it", () => {
    expect(banger("--version").out).toMatch(/^banger \d+\.\d+\.\d+ \(\d{4}-\d\d-\d\dT[\d:.]+Z-[0-9a-z-]+\)\n$/);
    for (const name of ["bangerd", "banger-root"]) expect(readlinkSync(join(out, name))).toBe("banger");
    expect(buildMs).toBeLessThan(20_000);
  });

  test("as banger-root it is the helper, which takes no arguments", () => {
    const shown = run([join(out, "banger-root"), "anything"]);
    expect(shown.exitCode).toBe(1);
    expect(shown.out).toContain("root.refused");
    expect(run([join(out, "banger"), "anything"], { argv0: "banger-root" }).out).toContain("root.refused");
  });

  test("tells a fault in the same words as the source does, though its names are shorter", () => {
    const faults = [
      ["create", "a", "b"],
      ["create", "--vcpu", "two"],
      ["create", "--cores"],
      ["create", "-x"],
      ["show"],
      ["create", "--vmm", "x"],
      ["lsit"],
    ];
    for (const argv of faults) {
      expect(banger(...argv)).toEqual(run([process.execPath, join(root, "src/main.ts"), ...argv]));
      expect(banger(...argv).exitCode).toBe(2);
    }
  });

  test("reads no .env and runs no preload of the directory it is run in", () => {
    const trap = mkdtempSync(join(dir, "trap-"));
    writeFileSync(join(trap, ".env"), "NO_COLOR=1\nXDG_CONFIG_HOME=/trapped\n");
    writeFileSync(join(trap, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    writeFileSync(join(trap, "preload.ts"), 'console.log("trapped");\n');
    const shown = run([join(out, "banger"), "config", "path"], { cwd: trap });
    expect(shown).toEqual({ exitCode: 0, out: `${dir}/.config/banger/config.toml\n`, err: "" });
  });

  test("a newer build replaces the running daemon and says so, and the next command finds it", () => {
    const first = JSON.parse(banger("daemon", "restart", "--json").out) as { pid: number; build: string };
    expect(build().exitCode).toBe(0);
    const shown = banger("list", "--json");
    expect(shown).toMatchObject({ exitCode: 0, out: "[]\n" });
    expect(shown.err).toMatch(/^banger: replaced bangerd .*; VMs were not touched\n$/);
    const second = JSON.parse(banger("daemon", "status", "--json").out) as { pid: number; build: string };
    expect(second.pid).not.toBe(first.pid);
    expect(second.build > first.build).toBe(true);
    expect(banger("list", "--json").err).toBe("");
  }, 60_000);

  test("a build of another path, or a checkout, leaves the running daemon alone", () => {
    const before = banger("daemon", "status", "--json").out;
    const { pid } = JSON.parse(before) as { pid: number };
    expect(run([process.execPath, join(root, "src/main.ts"), "list", "--json"])).toEqual({
      exitCode: 0,
      out: "[]\n",
      err: "",
    });
    expect(JSON.parse(banger("daemon", "status", "--json").out).pid).toBe(pid);
  });

  test("the daemon is started under its own name, in a session of its own", () => {
    const { pid } = JSON.parse(banger("daemon", "status", "--json").out) as { pid: number };
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toStartWith("bangerd\0");
    // proc(5): the session is the fourth field after the name in parentheses.
    const session = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[3];
    expect(session).toBe(String(pid));
  });
});
