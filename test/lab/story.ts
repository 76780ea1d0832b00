// One lab for all tests of it, opened by the first, and the rule for a lab that locks up: it is reset once, and the test that met it is named.
import { test } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { type Lab, LabLockedUp, type LabRunOptions, openLab, quote } from "./lab.ts";

/** Guests on an emulated KVM: one that takes 15 s on a quiet machine was seen to take minutes on a busy one. */
export const GUEST_MS = 420_000;
export const OPEN_MS = 2_400_000;

export const BANGER = "/home/dev/banger/build/banger";
/** What a guest may do to a command that asks: not to hang it past this. */
const POLL_MS = 2000;

let lab: Lab | null = null;
let resets = 0;

const say = (line: string): void => console.log(`lab: ${line}`);

const setUp = async (opened: Lab): Promise<void> => {
  const { ms } = { ms: performance.now() };
  await opened.ok(`${BANGER} setup --yes`, { timeoutMs: 240_000 });
  await opened.ok(`${BANGER} ls`, { timeoutMs: 120_000 });
  say(`set up by sudo, and the daemon started, in ${seconds(performance.now() - ms)}`);
};

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

export const openStory = async (): Promise<Lab> => {
  lab = await openLab(say);
  say(`up after ${seconds(lab.bootMs)} (${lab.accelerator}); Firecracker: ${lab.firecracker ?? lab.firecrackerReason}`);
  await setUp(lab);
  return lab;
};

export const closeStory = async (): Promise<void> => {
  await lab?.close();
  lab = null;
};

export type LabTestOptions = {
  timeoutMs?: number | undefined;
  /** What the lab was brought into before, and has to be again after a reset. */
  prepare?: (() => Promise<void>) | undefined;
};

/** A test in the lab. Each makes what it needs, so that one can be run again in a lab that was reset under it. */
export const labTest = (name: string, body: () => Promise<void>, options: LabTestOptions = {}): void =>
  test(
    name,
    async () => {
      const started = performance.now();
      try {
        await body();
      } catch (error) {
        if (!(error instanceof LabLockedUp) || lab === null || resets > 0) throw error;
        resets += 1;
        say(`LOCKED UP in "${name}"; it is reset, once. ${error.message}`);
        await lab.reset();
        await setUp(lab);
        await options.prepare?.();
        await body();
      }
      say(`${seconds(performance.now() - started)}  ${name}`);
    },
    3 * (options.timeoutMs ?? GUEST_MS),
  );

const current = (): Lab => {
  if (lab === null) throw new Error("the lab is not open");
  return lab;
};

/** A shell line on the lab's host, which must succeed. */
export const host = (line: string, options?: LabRunOptions): Promise<string> => current().ok(line, options);

export const banger = (args: readonly string[], options: LabRunOptions = {}) =>
  current().run([BANGER, ...args].map(quote).join(" "), { timeoutMs: GUEST_MS, ...options });

export const bangerOk = async (args: readonly string[], options: LabRunOptions = {}): Promise<string> => {
  const { code, out, err } = await banger(args, options);
  if (code !== 0) throw new Error(`banger ${args.join(" ")} ended with ${code}: ${err}${out}`);
  return out.trim();
};

export const json = async <Value>(args: readonly string[]): Promise<Value> =>
  JSON.parse(await bangerOk([...args, "--json"])) as Value;

export const show = (vm: string): Promise<Vm> => json<Vm>(["vm", "show", vm]);

export const guest = (vm: string, line: string, options?: LabRunOptions): Promise<string> =>
  bangerOk(["ssh", vm, "--", line], { timeoutMs: 60_000, ...options });

export const audit = (): Promise<Output<"system.audit">> => json<Output<"system.audit">>(["audit"]);

/** Asks until there is an answer; each question has a deadline of its own. */
export const eventually = async <Value>(what: string, ask: () => Promise<Value | null | false>): Promise<Value> => {
  const deadline = performance.now() + GUEST_MS;
  let last: unknown = null;
  for (;;) {
    try {
      const value = await ask();
      if (value !== null && value !== false) return value;
    } catch (error) {
      if (error instanceof LabLockedUp) throw error;
      last = error;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${seconds(GUEST_MS)}`, { cause: last });
    await Bun.sleep(POLL_MS);
  }
};

export const untilState = (vm: string, state: Vm["state"]): Promise<Vm> =>
  eventually(`${vm} is ${state}`, async () => {
    const seen = await show(vm);
    return seen.state === state ? seen : null;
  });

/** A guest lets people in before its systemd listens to them. */
export const untilUp = (vm: string): Promise<string> =>
  eventually(`${vm} has booted`, async () => {
    const { out } = await banger(["ssh", vm, "--", "systemctl is-system-running"], { timeoutMs: 60_000 });
    return /^(running|degraded)$/m.exec(out)?.[0] ?? null;
  });

/** In the background there, so that ssh has ended before the guest does. */
export const orderShortly = async (vm: string, line: string): Promise<void> => {
  await untilUp(vm);
  await guest(vm, `sudo setsid sh -c '(sleep 1; ${line}) </dev/null >/dev/null 2>&1 &'`);
};

export const bootIdOf = (vm: string): Promise<string> => guest(vm, "cat /proc/sys/kernel/random/boot_id");

/** Runs, by its own VMM, whatever the test before left: made, started, or as it is. */
export const ensureRunning = async (vm: string, vmm: string): Promise<Vm> => {
  const found = (await json<Vm[]>(["vm", "list"])).find(({ name }) => name === vm);
  if (found === undefined) {
    await bangerOk(["vm", "create", vm, "--vmm", vmm]);
    return show(vm);
  }
  if (found.state !== "running") await bangerOk(["vm", "start", vm]);
  return show(vm);
};
