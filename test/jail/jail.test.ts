// A jail on this host: what its VMM may touch, whose its sockets are, how it is ended, and that nothing of it is left.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listJails } from "../../src/host/jail.ts";
import { connectShim, identifyProcess, launchShim, proveProcess, type ShimPlan } from "../../src/host/shim.ts";
import { renderShimPlan } from "../../src/host/shim-plan.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { jailUid } from "../../src/spec/names.ts";
import { builtShim, until } from "../shim/shim-bench.ts";
import {
  buildPrograms,
  findRealFirecracker,
  INSTANCE,
  type JailBench,
  obstacle,
  openJailBench,
  type Programs,
  VM,
} from "./jail-bench.ts";

const CALLER = 12_345;
const UID = jailUid(VM);
const lack = obstacle();
const real = findRealFirecracker();

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

const readPid = async (bench: JailBench): Promise<number> => {
  await until("the pid is told", () => existsSync(bench.path("vmm.pid")));
  const [pid, ticks] = readFileSync(bench.path("vmm.pid"), "utf8").trim().split(" ").map(Number);
  expect((await identifyProcess(pid ?? 0))?.startTicks).toBe(ticks);
  return pid ?? 0;
};

const untilSocket = (bench: JailBench, name = "jail/api.sock") =>
  until("the VMM's socket is the caller's", () => existsSync(bench.path(name)) && bench.rights(name).mode === 0o600);

