// Starts fake Firecrackers for tests, and ends them.
import { writeFile } from "node:fs/promises";
import type { LaunchSpec, VmmControl } from "../../src/vmm/driver.ts";
import { connectFirecracker, type FirecrackerApi } from "../../src/vmm/firecracker/api/client.ts";
import { FAKE_KERNEL, fakeFirecrackerDriver } from "../fakes/fake-firecracker-driver.ts";

export const specOf = (runtimeDir: string, changes: Partial<LaunchSpec> = {}): LaunchSpec => ({
  vm: { id: "0123456789ab", name: "hello" },
  binary: { path: "/opt/firecracker", version: "1.17.0", firmwareDir: null, isStatic: true },
  accelerator: "kvm",
  tscKhz: null,
  kernel: { kernel: FAKE_KERNEL, initramfs: null, modules: null, cmdline: [] },
  disks: [],
  network: null,
  vcpus: 1,
  memoryMiB: 128,
  runtimeDir,
  ...changes,
});

export type Started = {
  child: Bun.Subprocess<"pipe", "pipe", Bun.BunFile>;
  attach(options?: { timeoutMs?: number; signal?: AbortSignal; withEnd?: boolean }): Promise<VmmControl>;
  /** The bare API, once its socket is there. */
  api(): Promise<FirecrackerApi>;
};

export const openFirecrackerBench = (runtimeDir: string) => {
  const running: { child: Bun.Subprocess; ended: Promise<unknown> }[] = [];

  /** `how`: as a first start, or as the shim starts it after a reboot. */
  const start = async (options: {
    fakes?: readonly string[];
    changes?: Partial<LaunchSpec>;
    how?: "first" | "again";
  }): Promise<Started> => {
    const { fakes = [], changes = {}, how = "first" } = options;
    const spec = specOf(runtimeDir, changes);
    const cmdline = [...spec.kernel.cmdline, ...fakes.map((fake) => `fake=${fake}`)];
    const plan = fakeFirecrackerDriver.launch({ ...spec, kernel: { ...spec.kernel, cmdline } });
    for (const { path, content } of plan.files) await writeFile(path, content);
    const argv = how === "first" ? plan.argv : (plan.restartArgv ?? []);
    const log = Bun.file(`${runtimeDir}/stderr`);
    await log.write("");
    // A file, not "pipe", which is a socket here: those cannot be opened by the name of --log-path. The shim gives it a real pipe.
    const child = Bun.spawn([...argv], { stdin: "pipe", stdout: "pipe", stderr: log });
    const ended = (async () => {
      const exitCode = await child.exited;
      return { exitCode, stderr: await log.text() };
    })();
    running.push({ child, ended });
    const attach: Started["attach"] = (given = {}) =>
      fakeFirecrackerDriver.attach(plan, {
        vm: "hello",
        timeoutMs: given.timeoutMs ?? 5000,
        signal: given.signal ?? AbortSignal.timeout(20_000),
        ...(given.withEnd ? { ended } : {}),
      });
    const api = async () => {
      (await attach()).close();
      return await connectFirecracker(plan.controlSocket);
    };
    return { child, attach, api };
  };

  const close = async () => {
    for (const { child } of running) child.kill("SIGKILL");
    await Promise.all(running.map(({ ended }) => ended));
  };
  return { start, close };
};

export const errorOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return null;
};
