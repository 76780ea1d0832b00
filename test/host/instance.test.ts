// One user has one instance, whoever asks first, in directories that nobody else can enter.
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { findLongSocketPath, planBasePaths, planPaths, planRuntimeDir, planVmPaths } from "../../src/core/paths.ts";
import { findInstance, openInstance } from "../../src/host/instance.ts";
import { readLockPid, tryLockFile } from "../../src/host/lock.ts";
import { BangerError } from "../../src/spec/errors.ts";

const uid = process.getuid?.() ?? 0;
const made: string[] = [];
const newHome = () => {
  const home = mkdtempSync(`${tmpdir()}/bgr-`);
  made.push(home);
  return home;
};
afterEach(() => {
  for (const home of made.splice(0)) rmSync(home, { recursive: true, force: true });
});

const openAt = (home: string, env: Record<string, string> = {}) =>
  openInstance({ env, home, uid, userName: "nobody-here" });

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return error instanceof BangerError ? error.code : String(error);
  }
  return "no error";
};

describe("openInstance", () => {
  test("the second call finds what the first one made, and its directories are private", () => {
    const home = newHome();
    expect(findInstance({ env: {}, home })).toBeNull();
    const paths = openAt(home);
    expect(paths.instance).toMatch(/^[a-z0-9]{5}$/);
    expect(openAt(home)).toEqual(paths);
    expect(findInstance({ env: {}, home })).toEqual(paths);
    for (const path of [paths.stateDir, paths.runtimeDir]) expect(lstatSync(path).mode & 0o777).toBe(0o700);
    expect(readdirSync(paths.stateDir).sort()).toEqual(["instance.json", "run"]);
  });

  test("twenty processes at once agree on one instance", async () => {
    const home = newHome();
    const script = `import { openInstance } from ${JSON.stringify(`${import.meta.dir}/../../src/host/instance.ts`)};
      console.log(openInstance({ env: {}, home: ${JSON.stringify(home)}, uid: ${uid}, userName: "x" }).instance);`;
    const children = Array.from({ length: 20 }, () => Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" }));
    const ids = await Promise.all(children.map((child) => new Response(child.stdout).text()));
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[a-z0-9]{5}\n$/);
    expect(readdirSync(`${home}/.local/state/banger`).sort()).toEqual(["instance.json", "run"]);
  });

  test("sockets go below XDG_RUNTIME_DIR when that is private and stays, and stay there when the variable is missing later", () => {
    const home = newHome();
    const runtime = `${home}/runtime`;
    mkdirSync(runtime, { mode: 0o700 });
    const paths = openAt(home, { XDG_RUNTIME_DIR: runtime });
    expect(paths.runtimeDir).toBe(`${runtime}/banger/${paths.instance}`);
    expect(openAt(home)).toEqual(paths);
    chmodSync(runtime, 0o755);
    const other = newHome();
    expect(openAt(other, { XDG_RUNTIME_DIR: runtime }).runtimeDir).toBe(`${other}/.local/state/banger/run`);
  });

  test("a state directory that is a link, a file or another user's is refused; one that is open is closed", () => {
    const linked = newHome();
    mkdirSync(`${linked}/.local/state`, { recursive: true });
    mkdirSync(`${linked}/real`);
    symlinkSync(`${linked}/real`, `${linked}/.local/state/banger`);
    expect(codeOf(() => openAt(linked))).toBe("instance.unusable");
    const filed = newHome();
    mkdirSync(`${filed}/.local/state`, { recursive: true });
    writeFileSync(`${filed}/.local/state/banger`, "");
    expect(codeOf(() => openAt(filed))).toBe("instance.unusable");
    const others = newHome();
    openAt(others);
    const stranger = () => openInstance({ env: {}, home: others, uid: uid + 1, userName: "x" });
    expect(codeOf(stranger)).toBe("instance.unusable");
    const opened = newHome();
    mkdirSync(`${opened}/.local/state/banger`, { recursive: true, mode: 0o755 });
    expect(lstatSync(openAt(opened).stateDir).mode & 0o777).toBe(0o700);
  });

  test("a damaged instance file is named, never replaced", () => {
    for (const content of [
      "",
      "{",
      "{}",
      '{"version":2,"id":"abcde","runtimeDir":"/x"}',
      '{"version":1,"id":"../..","runtimeDir":"/x"}',
    ]) {
      const home = newHome();
      openAt(home);
      const path = `${home}/.local/state/banger/instance.json`;
      writeFileSync(path, content);
      expect([content, codeOf(() => openAt(home))]).toEqual([content, "instance.unusable"]);
    }
  });

  test("a home so deep that a socket would not fit is refused before anything but the state directory is made", () => {
    const home = `${newHome()}/${"d".repeat(80)}`;
    mkdirSync(home);
    expect(codeOf(() => openAt(home))).toBe("instance.path_too_long");
    expect(readdirSync(`${home}/.local/state/banger`)).toEqual([]);
  });

  test("reading it costs less than two milliseconds and loads no schema library", async () => {
    const home = newHome();
    openAt(home);
    const script = `const before = Object.keys(require.cache).length;
      const { findInstance } = await import(${JSON.stringify(`${import.meta.dir}/../../src/host/instance.ts`)});
      const startedMs = performance.now();
      findInstance({ env: {}, home: ${JSON.stringify(home)} });
      console.log(JSON.stringify([performance.now() - startedMs, Object.keys(require.cache).filter((path) => path.includes("zod")).length]));`;
    const times: number[] = [];
    for (let time = 0; time < 5; time += 1) {
      const child = Bun.spawnSync([process.execPath, "-e", script]);
      const [ms, zods] = JSON.parse(child.stdout.toString()) as [number, number];
      expect(zods).toBe(0);
      times.push(ms);
    }
    expect(Math.min(...times)).toBeLessThan(2);
  });
});

