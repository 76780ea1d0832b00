// A modelled VM: its shim, its VMM and its guest, which live on when the daemon dies and behave as they were told to.
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { ShimCause, ShimEnd, ShimEvent, ShimIdentity, ShimSignal, ShimStatus } from "../../src/host/shim.ts";
import { createFakeGuest, type FakeGuest } from "./fake-host-guest.ts";

/** How a VM of the model behaves; what is not said is done as a well-behaved Debian would. */
export type Behaviour = {
  launch: "runs" | "exits-early" | "hangs";
  boot: "ready" | "never-ready" | "panics" | "powers-off";
  /** Asked by the helper. */
  agent: "obeys" | "refuses" | "ignores";
  /** Asked by the power button. */
  button: "obeys" | "ignores";
  term: "ends" | "ignores";
  /** A command over the guest channel. */
  exec: (argv: readonly string[], input: string) => { exitCode: number; output: string };
};

export const wellBehaved: Behaviour = {
  ...{ launch: "runs", boot: "ready", agent: "obeys", button: "obeys", term: "ends" },
  exec: () => ({ exitCode: 0, output: "" }),
};

/** The items of a rendered shim plan that the model needs. */
export type FakePlan = {
  id: string;
  control: string;
  console: string;
  status: string;
  vmmLog: string;
  restartsOnReboot: boolean;
  endsOnHalt: boolean;
  argv: readonly string[];
};

export const parseFakePlan = (bytes: Uint8Array): FakePlan => {
  const items = new TextDecoder()
    .decode(bytes)
    .split("\0")
    .filter((item) => item !== "")
    .map((item) => [item.slice(0, item.indexOf("=")), item.slice(item.indexOf("=") + 1)] as const);
  const one = (key: string) => items.find(([name]) => name === key)?.[1] ?? "";
  return {
    id: one("id"),
    control: one("control"),
    console: one("console"),
    status: one("status"),
    vmmLog: one("vmm_log"),
    restartsOnReboot: one("restart_on_reboot") === "1",
    endsOnHalt: one("end_on_halt") === "1",
    argv: items.filter(([name]) => name === "arg").map(([, value]) => value),
  };
};

/** Hears events; null is the last one when the shim died without a word. */
export type Watcher = (event: ShimEvent | null) => void;

export type FakeMachine = {
  readonly plan: FakePlan;
  readonly behaviour: Behaviour;
  /** The VMM runs. */
  readonly isRunning: boolean;
  /** Its vCPUs were started. */
  readonly isBooted: boolean;
  /** The shim runs: from launch until the end of its VMM has been written down. */
  readonly isKept: boolean;
  readonly identity: ShimIdentity;
  readonly starts: number;
  boot(): "booted" | "already booted";
  signal(name: ShimSignal): void;
  preventRestart(): void;
  pressButton(): void;
  /** What a guest does of its own will. */
  powerOff(): void;
  reboot(): void;
  panic(): void;
  halt(): void;
  freeze(): void;
  /** SIGKILL to the shim: its VMM dies with it (PR_SET_PDEATHSIG) and nothing is written down. */
  killShim(): void;
  watch(watcher: Watcher): () => void;
  /** The daemon at the other end of the channel is gone. */
  hangUp(): void;
};

type Ids = { nextPid(): number; nextTicks(): number; bootId: string };

const valueAfter = (argv: readonly string[], flag: string) => argv[argv.indexOf(flag) + 1];

