// The processes of a modelled machine: shims, the VMMs they keep, and how a daemon reaches both.
import { readFileSync } from "node:fs";
import { runCommand } from "../../src/host/command.ts";
import type { ProcessPort } from "../../src/host/host.ts";
import type { ShimControl, ShimEvent, ShimLaunch } from "../../src/host/shim.ts";
import { readShimStatus } from "../../src/host/shim-status.ts";
import { fail } from "../../src/spec/errors.ts";
import type { ProcessProof } from "../../src/spec/vm.ts";
import type { VmmControl } from "../../src/vmm/driver.ts";
import type { Faults, Life } from "./fake-host-faults.ts";
import {
  type Behaviour,
  createFakeMachine,
  type FakeMachine,
  parseFakePlan,
  wellBehaved,
} from "./fake-host-machine.ts";

// Above every real pid (PID_MAX_LIMIT is 2^22), so that no mistake can signal a real process.
const FIRST_PID = 5_000_000;

export type FakeFleet = {
  /** All that were ever launched, oldest first. */
  readonly machines: FakeMachine[];
  /** /proc/sys/kernel/random/boot_id of the machine; changed by `reboot`. */
  readonly bootId: string;
  running(): FakeMachine[];
  behave(behaviour: Partial<Behaviour>, vmId?: string): void;
  createProcesses(life: Life): ProcessPort;
  attach(life: Life, where: { controlSocket: string; vm: string }): VmmControl;
  reboot(): void;
};

