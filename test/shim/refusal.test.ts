// What a shim refuses to keep, and that a failed launch leaves nothing.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { describeEarlyExit, launchShim, proveProcess, readShimStatus, type ShimPlan } from "../../src/host/shim.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { type Bench, openBench, STAY, until } from "./shim-bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

describe("a VMM that cannot be kept", () => {
  const refusal = async (plan: ShimPlan) => launchShim(bench.launchOptions(plan)).catch((error) => error);

  test("a VMM that dies before it is of use fails fast with its exit code and stderr, before hello or after it", async () => {
    const plan = await bench.plan("echo 'no such machine type' >&2; exit 7");
    const outcome = await launchShim(bench.launchOptions(plan)).catch((error) => error);
    await until("ended", async () => (await readShimStatus(plan.status))?.state === "ended");
    // Executed it was, so hello may have been answered: the driver's wait for its socket then asks this.
    const later = await describeEarlyExit({
      ...bench.launchOptions(plan),
      shimPid: (await readShimStatus(plan.status))!.shimPid,
    });
    const error = hasCode(outcome, "vmm.exited_early") ? outcome : later;
    for (const { data } of [error, later]) {
      expect(data).toEqual({ vm: "hello", command: plan.argv, exitCode: 7, stderr: "no such machine type" });
    }
  });

  test("a VMM that cannot be executed is told apart, and nothing is left", async () => {
    const plan = await bench.plan(STAY, { argv: ["/nonexistent/vmm", "-x"] });
    const error = await refusal(plan);
    expect(hasCode(error, "vmm.exited_early") && error.data).toEqual({
      vm: "hello",
      command: ["/nonexistent/vmm", "-x"],
      exitCode: 127,
      stderr: "banger-shim: cannot start /nonexistent/vmm: No such file or directory",
    });
    expect(await Bun.file(plan.control).exists()).toBe(false);
  });

  test("a plan with an unknown key ends the shim with 2 and one line", async () => {
    const plan = await bench.plan(STAY);
    await writeFile(bench.path("plan"), "version=1\0colour=blue\0");
    const error = await refusal(plan);
    expect(hasCode(error, "vmm.exited_early") && error.data).toMatchObject({
      exitCode: 2,
      stderr: "banger-shim: unknown key: colour=blue",
    });
  });

  test("a runtime directory that others may enter is refused", async () => {
    const error = await refusal(await bench.plan(STAY, { dir: "/tmp", control: "/tmp/bgr-shim-never.sock" }));
    expect(hasCode(error, "vmm.exited_early") && error.data.stderr).toContain("not a private directory");
  });

  test("a stale socket is removed before the start, and one that answers stops it", async () => {
    const socket = bench.path("api.sock");
    // bash has no unix sockets: a killed listener leaves the file as a VMM does.
    const maker = Bun.spawn([process.execPath, "-e", `Bun.listen({unix:${JSON.stringify(socket)},socket:{data(){}}})`]);
    await until("socket made", () => statSync(socket, { throwIfNoEntry: false }) !== undefined);
    maker.kill("SIGKILL");
    await maker.exited;
    await bench.start(STAY, { staleSockets: [socket], lock: bench.path("lock-a"), control: bench.path("a.sock") });
    expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined();

    const server = createServer().listen(socket);
    await until("listening", () => server.listening);
    const error = await refusal(await bench.plan(STAY, { staleSockets: [socket] }));
    expect(hasCode(error, "vmm.exited_early") && error.data.stderr).toContain("Address in use");
    server.close();
  });

  test("an aborted launch leaves no process", async () => {
    const plan = await bench.plan(STAY);
    // The lock is held by nobody, but the control path is taken by a server that never says who it is.
    const silent = createServer().listen(bench.path("silent.sock"));
    await until("listening", () => silent.listening);
    const controller = new AbortController();
    const launching = launchShim({
      ...bench.launchOptions(plan),
      controlPath: bench.path("silent.sock"),
      signal: controller.signal,
    }).catch((error) => error);
    await until("running", async () => (await readShimStatus(plan.status))?.state === "running");
    controller.abort("enough");
    expect(await launching).toBe("enough");
    const status = await readShimStatus(plan.status);
    expect(status).toMatchObject({ state: "ended", cause: "killed" });
    expect(await proveProcess({ pid: status!.pid, startTicks: status!.startTicks, bootId: status!.bootId })).toBe(
      "gone",
    );
    silent.close();
  });
});
