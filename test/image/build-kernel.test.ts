// images/build-kernel.sh with a source of ten lines: what is kept and found again, what is refused, and what an interruption leaves.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../vm/processes.ts";
import { makeKernelSource } from "./small-kernel-source.ts";

const root = join(import.meta.dir, "../..");
const script = join(root, "images/build-kernel.sh");
const shipped = join(root, "images/kernel.config");

let dir: string;
let source: string;
let env: Record<string, string>;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "bgr-kernel-"));
  source = makeKernelSource(dir, "1.0-1");
  // A compiler reads this source alone; what the kernel's own Makefile would run besides need not be installed.
  mkdirSync(join(dir, "bin"));
  for (const tool of ["bc", "bison", "flex"]) writeFileSync(join(dir, "bin", tool), "#!/bin/sh\n", { mode: 0o755 });
  mkdirSync(join(dir, "include"));
  writeFileSync(join(dir, "include/libelf.h"), "");
  env = { PATH: `${process.env.PATH}:${join(dir, "bin")}`, CPATH: join(dir, "include"), TMPDIR: dir, HOME: dir };
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

let count = 0;
/** A cache and a configuration of its own. */
const scene = (lines: readonly string[]) => {
  const cache = join(dir, `cache-${++count}`);
  const config = join(dir, `config-${count}`);
  writeFileSync(config, `${lines.join("\n")}\n`);
  const argv = (...more: string[]) => [script, "--cache", cache, "--config", config, ...more];
  return { cache, config, argv };
};