for (const subject of real === null ? [null] : [null, real]) {
  const title = subject === null ? "a VMM that stands in for Firecracker" : "Firecracker with its own jailer";
  const suite = lack === null ? describe : describe.skip;
  suite(`${title}, in a jail${lack === null ? "" : ` (${lack})`}`, () => {
    let programs: Programs;
    let bench: JailBench;
    beforeAll(() => {
      programs = buildPrograms(subject);
    });
    afterAll(() => programs.close());
    afterEach(() => bench.close());

    for (const caller of [CALLER, 0]) {
      const whose = caller === 0 ? "root's" : "a user's";
      test(`runs as a user of its own with ${whose} files, and its sockets are the caller's alone`, async () => {
        bench = openJailBench(programs, caller);
        await bench.prepare();
        expect(listJails(INSTANCE)).toEqual([VM]);
        expect(bench.rights("root.img")).toEqual({ uid: caller, gid: UID, mode: 0o660 });
        const child = bench.spawn();
        const pid = await readPid(bench);
        await untilSocket(bench);
        expect(bench.rights("jail/api.sock").uid).toBe(caller);
        expect(readFileSync(`/proc/${pid}/status`, "utf8")).toContain(`Uid:\t${UID}\t${UID}\t${UID}\t${UID}\n`);
        expect(existsSync(`/proc/${pid}/root/etc`)).toBe(false);
        // Neither its root nor what is bound there is seen from here.
        expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain("banger-jail");
        // A socket that the caller makes for it is opened to it.
        const announced = Bun.listen({ unix: bench.path("jail/vsock_42071"), socket: { data() {} } });
        if (caller !== 0) Bun.spawnSync(["chown", `${caller}`, bench.path("jail/vsock_42071")]);
        await until("it may call the caller", () => bench.rights("jail/vsock_42071").mode === 0o660);
        expect(bench.rights("jail/vsock_42071")).toMatchObject({ uid: caller, gid: UID });
        announced.stop(true);
        child.stdin.end();
        await child.exited;
        expect(child.signalCode).toBe("SIGKILL");
        expect(existsSync(`/proc/${pid}`)).toBe(false);
        await bench.remove();
        expect(listJails(INSTANCE)).toEqual([]);
        expect(bench.rights("root.img")).toMatchObject({ uid: caller, mode: 0o600 });
        expect(bench.rights("root.img").gid).not.toBe(UID);
      });
    }

    test("is ended with its jail by an operation of root's when nobody leads it any more", async () => {
      bench = openJailBench(programs, CALLER);
      await bench.prepare();
      const child = bench.spawn();
      const pid = await readPid(bench);
      await untilSocket(bench);
      child.kill("SIGKILL");
      await child.exited;
      expect(existsSync(`/proc/${pid}`)).toBe(true);
      await bench.remove();
      expect(existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/status`, "utf8")).not.toContain("State:\tS");
      expect(listJails(INSTANCE)).toEqual([]);
      // Again is the same again.
      await bench.remove();
    });

    test("under a shim: the real pid is proved, KILL ends it, and a shim that dies takes it along", async () => {
      bench = openJailBench(programs, 0);
      await bench.prepare();
      const plan: ShimPlan = {
        ...{ id: VM, dir: bench.dir, control: bench.path("shim"), lock: bench.path("lock"), env: {} },
        ...{ console: bench.path("console"), consolePrevious: null, consoleMaxBytes: 65_536 },
        ...{ vmmLog: bench.path("vmm.log"), vmmLogMaxBytes: 65_536, status: bench.path("status") },
        ...{ restartsOnReboot: true, restartMax: 5, endsOnHalt: true, staleSockets: [bench.path("jail/api.sock")] },
        ...{ vmmPid: bench.path("vmm.pid"), argv: [programs.jail, INSTANCE, VM], restartArgv: null },
      };
      writeFileSync(bench.path("plan"), renderShimPlan(plan));
      const launch = () =>
        launchShim({
          ...{ vm: "jailed", shimPath: builtShim(), planPath: bench.path("plan"), controlPath: plan.control },
          ...{ statusPath: plan.status, vmmLogPath: plan.vmmLog, command: plan.argv },
        });
      const first = await launch();
      // The pid is the jailer's first, which becomes the VMM.
      await until("it is what it was to become", () =>
        readFileSync(`/proc/${first.pid}/status`, "utf8").includes(`Uid:\t${UID}\t`),
      );
      expect(await proveProcess(first)).toBe("same");
      const shim = connectShim({ path: plan.control, vm: "jailed" });
      const exit = shim.untilExit();
      await until("watched", async () => (await shim.hello()).starts === 1);
      await shim.signal("KILL");
      expect((await exit).cause).toBe("killed");
      expect(await proveProcess(first)).toBe("gone");
      shim.close();

      const second = await launch();
      expect(second.pid).not.toBe(first.pid);
      process.kill(second.shimPid, "SIGKILL");
      await until("it has followed its shim", async () => (await proveProcess(second)) === "gone");
    });

    test("is not made of programs that others than root can change, nor of files that are not the caller's", async () => {
      bench = openJailBench(programs, CALLER);
      const loose = bench.path("firecracker");
      writeFileSync(loose, "", { mode: 0o755 });
      const refused = async (work: Promise<unknown>) => {
        const error = await errorOf(work);
        return hasCode(error, "root.refused") ? error.data.detail : null;
      };
      expect(await refused(bench.prepare({ program: loose }))).toContain("/tmp");
      expect(await refused(bench.prepare({ jailer: join(programs.dir, "none") }))).toContain("is missing");
      const [, disk] = bench.op.files;
      if (!disk) throw new Error("the bench has no disk");
      const with_ = (path: string) => bench.prepare({ files: [{ ...disk, path }] });
      expect(await refused(with_("/etc/passwd"))).toContain("no file of uid 12345");
      symlinkSync(bench.path("root.img"), bench.path("link"));
      expect(await refused(with_(bench.path("link")))).toContain("ELOOP");
      expect(await refused(bench.prepare({ sockets: "/run" }))).toContain("no file of uid 12345");
    });

    test("is refused to another user, to one that was not prepared, and to arguments that are none", async () => {
      bench = openJailBench(programs, CALLER);
      const said = async (child: ReturnType<JailBench["spawn"]>) => {
        child.stdin.end();
        const text = await new Response(child.stderr).text();
        expect(await child.exited).toBe(1);
        return text;
      };
      expect(await said(bench.spawn())).toContain("was not prepared");
      await bench.prepare();
      expect(await said(bench.spawn([], { SUDO_UID: "12346" }))).toContain("another user's");
      expect(await said(bench.spawn(["more"]))).toContain("usage:");
      expect(await said(bench.spawn(["again", "more"]))).toContain("usage:");
    });

    if (subject !== null) return;

    test("reaches its own files by their rights, and nothing else; its log and its console come out; a reboot is a new run", async () => {
      bench = openJailBench(programs, CALLER);
      // What the mode would allow, the jail does not.
      chmodSync(bench.path("kernel"), 0o666);
      await bench.prepare();
      const runOnce = async (args: readonly string[], config: string) => {
        const child = bench.spawn(args);
        await readPid(bench);
        child.stdin.write("reboot\n");
        await child.stdin.flush();
        const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
        expect(await child.exited).toBe(0);
        expect(out.split("\n").map((line) => line.trim())).toEqual([
          `uid ${UID} gid ${UID} config ${config}`,
          "/f/root opened",
          "/f/document opened",
          "/f/document Permission denied",
          "/f/kernel opened",
          "/f/kernel Read-only file system",
          "/etc/passwd No such file or directory",
          "up",
          "reboot: Restarting system",
          "",
        ]);
        expect(err).toBe("a line of its log\n");
      };
      await runOnce([], "none");
      // As the shim does before each start.
      for (const name of ["jail/api.sock", "vmm.pid"]) rmSync(bench.path(name));
      await runOnce(["again"], "given");
    });

    test("a VMM that aborts is told by its signal, through everything that stands between", async () => {
      bench = openJailBench(programs, CALLER);
      await bench.prepare();
      const child = bench.spawn();
      await readPid(bench);
      child.stdin.write("abort\n");
      await child.stdin.flush();
      await child.exited;
      expect(child.signalCode).toBe("SIGABRT");
    });
  });
}