describe("paths", () => {
  test("the XDG variables count when they are absolute, and only then", () => {
    const base = planBasePaths({
      env: { XDG_DATA_HOME: "/d/", XDG_STATE_HOME: "relative", XDG_CONFIG_HOME: "/c" },
      home: "/home/ada",
    });
    expect(base).toEqual({
      dataDir: "/d/banger",
      stateDir: "/home/ada/.local/state/banger",
      configDir: "/c/banger",
      configFile: "/c/banger/config.toml",
      instanceFile: "/home/ada/.local/state/banger/instance.json",
    });
  });

  test("a runtime directory that vanishes at logout is not used unless its user lingers", () => {
    const ask = { env: { XDG_RUNTIME_DIR: "/run/user/1000" }, stateDir: "/s", instance: "abcde", isUsable: true };
    expect(planRuntimeDir({ ...ask, isLingering: false })).toBe("/s/run");
    expect(planRuntimeDir({ ...ask, isLingering: true })).toBe("/run/user/1000/banger/abcde");
    expect(planRuntimeDir({ ...ask, isLingering: true, isUsable: false })).toBe("/s/run");
    expect(planRuntimeDir({ ...ask, env: {}, isLingering: true })).toBe("/s/run");
  });

  test("what is let through fits into a socket's address, in bytes and not in characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 90 }), (text) => {
        const base = planBasePaths({ env: {}, home: `/${text}` });
        const paths = planPaths({ base, instance: "abcde", runtimeDir: `/${text}` });
        const vm = planVmPaths(paths, "0123456789ab");
        if (findLongSocketPath(paths) === null) {
          for (const path of [paths.socket, vm.shimControl, `${vm.runtimeDir}/sixteen-bytes-xx`]) {
            expect(Buffer.byteLength(path)).toBeLessThanOrEqual(107);
          }
        }
      }),
    );
  });
});

describe("locks", () => {
  test("a lock is held once, tells its holder, and is free when that one ends by whatever means", async () => {
    const path = `${newHome()}/lock`;
    const script = `import { tryLockFile } from ${JSON.stringify(`${import.meta.dir}/../../src/host/lock.ts`)};
      console.log(tryLockFile(${JSON.stringify(path)}) !== null); setInterval(() => {}, 1000);`;
    const holder = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    const said = await holder.stdout.getReader().read();
    expect(new TextDecoder().decode(said.value)).toBe("true\n");
    expect(tryLockFile(path)).toBeNull();
    expect(readLockPid(path)).toBe(holder.pid);
    holder.kill("SIGKILL");
    await holder.exited;
    const lock = tryLockFile(path);
    expect(readLockPid(path)).toBe(process.pid);
    expect(tryLockFile(path)).toBeNull();
    lock?.release();
    tryLockFile(path)?.release();
    expect(readLockPid(`${path}.none`)).toBeNull();
  });
});
