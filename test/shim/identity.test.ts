// Who a shim and its VMM are, and that neither outlives what it must not.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { connectShim, launchShim, proveProcess, readShimStatus } from "../../src/host/shim.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { type Bench, eventsOf, openBench, readUntil, STAY, until } from "./shim-bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

describe("identity", () => {
  test("hello proves the VMM: id, pid, start time and boot id are those of /proc, and the status file agrees", async () => {
    const { identity, plan, control } = await bench.start(STAY);
    expect(await proveProcess(identity)).toBe("same");
    expect(await control.hello()).toEqual(identity);
    expect(identity).toMatchObject({ id: "vm-1", starts: 1 });
    expect(await readShimStatus(plan.status)).toMatchObject({
      id: "vm-1",
      pid: identity.pid,
      startTicks: identity.startTicks,
      shimPid: identity.shimPid,
      state: "running",
      cause: null,
      endedAtMs: null,
    });
  });

  test("a proof fails for another start time, another boot and a pid that is gone", async () => {
    const { identity, control } = await bench.start(STAY);
    expect(await proveProcess({ ...identity, startTicks: identity.startTicks + 1 })).toBe("other");
    expect(await proveProcess({ ...identity, bootId: "00000000-0000-0000-0000-000000000000" })).toBe("gone");
    const exit = control.untilExit();
    await until("watched", async () => (await control.hello()).starts === 1);
    await control.signal("KILL");
    await exit;
    expect(await proveProcess(identity)).toBe("gone");
  });

  test("a second shim of one VM refuses and the first goes on", async () => {
    const { identity, plan, control } = await bench.start(STAY);
    const second = await launchShim(bench.launchOptions(plan)).catch((error) => error);
    expect(hasCode(second, "vmm.exited_early") && second.data).toMatchObject({
      exitCode: 3,
      stderr: "banger-shim: already running",
    });
    expect(await control.hello()).toEqual(identity);
  });

  test("a launcher that is killed takes neither shim nor VMM with it, and another one adopts both", async () => {
    const plan = await bench.plan(STAY);
    const program = `
      const { launchShim } = await import(${JSON.stringify(join(import.meta.dir, "../../src/host/shim.ts"))});
      console.log(JSON.stringify(await launchShim(${JSON.stringify(bench.launchOptions(plan))})));
      setInterval(() => {}, 1000);`;
    const launcher = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", detached: true });
    const reader = launcher.stdout.getReader();
    const identity = JSON.parse(new TextDecoder().decode((await reader.read()).value));
    bench.adopt(identity);
    // The whole session, as a terminal or service manager would.
    process.kill(-launcher.pid, "SIGKILL");
    await launcher.exited;
    const control = connectShim({ path: plan.control, vm: "hello" });
    expect(await control.hello()).toEqual(identity);
    expect(await proveProcess(identity)).toBe("same");
  });

  test("a VMM never outlives its shim, even when that is killed with SIGKILL", async () => {
    const { identity, control } = await bench.start(`trap '' TERM; ${STAY}`);
    const watching = eventsOf(control.watch()).catch((error) => error);
    await until("watched", async () => (await control.hello()).starts === 1);
    process.kill(identity.shimPid, "SIGKILL");
    await until("the VMM is gone", async () => (await proveProcess(identity)) === "gone");
    expect(hasCode(await watching, "vmm.shim_lost")).toBe(true);
    expect(hasCode(await control.hello().catch((error) => error), "vmm.shim_lost")).toBe(true);
  });

  test("after a killed shim the same VM can be started at once", async () => {
    const first = await bench.start(STAY);
    process.kill(first.identity.shimPid, "SIGKILL");
    await until("the VMM is gone", async () => (await proveProcess(first.identity)) === "gone");
    const again = await bench.start(STAY);
    expect(again.identity.pid).not.toBe(first.identity.pid);
  });

  test("who hears that a VM ended can start it again at once", async () => {
    for (let i = 0; i < 20; i++) {
      const { control } = await bench.start(STAY);
      const watching = control.watch();
      await watching.next();
      await control.signal("KILL");
      for await (const event of watching) if (event.type === "ended") break;
    }
  });

  test("the VMM sees a small environment, its own group, private files and no descriptors but three", async () => {
    const { plan, control, identity } = await bench.start(
      `env | cut -d= -f1 | grep -v -e '^PWD$' -e '^_$' -e '^SHLVL$' -e '^OLDPWD$' | sort | tr '\\n' ' '; umask; ls -1 /proc/$$/fd; echo done; ${STAY}`,
      { env: { EXTRA: "1" } },
    );
    const console = await control.attach({ tailBytes: 4096 });
    const shown = await readUntil(console, "done");
    console.close();
    // 10 is the shell's own, for its script.
    expect(shown).toMatch(/^EXTRA HOME LANG PATH 0077\n0\n1\n(10\n)?2\ndone/);
    const fields = (await readFile(`/proc/${identity.pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    expect(fields[2]).toBe(String(identity.pid));
    for (const path of [plan.control, plan.console, plan.vmmLog, plan.status, plan.lock]) {
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    }
  });
});
