// How the QEMU driver attaches to VMMs that misbehave, and what it says about them.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../../src/spec/errors.ts";
import { fakeVmmDriver } from "../fakes/fake-vmm-driver.ts";

let runtimeDir: string;
let running: Bun.Subprocess[];
beforeEach(async () => {
  runtimeDir = await mkdtemp(join(tmpdir(), "bgr-vmm-"));
  running = [];
});
afterEach(async () => {
  for (const child of running) child.kill("SIGKILL");
  await Promise.all(running.map((child) => child.exited));
  await rm(runtimeDir, { recursive: true, force: true });
});

const start = (...fakes: string[]) => {
  const plan = fakeVmmDriver.launch({
    vm: { id: "0123456789ab", name: "hello" },
    binary: { path: "/fake", version: "7.2.0", firmwareDir: null },
    accelerator: "tcg",
    tscKhz: null,
    kernel: { kernel: "/k", initramfs: null, modules: null, cmdline: fakes.map((fake) => `fake=${fake}`) },
    disks: [],
    network: null,
    vcpus: 1,
    memoryMiB: 128,
    runtimeDir,
  });
  const child = Bun.spawn([...plan.argv], { stdio: ["pipe", "pipe", "pipe"] });
  running.push(child);
  const ended = (async () => {
    const stderr = await new Response(child.stderr).text();
    return { exitCode: await child.exited, stderr };
  })();
  const attach = (options: { timeoutMs?: number; signal?: AbortSignal; withEnd?: boolean } = {}) =>
    fakeVmmDriver.attach(plan, {
      vm: "hello",
      timeoutMs: options.timeoutMs ?? 5000,
      signal: options.signal ?? AbortSignal.timeout(20_000),
      ...(options.withEnd ? { ended } : {}),
    });
  return { child, ended, attach };
};

const errorOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return null;
};

describe("attaching", () => {
  test("to a VMM that ends before its socket says its exit code and stderr, not that time ran out", async () => {
    const error = await errorOf(start("exit-before-socket").attach({ withEnd: true }));
    if (!hasCode(error, "vmm.exited_early")) throw error;
    expect(error.data).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("Device or resource busy") });
  });

  test("to a VMM whose socket never comes ends at its deadline", async () => {
    const error = await errorOf(start("never-bind").attach({ timeoutMs: 300, withEnd: true }));
    expect(hasCode(error, "operation.timeout") && error.data.waitedMs).toBe(300);
  });

  test("to a VMM that accepts and never greets ends at its deadline", async () => {
    expect(hasCode(await errorOf(start("hang").attach({ timeoutMs: 500 })), "operation.timeout")).toBe(true);
  });

  test("to something that sends noise says so at once", async () => {
    const error = await errorOf(start("garbage").attach());
    expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain("does not speak QMP");
  });

  test("to something that sends a line without end gives up instead of holding it", async () => {
    const error = await errorOf(start("endless-line").attach());
    expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain("lines without end");
  });

  test("to a VMM that hangs up says that it did", async () => {
    const error = await errorOf(start("hang-up").attach());
    expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain("hung up");
  });

  test("is given up when the caller cancels, with the caller's reason", async () => {
    const controller = new AbortController();
    const reason = new RangeError("the client went away");
    const attaching = errorOf(start("never-bind").attach({ signal: controller.signal }));
    controller.abort(reason);
    expect(await attaching).toBe(reason);
  });

  test("that was cancelled before it began touches nothing", async () => {
    const reason = new RangeError("too late");
    expect(await errorOf(start().attach({ signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

describe("an attached VMM", () => {
  test("that refuses to boot is quoted", async () => {
    const control = await start("error-cont").attach();
    const error = await errorOf(control.boot(AbortSignal.timeout(2000)));
    expect(hasCode(error, "vmm.api_failed") && error.data).toEqual({
      vm: "hello",
      call: "cont",
      detail: "the fake was told to refuse",
    });
    control.close();
  });

  test("that never answers a command is not waited for beyond the caller's patience", async () => {
    const control = await start("mute-cont").attach();
    const reason = new RangeError("enough");
    const controller = new AbortController();
    const booting = errorOf(control.boot(controller.signal));
    controller.abort(reason);
    expect(await booting).toBe(reason);
    // The connection is still good: a late answer belongs to nobody.
    expect(await control.identify()).toBe("0123456789ab");
    control.close();
  });

  test("that ends settles `closed` and fails what is asked of it afterwards", async () => {
    const { child, attach } = start();
    const control = await attach();
    child.kill("SIGKILL");
    await control.closed;
    expect(hasCode(await errorOf(control.identify()), "vmm.api_failed")).toBe(true);
  });

  test("may be left and attached to again", async () => {
    const { attach } = start();
    const first = await attach();
    first.close();
    await first.closed;
    const second = await attach();
    expect(await second.hasBooted()).toBe(false);
    second.close();
  });
});
