// What every VMM driver must do, asked of a spawned VMM under a real shim; the subject says which VMM, and with which guest.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ShimEvent } from "../../src/host/shim.ts";
import { proveProcess } from "../../src/host/shim.ts";
import { hasCode } from "../../src/spec/errors.ts";
import type { LaunchPlan } from "../../src/spec/plan.ts";
import type { EarlyEnd, KernelFiles, LaunchSpec, VmmControl, VmmDriver } from "../../src/vmm/driver.ts";
import { type Bench, builtShim, openBench, readUntil, textOf, until } from "../shim/shim-bench.ts";

/** A VMM to be asked. Its guest prints "banger-test: up" and obeys the words poweroff, reboot, halt and panic on its console. */
export type VmmSubject = {
  driver: VmmDriver;
  binary: LaunchSpec["binary"];
  accelerator: LaunchSpec["accelerator"];
  tscKhz: number | null;
  kernel: KernelFiles;
  /** Changes to the launch with which the VMM ends before it has a socket, and what its stderr then has in it. */
  failing: { changes: Partial<LaunchSpec>; stderr: string };
  /** What the guest does when its power button is pressed, or Ctrl-Alt-Del. */
  button: "poweroff" | "reboot" | "ignored";
  bootTimeoutMs: number;
  /** How many times longer everything may take: where KVM itself is emulated. */
  patience: number;
};

const ID = "0123456789ab";
const VM = "hello";
const UP = "banger-test: up";
const FAIL_FAST_MS = 2500;
const BOOT_MS = 2000;
const TEST_MS = 5000;
const UNTIL_MS = 10_000;

type Vm = Awaited<ReturnType<typeof launch>>;

const specOf = (subject: VmmSubject, runtimeDir: string, changes: Partial<LaunchSpec> = {}): LaunchSpec => ({
  vm: { id: ID, name: VM },
  binary: subject.binary,
  accelerator: subject.accelerator,
  tscKhz: subject.tscKhz,
  kernel: subject.kernel,
  disks: [],
  network: null,
  vcpus: 1,
  memoryMiB: 256,
  runtimeDir,
  ...changes,
});

const writeFiles = async ({ files }: LaunchPlan): Promise<void> => {
  for (const { path, content } of files) await writeFile(path, content, { mode: 0o600 });
};

const shimChanges = (plan: LaunchPlan) => ({
  id: ID,
  argv: plan.argv,
  restartArgv: plan.restartArgv,
  staleSockets: plan.staleSockets,
  endsOnHalt: plan.endOnHalt,
});

/** Launches the VMM under a shim, paused, and watches it. */
const launch = async (subject: VmmSubject, bench: Bench, changes: Partial<LaunchSpec> = {}) => {
  const plan = subject.driver.launch(specOf(subject, bench.dir, changes));
  await writeFiles(plan);
  const { control: shim, identity, plan: shimPlan } = await bench.start("", shimChanges(plan));
  const events: ShimEvent[] = [];
  const watching = (async () => {
    for await (const event of shim.watch()) events.push(event);
  })();
  // At the end of a test the shim is killed, and whoever still waits is told so.
  watching.catch(() => {});
  const ended = (async (): Promise<EarlyEnd> => {
    // As the daemon does it: a shim may have ended before anybody could ask, and the log tells all the same.
    const exitCode = await shim.untilExit().then(
      ({ code }) => code,
      () => null,
    );
    return { exitCode, stderr: await textOf(shimPlan.vmmLog) };
  })();
  ended.catch(() => {});
  const attach = (timeoutMs = 5000 * subject.patience): Promise<VmmControl> =>
    subject.driver.attach(plan, { vm: VM, timeoutMs, signal: AbortSignal.timeout(60_000 * subject.patience), ended });
  const type = async (word: string) => {
    const console = await shim.attach();
    await console.write(Buffer.from(`${word}\n`));
    console.close();
  };
  const untilUp = async () => {
    const console = await shim.attach({ tailBytes: 65_536 });
    await readUntil(console, UP);
    console.close();
  };
  const endCause = async () => {
    await watching;
    const { shimPid, shimStartTicks, bootId } = identity;
    const shimProof = { pid: shimPid, startTicks: shimStartTicks, bootId };
    const hasGone = async () => (await proveProcess(shimProof)) === "gone";
    await until("the shim has ended too", hasGone, UNTIL_MS * subject.patience);
    const last = events.at(-1);
    return last?.type === "exit" ? last.cause : null;
  };
  return { plan, shim, identity, shimPlan, events, attach, type, untilUp, endCause };
};

const bootedVm = async (subject: VmmSubject, bench: Bench): Promise<Vm> => {
  const vm = await launch(subject, bench);
  const control = await vm.attach();
  await control.boot(AbortSignal.timeout(BOOT_MS * subject.patience));
  control.close();
  await vm.untilUp();
  return vm;
};

const errorOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return null;
};