const run = async (argv: string[]) => {
  const child = Bun.spawn(argv, { env, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out: out.trim(), err, code };
};

describe("a build", () => {
  test("leaves one vmlinux with what it is made of, prints where, and is not done twice", async () => {
    const { cache, argv } = scene(["CONFIG_ONE=y", "# CONFIG_TWO is not set"]);
    expect((await run(argv("--print-cached"))).code).toBe(1);
    const first = await run(argv("--source", source));
    expect(first.err).toContain("step: compile it");
    expect(first.code).toBe(0);
    expect(readdirSync(cache).filter((name) => name !== ".lock")).toEqual([first.out.slice(cache.length + 1)]);
    expect(readdirSync(first.out).sort()).toEqual(["config", "kernel.env", "vmlinux"]);
    const values = readFileSync(join(first.out, "kernel.env"), "utf8");
    for (const line of ["release=1.0-banger", "package=linux-source-1.0", "version=1.0-1"])
      expect(values).toContain(line);
    const again = await run(argv("--source", source));
    expect(again).toMatchObject({ out: first.out, code: 0 });
    expect(again.err).toContain("built already");
    expect((await run(argv("--print-cached"))).out).toBe(first.out);
  }, 60_000);

  test("of a newer source or another configuration is another kernel, and the newest is what is found", async () => {
    const { config, argv } = scene(["CONFIG_ONE=y"]);
    const old = await run(argv("--source", source));
    const newer = await run(argv("--source", makeKernelSource(dir, "1.0-10")));
    expect(newer.out).not.toBe(old.out);
    expect((await run(argv("--print-cached"))).out).toBe(newer.out);
    writeFileSync(config, "CONFIG_ONE=y\nCONFIG_MORE=y\n");
    expect((await run(argv("--print-cached"))).code).toBe(1);
  }, 60_000);

  test("twice from the same source gives the same bytes", async () => {
    const [one, other] = [scene(["CONFIG_ONE=y"]), scene(["CONFIG_ONE=y"])];
    const [a, b] = await Promise.all([run(one.argv("--source", source)), run(other.argv("--source", source))]);
    expect(readFileSync(join(a.out, "vmlinux")).equals(readFileSync(join(b.out, "vmlinux")))).toBe(true);
  }, 60_000);

  test("two at once is one", async () => {
    const { argv } = scene(["CONFIG_ONE=y"]);
    const both = await Promise.all([run(argv("--source", source)), run(argv("--source", source))]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(both.filter(({ err }) => err.includes("built already")).length).toBe(1);
  }, 60_000);

  const refused = [
    ["an option that does not take effect", ["CONFIG_ONE=y", "CONFIG_GONE=y"], "CONFIG_GONE=y"],
    ["an option that insists", ["# CONFIG_ALWAYS is not set"], "# CONFIG_ALWAYS is not set"],
    ["a source that does not compile", ["CONFIG_BREAK=y"], "no such thing"],
  ] as const;
  for (const [what, lines, word] of refused)
    test(`with ${what} fails, says which, and leaves nothing`, async () => {
      const { cache, argv } = scene(lines);
      const { code, err, out } = await run(argv("--source", source));
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain(word);
      expect(err).not.toContain("CONFIG_ONE");
      expect(readdirSync(cache)).toEqual([".lock"]);
    }, 60_000);

  test("without an entry for both VMMs is refused", async () => {
    const { argv } = scene(["CONFIG_ONE=y"]);
    const { code, err } = await run(argv("--source", makeKernelSource(dir, "1.0-3", 17)));
    expect(code).toBe(1);
    expect(err).toContain("PVH");
  }, 60_000);

  test("that is interrupted ends its compiler and leaves nothing", async () => {
    const { cache, argv } = scene(["CONFIG_HANG=y"]);
    const child = Bun.spawn(argv("--source", source), { env, stdout: "ignore", stderr: "pipe" });
    const log = () => readdirSync(cache).some((name) => existsSync(join(cache, name, "build.log")));
    await until("it compiles", async () => existsSync(cache) && log(), 30_000);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(143);
    expect(readdirSync(cache)).toEqual([".lock"]);
    const left = Bun.spawnSync(["pgrep", "-f", cache]).stdout.toString();
    expect(left).toBe("");
  }, 60_000);
});

describe("the shipped configuration", () => {
  const lines = readFileSync(shipped, "utf8").split("\n");
  const options = lines.flatMap((line) => /^(?:# )?(CONFIG_\w+)(?:=| is not set$)/.exec(line)?.[1] ?? []);

  test("decides each option once, and every line is an option, a comment or empty", () => {
    expect(options.length).toBeGreaterThan(200);
    expect(options.filter((name, index) => options.indexOf(name) !== index)).toEqual([]);
    const others = lines.filter(
      (line) => !/^(CONFIG_\w+=(y|\d+|"[^"]*")|# CONFIG_\w+ is not set|# [^C].*|# C(?!ONFIG_).*|)$/.test(line),
    );
    expect(others).toEqual([]);
  });

  test("is found whole in a .config that has it, and what is missing or unwanted there is listed", async () => {
    const whole = join(dir, "whole");
    writeFileSync(whole, `${lines.filter((line) => line.startsWith("CONFIG_")).join("\n")}\n`);
    expect(await run([script, "--check-config", whole])).toMatchObject({ code: 0, err: "" });
    const text = readFileSync(whole, "utf8").replace("CONFIG_WIREGUARD=y\n", "CONFIG_WIREGUARD=m\n");
    writeFileSync(whole, `${text}CONFIG_MODULES=y\n`);
    const { code, err } = await run([script, "--check-config", whole]);
    expect(code).toBe(1);
    expect(err.trim().split("\n").slice(1).sort()).toEqual(["# CONFIG_MODULES is not set", "CONFIG_WIREGUARD=y"]);
  });
});

test("--help says how to call it, and an option that it does not know is refused with the same", async () => {
  const help = await run([script, "--help"]);
  expect(help).toMatchObject({ code: 0, err: "" });
  expect(help.out).toStartWith("usage: build-kernel.sh");
  expect(await run([script, "--frob"])).toMatchObject({ code: 2, out: "", err: `${help.out}\n` });
});
