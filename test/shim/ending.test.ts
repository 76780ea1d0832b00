// How a shim tells the ends of a VM apart, and which of them start it again.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { proveProcess, readShimStatus, type ShimEvent, type ShimPlan } from "../../src/host/shim.ts";
import { type Bench, eventsOf, openBench, REBOOT, readUntil, STAY, until } from "./shim-bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

/** Runs a VMM to its end; its status. */
const runToEnd = async (script: string, changes: Partial<ShimPlan> = {}) => {
  // Waits for a line on its input first, so that nothing is missed before the watch.
  const { identity, plan, control } = await bench.start(`read go\n${script}`, changes);
  const watching = control.watch();
  await watching.next();
  const console = await control.attach();
  await console.write(Buffer.from("\n"));
  const events = await eventsOf(watching);
  console.close();
  const shim = { pid: identity.shimPid, startTicks: identity.shimStartTicks, bootId: identity.bootId };
  await until("the shim ends", async () => (await proveProcess(shim)) === "gone");
  const status = await readShimStatus(plan.status);
  if (!status) throw new Error("no status");
  return { status, events, plan };
};

describe("how it ended", () => {
  const cases: readonly [claim: string, script: string, expected: object][] = [
    ["a power off", "printf 'login: [ 9.1] reboot: Power down\\r\\n'", { cause: "poweroff", code: 0 }],
    [
      "a power off that the machine cannot do",
      "echo 'reboot: Power off not available: System halted instead'",
      { cause: "poweroff" },
    ],
    ["a halt", "echo 'reboot: System halted'", { cause: "halt" }],
    [
      "a panic, though its reboot is told too",
      `echo 'Kernel panic - not syncing: VFS'; ${REBOOT}`,
      { cause: "panic", code: 0 },
    ],
    ["a reboot when it may not restart", REBOOT, { cause: "reboot", code: 0 }],
    ["a word cut in two writes", "printf 'reboot: Power '; sleep 0.05; echo down", { cause: "poweroff" }],
    ["an old word that much was said after", "echo 'reboot: Power down'; seq 1 1000", { cause: "unknown", code: 0 }],
    ["a kill", "kill -KILL $$", { cause: "killed", code: null, signal: 9 }],
    ["a crash", "ulimit -c 0; kill -SEGV $$", { cause: "crashed", code: null, signal: 11 }],
    ["a killed VMM whose guest was about to reboot", `${REBOOT}; kill -KILL $$`, { cause: "killed", signal: 9 }],
    ["an exit without a word", "exit 9", { cause: "unknown", code: 9, signal: null }],
  ];
  for (const [claim, script, expected] of cases) {
    test(`${claim} is told`, async () => {
      const { status, events } = await runToEnd(script, { restartsOnReboot: false });
      expect(status).toMatchObject({ state: "ended", starts: 1, ...expected });
      const { cause, code, signal } = status;
      expect(events.slice(-2)).toEqual([
        { type: "ended", cause: cause!, code, signal },
        { type: "exit", cause: cause!, code, signal },
      ]);
      expect(status.endedAtMs).toBeGreaterThanOrEqual(status.startedAtMs);
    });
  }

  test("a guest that reboots is started again, with the other arguments, under the same shim and console", async () => {
    const again = await bench.plan("echo second boot; read go; echo 'reboot: Power down'");
    const { identity, plan, control } = await bench.start(`read go; ${REBOOT}`, { restartArgv: again.argv });
    const watching = control.watch();
    expect((await watching.next()).value).toMatchObject({ type: "started", pid: identity.pid, starts: 1 });
    const console = await control.attach();
    await console.write(Buffer.from("\n"));
    await readUntil(console, "second boot");
    expect((await watching.next()).value).toEqual({ type: "ended", cause: "reboot", code: 0, signal: null });
    const restarted = (await watching.next()).value as ShimEvent & { type: "started" };
    expect(restarted).toMatchObject({ type: "started", starts: 2 });
    const now = await control.hello();
    expect(now).toMatchObject({ shimPid: identity.shimPid, pid: restarted.pid, starts: 2 });
    expect(await proveProcess(now)).toBe("same");
    const second = await control.attach();
    await second.write(Buffer.from("\n"));
    expect((await eventsOf(watching)).at(-1)).toMatchObject({ type: "exit", cause: "poweroff" });
    expect(await readShimStatus(plan.status)).toMatchObject({ cause: "poweroff", starts: 2 });
  });

  test("a guest that only reboots is given up", async () => {
    const { status } = await runToEnd(REBOOT, { restartArgv: (await bench.plan(REBOOT)).argv, restartMax: 3 });
    expect(status).toMatchObject({ cause: "reboot_loop", starts: 4 });
  });

  test("preventRestart turns a reboot into an end", async () => {
    const { plan, control } = await bench.start(`read go; ${REBOOT}`);
    await control.preventRestart();
    const exit = control.untilExit();
    await (await control.attach()).write(Buffer.from("\n"));
    expect(await exit).toMatchObject({ cause: "reboot", code: 0 });
    expect(await readShimStatus(plan.status)).toMatchObject({ starts: 1 });
  });

  test("a VMM that ends at our TERM with 0 was killed, and its guest's reboot starts nothing", async () => {
    const { plan, control } = await bench.start(
      `trap 'echo "reboot: Restarting system"; exit 0' TERM; echo up; read x`,
    );
    await readUntil(await control.attach({ tailBytes: 100 }), "up");
    const exit = control.untilExit();
    await control.signal("TERM");
    expect(await exit).toMatchObject({ cause: "reboot", code: 0 });
    expect(await readShimStatus(plan.status)).toMatchObject({ starts: 1 });
  });

  test("a halted guest whose VMM runs on is ended, with its own cause", async () => {
    const { status } = await runToEnd(`echo 'reboot: System halted'; ${STAY}`, { endsOnHalt: true });
    expect(status).toMatchObject({ cause: "halt", signal: 15 });
  });

  test("a guest that prints the words of a halt and goes on is not ended", async () => {
    const { control, identity } = await bench.start(
      `read go; printf 'reboot: System halted\\n# '; sleep 0.6; echo still here; ${STAY}`,
      { endsOnHalt: true },
    );
    const console = await control.attach();
    await console.write(Buffer.from("\n"));
    await readUntil(console, "still here");
    expect(await proveProcess(identity)).toBe("same");
  });

  test("SIGTERM to the shim ends a VMM that ignores it, by SIGKILL after 5 s", async () => {
    const { control, identity, plan } = await bench.start(`trap '' TERM; echo up; while :; do sleep 1; done`);
    await readUntil(await control.attach({ tailBytes: 100 }), "up");
    const exit = control.untilExit();
    const began = performance.now();
    process.kill(identity.shimPid, "SIGTERM");
    expect(await exit).toEqual({ cause: "killed", code: null, signal: 9 });
    expect(performance.now() - began).toBeGreaterThan(4500);
    expect(await readShimStatus(plan.status)).toMatchObject({ state: "ended", cause: "killed" });
  }, 15_000);
});