/** Registers the suite under `name`. */
export const testVmmConformance = (name: string, subject: VmmSubject): void => {
  const { patience } = subject;
  const limit = subject.bootTimeoutMs * patience;
  const ordinary = TEST_MS * patience;
  describe(`${name} keeps the driver contract`, () => {
    let bench: Bench;
    beforeEach(async () => {
      bench = await openBench();
    });
    afterEach(() => bench.close());

    test(
      "it waits for boot, boots once, refuses a second boot, and tells its VM's id to whoever attaches later",
      async () => {
        const vm = await launch(subject, bench);
        const control = await vm.attach();
        expect(await control.identify()).toBe(ID);
        expect(await control.hasBooted()).toBe(false);
        await control.boot(AbortSignal.timeout(BOOT_MS * patience));
        expect(await control.hasBooted()).toBe(true);
        expect(hasCode(await errorOf(control.boot(AbortSignal.timeout(BOOT_MS * patience))), "vmm.api_failed")).toBe(
          true,
        );
        control.close();
        await control.closed;
        await vm.untilUp();
        const later = await vm.attach();
        expect(await later.identify()).toBe(ID);
        expect(await later.hasBooted()).toBe(true);
        later.close();
      },
      limit,
    );

    test(
      "a VMM that dies before its socket fails fast with its stderr",
      async () => {
        const start = performance.now();
        const error = await errorOf(
          launch(subject, bench, subject.failing.changes).then((vm) => vm.attach(20_000 * patience)),
        );
        expect(hasCode(error, "vmm.exited_early") && error.data.stderr).toContain(subject.failing.stderr);
        expect(performance.now() - start).toBeLessThan(FAIL_FAST_MS * patience);
      },
      ordinary,
    );

    test(
      "a VMM that is deaf to TERM is ended by KILL",
      async () => {
        const vm = await launch(subject, bench);
        (await vm.attach()).close();
        await vm.shim.signal("STOP");
        await vm.shim.signal("TERM");
        expect(await proveProcess(vm.identity)).toBe("same");
        await vm.shim.signal("KILL");
        expect(await vm.endCause()).toBe("killed");
        expect(await proveProcess(vm.identity)).toBe("gone");
      },
      ordinary,
    );

    test(
      "TERM alone ends a VMM that listens",
      async () => {
        const vm = await launch(subject, bench);
        const control = await vm.attach();
        await vm.shim.signal("TERM");
        await control.closed;
        await vm.endCause();
        expect(await proveProcess(vm.identity)).toBe("gone");
      },
      ordinary,
    );

    test(
      "it survives the process that launched it",
      async () => {
        const plan = subject.driver.launch(specOf(subject, bench.dir));
        await writeFiles(plan);
        const shimPlan = await bench.plan("", shimChanges(plan));
        const launcher = Bun.spawn(
          [process.execPath, join(import.meta.dir, "launch-and-die.ts"), JSON.stringify(bench.launchOptions(shimPlan))],
          { stdio: ["ignore", "pipe", "inherit"] },
        );
        const identity = JSON.parse(await new Response(launcher.stdout).text());
        bench.adopt(identity);
        await launcher.exited;
        expect(launcher.signalCode).toBe("SIGKILL");
        const control = await subject.driver.attach(plan, {
          vm: VM,
          timeoutMs: 5000 * patience,
          signal: AbortSignal.timeout(10_000 * patience),
        });
        expect(await control.identify()).toBe(ID);
        expect(await proveProcess(identity)).toBe("same");
        control.close();
      },
      ordinary,
    );

    test(
      "a guest's poweroff stops it",
      async () => {
        const vm = await bootedVm(subject, bench);
        await vm.type("poweroff");
        expect(await vm.endCause()).toBe("poweroff");
      },
      limit,
    );

    test(
      "a guest's reboot starts it again with the same identity, and nobody has to boot it",
      async () => {
        const vm = await bootedVm(subject, bench);
        await vm.type("reboot");
        const isStarted = () => vm.events.some((event) => event.type === "started" && event.starts === 2);
        await until("the VMM is started again", isStarted, UNTIL_MS * patience);
        const isUp = async () => (await textOf(vm.shimPlan.console)).split(UP).length > 2;
        await until("the guest is up again", isUp, UNTIL_MS * patience);
        const control = await vm.attach();
        expect(await control.identify()).toBe(ID);
        expect(await control.hasBooted()).toBe(true);
        control.close();
      },
      limit * 2,
    );

    test(
      "a guest's panic is told from poweroff and reboot",
      async () => {
        const vm = await bootedVm(subject, bench);
        await vm.type("panic");
        expect(await vm.endCause()).toBe("panic");
      },
      limit,
    );

    test(
      "a guest's halt ends it",
      async () => {
        const vm = await bootedVm(subject, bench);
        await vm.type("halt");
        expect(await vm.endCause()).toBe("halt");
      },
      limit,
    );

    test(
      subject.button === "ignored"
        ? "the power button may be pressed, and a guest may ignore it"
        : `the power button ends the guest by ${subject.button}`,
      async () => {
        const vm = await bootedVm(subject, bench);
        // As a stop does, so that a guest which answers with a reboot is not started again.
        await vm.shim.preventRestart();
        const control = await vm.attach();
        await control.askToStop();
        if (subject.button === "ignored") expect(await control.hasBooted()).toBe(true);
        else expect(await vm.endCause()).toBe(subject.button);
        control.close();
      },
      limit,
    );
  });
};

/** The shim is compiled before the first test, whose time it would otherwise take. */
export const prepareConformance = (): void => {
  builtShim();
};