/** `hasLink` tells whether a tap exists: without it a VMM cannot start. */
export const createFakeFleet = (faults: Faults, hasLink: (name: string) => boolean): FakeFleet => {
  const machines: FakeMachine[] = [];
  const behaviours = new Map<string, Partial<Behaviour>>();
  let behaviour: Behaviour = wellBehaved;
  let bootCount = 0;
  let bootId = "";
  let pids = FIRST_PID;
  let ticks = 1000;

  const newBoot = () => {
    bootCount += 1;
    bootId = `00000000-0000-4000-8000-${String(bootCount).padStart(12, "0")}`;
  };

  const processes = (): ProcessProof[] =>
    machines.flatMap(({ isRunning, isKept, identity }) => [
      ...(isRunning ? [{ pid: identity.pid, startTicks: identity.startTicks, bootId }] : []),
      ...(isKept ? [{ pid: identity.shimPid, startTicks: identity.shimStartTicks, bootId }] : []),
    ]);

  const running = () => machines.filter(({ isRunning }) => isRunning);

  const launch = async (request: ShimLaunch) => {
    const plan = parseFakePlan(readFileSync(request.planPath));
    const how = { ...behaviour, ...behaviours.get(plan.id) };
    const early = (stderr: string) =>
      fail("vmm.exited_early", { vm: request.vm, command: request.command, exitCode: 1, stderr });
    if (how.launch === "exits-early") throw early("made to exit");
    if (how.launch === "hangs") throw fail("vmm.shim_timeout", { vm: request.vm, waitedMs: request.timeoutMs ?? 5000 });
    if (machines.some((machine) => machine.isKept && machine.plan.id === plan.id)) throw early("another shim holds it");
    const tap = plan.argv.flatMap((word) => /bgr-[a-z0-9]{5}-\d{1,3}/.exec(word)?.[0] ?? [])[0];
    if (tap && !hasLink(tap)) throw early(`could not configure ${tap}: no such device`);
    const ids = { nextPid: () => pids++, nextTicks: () => ticks++, bootId };
    const machine = createFakeMachine({ plan, behaviour: how, ids });
    machines.push(machine);
    return machine.identity;
  };

  /** Never settles: what a dead daemon waits for does not come. */
  const never = () => new Promise<never>(() => {});

  const connectShim = (life: Life, { path, vm }: { path: string; vm: string }): ShimControl => {
    const find = () => {
      faults.requireAlive(life);
      const machine = machines.findLast(({ plan, isKept }) => plan.control === path && isKept);
      if (!machine) throw fail("vmm.shim_lost", { vm });
      return machine;
    };
    const stopped = new AbortController();
    async function* watch(limits: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<ShimEvent, void> {
      const machine = find();
      const queue: (ShimEvent | null)[] = [];
      let wake = () => {};
      const stop = machine.watch((event) => {
        queue.push(event);
        wake();
      });
      const signal = limits.signal ? AbortSignal.any([limits.signal, stopped.signal]) : stopped.signal;
      const onAbort = () => wake();
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        for (;;) {
          if (life.isCrashed) await never();
          if (limits.signal?.aborted) throw limits.signal.reason;
          if (stopped.signal.aborted) throw fail("vmm.shim_lost", { vm });
          const event = queue.shift();
          if (event === null) throw fail("vmm.shim_lost", { vm });
          if (event === undefined) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
            continue;
          }
          yield event;
          if (event.type === "exit") return;
        }
      } finally {
        stop();
        signal.removeEventListener("abort", onAbort);
      }
    }
    return {
      hello: async () => find().identity,
      signal: (name) => faults.perform(life, "shim.signal", () => find().signal(name)),
      preventRestart: () => faults.perform(life, "shim.preventRestart", () => find().preventRestart()),
      watch,
      async untilExit(limits) {
        for await (const event of watch(limits)) {
          if (event.type === "exit") return { cause: event.cause, code: event.code, signal: event.signal };
        }
        throw fail("vmm.shim_lost", { vm });
      },
      async attach({ tailBytes = 0 } = {}) {
        const machine = find();
        const tail = tailBytes > 0 ? readFileSync(machine.plan.console).subarray(-tailBytes) : Buffer.alloc(0);
        async function* output() {
          if (tail.length > 0) yield tail;
          await new Promise<void>((resolve) => {
            if (!machine.isKept) return resolve();
            machine.watch((event) => (event === null || event.type === "exit") && resolve());
            stopped.signal.addEventListener("abort", () => resolve(), { once: true });
          });
        }
        return { output: output(), write: async () => {}, close: () => stopped.abort() };
      },
      close: () => stopped.abort(),
    };
  };

  const createProcesses = (life: Life): ProcessPort => ({
    async identify(pid) {
      faults.requireAlive(life);
      return processes().find((proof) => proof.pid === pid) ?? null;
    },
    async prove(proof) {
      faults.requireAlive(life);
      if (proof.bootId !== bootId) return "gone";
      const found = processes().find(({ pid }) => pid === proof.pid);
      if (!found) return "gone";
      return found.startTicks === proof.startTicks ? "same" : "other";
    },
    runCommand: (request) => faults.perform(life, "processes.runCommand", () => runCommand(request)),
    launchShim: (request) => faults.perform(life, "processes.launchShim", () => launch(request)),
    connectShim: (where) => connectShim(life, where),
    async readShimStatus(path) {
      faults.requireAlive(life);
      return readShimStatus(path);
    },
  });

  const attach: FakeFleet["attach"] = (life, { controlSocket, vm }) => {
    const find = (call: string) => {
      faults.requireAlive(life);
      const found = running().findLast(({ plan }) => plan.argv.includes(controlSocket));
      if (!found) throw fail("vmm.api_failed", { vm, call, detail: "connection refused" });
      return found;
    };
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    find("connect").watch((event) => {
      if (event === null || event.type !== "started") close();
    });
    return {
      boot: () =>
        faults.perform(life, "vmm.boot", () => {
          if (find("boot").boot() === "already booted") {
            throw fail("vmm.api_failed", { vm, call: "boot", detail: "it runs already" });
          }
        }),
      askToStop: () => faults.perform(life, "vmm.askToStop", () => find("askToStop").pressButton()),
      identify: async () => find("identify").plan.id,
      hasBooted: async () => find("hasBooted").isBooted,
      closed,
      close,
    };
  };

  newBoot();
  return {
    machines,
    get bootId() {
      return bootId;
    },
    running,
    behave(partial, vmId) {
      if (vmId === undefined) behaviour = { ...behaviour, ...partial };
      else behaviours.set(vmId, { ...behaviours.get(vmId), ...partial });
    },
    createProcesses,
    attach,
    reboot() {
      for (const machine of machines) machine.killShim();
      newBoot();
    },
  };
};
