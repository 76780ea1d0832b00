// How the Firecracker driver attaches to, configures and boots Firecrackers that misbehave, and what it says about them.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../../src/spec/errors.ts";
import { errorOf, openFirecrackerBench } from "./firecracker-bench.ts";

let directory: string;
let bench: ReturnType<typeof openFirecrackerBench>;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bgr-attach-"));
  bench = openFirecrackerBench(directory);
});
afterEach(async () => {
  await bench.close();
  await rm(directory, { recursive: true, force: true });
});

const start = (...fakes: string[]) => bench.start({ fakes });

describe("attaching", () => {
  test("to a Firecracker that ends before its socket says its exit code, what that means, and its stderr", async () => {
    const error = await errorOf((await start("exit-before-socket")).attach({ withEnd: true }));
    if (!hasCode(error, "vmm.exited_early")) throw error;
    expect(error.data.exitCode).toBe(1);
    expect(error.data.stderr).toStartWith("Exit code 1 is a general error.\n");
    expect(error.data.stderr).toContain("FailedToBindSocket");
  });

  test("to one that refuses its arguments says so by name", async () => {
    const started = await bench.start({ changes: { vm: { id: "--none", name: "hello" } } });
    const error = await errorOf(started.attach({ withEnd: true }));
    expect(hasCode(error, "vmm.exited_early") && error.data.stderr).toContain("Exit code 153 is bad arguments.");
  });

  test("to one whose socket never comes ends at its deadline", async () => {
    const error = await errorOf((await start("never-bind")).attach({ timeoutMs: 300, withEnd: true }));
    expect(hasCode(error, "operation.timeout") && error.data.waitedMs).toBe(300);
  });

  test("to one that accepts and never answers ends at its deadline", async () => {
    expect(hasCode(await errorOf((await start("hang")).attach({ timeoutMs: 500 })), "operation.timeout")).toBe(true);
  });

  for (const [fake, words] of [
    ["garbage", "does not speak HTTP"],
    ["endless", "header without end"],
    ["hang-up", "hung up"],
    ["full", "Too many open connections"],
    ["no-json", "is no JSON"],
  ] as const) {
    test(`to something whose misbehaviour is ${fake} says so at once`, async () => {
      const error = await errorOf((await start(fake)).attach());
      expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain(words);
    });
  }

  test("is given up when the caller cancels, with the caller's reason", async () => {
    const controller = new AbortController();
    const reason = new RangeError("the client went away");
    const attaching = errorOf((await start("never-bind")).attach({ signal: controller.signal }));
    controller.abort(reason);
    expect(await attaching).toBe(reason);
  });

  test("leaves room for others: twenty in a row use one connection at a time", async () => {
    const { attach } = await start();
    for (let round = 0; round < 20; round += 1) {
      const control = await attach();
      expect(await control.identify()).toBe("0123456789ab");
      control.close();
      await control.closed;
    }
  });
});

describe("a boot", () => {
  for (const [step, call] of [
    [1, "PUT /machine-config"],
    [2, "PUT /boot-source"],
    [3, "PUT /vsock"],
    [4, "PUT /entropy"],
    [5, "PUT /actions"],
  ] as const) {
    test(`that is refused at call ${step} names the call and quotes the fault`, async () => {
      const control = await (await start(`refuse-${step}`)).attach();
      const error = await errorOf(control.boot(AbortSignal.timeout(5000)));
      expect(hasCode(error, "vmm.api_failed") && error.data).toEqual({
        vm: "hello",
        call,
        detail: `the fake was told to refuse call ${step}`,
      });
      expect(await control.hasBooted()).toBe(false);
      control.close();
    });
  }

  test("of a machine whose kernel is gone quotes Firecracker", async () => {
    const kernel = { kernel: "/nonexistent/vmlinux", initramfs: null, modules: null, cmdline: [] };
    const control = await (await bench.start({ changes: { kernel } })).attach();
    const error = await errorOf(control.boot(AbortSignal.timeout(5000)));
    expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain("/nonexistent/vmlinux");
    control.close();
  });

  test("under which Firecracker dies says so", async () => {
    const control = await (await start("die-3")).attach();
    const error = await errorOf(control.boot(AbortSignal.timeout(5000)));
    expect(hasCode(error, "vmm.api_failed") && error.data).toMatchObject({ call: "PUT /vsock", detail: "it hung up" });
    await control.closed;
    expect(hasCode(await errorOf(control.identify()), "vmm.api_failed")).toBe(true);
  });

  test("under which Firecracker dies says how, where its parent tells", async () => {
    const control = await (await start("die-5")).attach({ withEnd: true });
    const error = await errorOf(control.boot(AbortSignal.timeout(5000)));
    if (!hasCode(error, "vmm.exited_early")) throw error;
    expect(error.data.exitCode).toBe(148);
    expect(error.data.stderr).toContain("is a system call that its seccomp filter forbids");
    expect(error.data.stderr).toContain("intercepting signal 31");
  });

  test("that is never answered is not waited for beyond the caller's patience", async () => {
    const control = await (await start("mute-2")).attach();
    const reason = new RangeError("enough");
    const controller = new AbortController();
    const booting = errorOf(control.boot(controller.signal));
    controller.abort(reason);
    expect(await booting).toBe(reason);
    control.close();
  });

  test("of a machine that a configuration file has started is refused, and nothing is changed", async () => {
    const { attach } = await bench.start({ how: "again" });
    const control = await attach();
    expect(await control.hasBooted()).toBe(true);
    const error = await errorOf(control.boot(AbortSignal.timeout(5000)));
    expect(hasCode(error, "vmm.api_failed") && error.data.call).toBe("PUT /machine-config");
    control.close();
  });
});

describe("Ctrl-Alt-Del", () => {
  test("is refused before the boot, in Firecracker's words", async () => {
    const control = await (await start()).attach();
    const error = await errorOf(control.askToStop());
    expect(hasCode(error, "vmm.api_failed") && error.data.detail).toContain("before starting the microVM");
    control.close();
  });

  test("may be ignored by the guest, which a signal then ends", async () => {
    const { child, attach } = await start("ignore-button");
    const control = await attach();
    await control.boot(AbortSignal.timeout(5000));
    await control.askToStop();
    expect(await control.hasBooted()).toBe(true);
    child.kill("SIGTERM");
    await control.closed;
  });

  test("and SIGTERM may both be ignored: SIGKILL is what remains", async () => {
    const { child, attach } = await start("ignore-button", "ignore-term");
    const control = await attach();
    await control.boot(AbortSignal.timeout(5000));
    child.kill("SIGTERM");
    await control.askToStop();
    expect(await control.hasBooted()).toBe(true);
    child.kill("SIGKILL");
    await control.closed;
  });
});