export const createFakeMachine = (options: { plan: FakePlan; behaviour: Behaviour; ids: Ids }): FakeMachine => {
  const { plan, behaviour, ids } = options;
  const channelPath = plan.argv.includes("--channel") ? valueAfter(plan.argv, "--channel") : undefined;
  const shim = { pid: ids.nextPid(), startTicks: ids.nextTicks() };
  const watchers = new Set<Watcher>();
  const startedAtMs = Date.now();
  let vmm = { pid: ids.nextPid(), startTicks: ids.nextTicks() };
  let starts = 1;
  let mayRestart = plan.restartsOnReboot;
  let isRunning = true;
  let isKept = true;
  let isBooted = false;
  let guest: FakeGuest | null = null;

  const tell = (event: ShimEvent | null) => {
    for (const watcher of [...watchers]) watcher(event);
  };
  const say = (line: string) => {
    mkdirSync(dirname(plan.console), { recursive: true });
    appendFileSync(plan.console, `${line}\n`);
  };
  const writeStatus = (end: ShimEnd | null) => {
    const status: ShimStatus = {
      version: 1,
      id: plan.id,
      shimPid: shim.pid,
      shimStartTicks: shim.startTicks,
      ...vmm,
      bootId: ids.bootId,
      starts,
      state: end ? "ended" : "running",
      cause: end?.cause ?? null,
      code: end?.code ?? null,
      signal: end?.signal ?? null,
      startedAtMs,
      endedAtMs: end ? Date.now() : null,
    };
    mkdirSync(dirname(plan.status), { recursive: true });
    writeFileSync(plan.status, JSON.stringify(status));
  };

  const openChannel = () => {
    if (channelPath === undefined) return;
    guest = createFakeGuest(channelPath, {
      askedToShutDown(how) {
        if (behaviour.agent === "ignores") return null;
        if (behaviour.agent === "refuses") return { ok: false };
        // After the answer has left.
        setTimeout(() => leave(how), 1);
        return { ok: true };
      },
      runs: behaviour.exec,
    });
  };

  const end = (cause: ShimCause, how: { code: number | null; signal: number | null }) => {
    if (!isRunning) return;
    isRunning = false;
    guest?.close();
    guest = null;
    const ended = { cause, ...how };
    tell({ type: "ended", ...ended });
    if (cause === "reboot" && mayRestart) return restart();
    isKept = false;
    writeStatus(ended);
    rmSync(plan.control, { force: true });
    tell({ type: "exit", ...ended });
    watchers.clear();
  };

  const restart = () => {
    vmm = { pid: ids.nextPid(), startTicks: ids.nextTicks() };
    starts += 1;
    isRunning = true;
    isBooted = false;
    openChannel();
    writeStatus(null);
    tell({ type: "started", ...vmm, starts });
    machine.boot();
  };

  /** The guest goes down of its own will, after saying so. */
  const leave = (why: "poweroff" | "reboot") => {
    if (!isRunning) return;
    guest?.sayEnding(why);
    say(why === "reboot" ? "reboot: Restarting system" : "reboot: Power down");
    setTimeout(() => end(why, { code: 0, signal: null }), 1);
  };

  const machine: FakeMachine = {
    plan,
    behaviour,
    get isRunning() {
      return isRunning;
    },
    get isBooted() {
      return isBooted;
    },
    get isKept() {
      return isKept;
    },
    get starts() {
      return starts;
    },
    get identity() {
      const { pid, startTicks } = vmm;
      return {
        id: plan.id,
        pid,
        startTicks,
        bootId: ids.bootId,
        shimPid: shim.pid,
        shimStartTicks: shim.startTicks,
        starts,
      };
    },
    boot() {
      if (isBooted) return "already booted";
      isBooted = true;
      say("Linux version 6.1-fake");
      if (behaviour.boot === "ready")
        guest?.becomeReady(
          `00000000-0000-4000-9000-${plan.id.padStart(12, "0").slice(0, 10)}${String(starts).padStart(2, "0")}`,
        );
      if (behaviour.boot === "panics") machine.panic();
      if (behaviour.boot === "powers-off") leave("poweroff");
      return "booted";
    },
    signal(name) {
      if (name === "KILL") end("killed", { code: null, signal: 9 });
      if (name !== "TERM") return;
      mayRestart = false;
      if (behaviour.term === "ends") end("killed", { code: null, signal: 15 });
    },
    preventRestart() {
      mayRestart = false;
    },
    pressButton() {
      if (isBooted && behaviour.button === "obeys") leave("poweroff");
    },
    powerOff: () => leave("poweroff"),
    reboot: () => leave("reboot"),
    panic() {
      say("Kernel panic - not syncing: fake");
      setTimeout(() => end("panic", { code: 0, signal: null }), 1);
    },
    halt() {
      guest?.sayEnding("halt");
      say("reboot: System halted");
      if (plan.endsOnHalt) setTimeout(() => end("halt", { code: null, signal: 9 }), 1);
    },
    freeze: () => guest?.freeze(),
    killShim() {
      isRunning = false;
      isKept = false;
      guest?.close();
      guest = null;
      tell(null);
      watchers.clear();
    },
    watch(watcher) {
      watchers.add(watcher);
      watcher({ type: "started", ...vmm, starts });
      return () => watchers.delete(watcher);
    },
    hangUp: () => guest?.hangUp(),
  };
  mkdirSync(dirname(plan.control), { recursive: true });
  writeFileSync(plan.control, "");
  openChannel();
  writeStatus(null);
  return machine;
};
