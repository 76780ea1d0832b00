// Measures the terminal UI on a terminal of its own, against a small daemon: first frame, key to frame, processor time.
// usage: bun bench/tui.ts [EXECUTABLE]
import { join } from "node:path";
import type { Vm } from "../src/spec/vm.ts";
import { fleet } from "../test/tui/fleet.ts";
import { type FleetDaemon, startFleetDaemon } from "../test/tui/fleet-daemon.ts";
import { cpuMsDuring, keepPresent, measureRest, residentKiBOf } from "./process-cost.ts";

const executable = process.argv[2] ?? join(import.meta.dir, "../build/banger");
const IDLE_MS = Number(process.env.BENCH_IDLE_MS ?? 10_000);
/** What is drawn often is compiled first. */
const WARM_MS = 5000;
const KEYS = 300;
const STARTS = 15;
const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

const manyVms = (count: number, running: number): Vm[] =>
  Array.from({ length: count }, (_, index) => ({
    ...(fleet[index < running ? 0 : 3] as Vm),
    id: (index + 1).toString(16).padStart(12, "0"),
    name: `vm-${String(index).padStart(3, "0")}`,
  }));

type Running = {
  pid: number;
  type: (text: string) => void;
  /** Resolves with the next bytes on the screen. */
  next: () => Promise<void>;
  shows: (text: string) => Promise<void>;
  bytes: () => number;
  end: () => Promise<void>;
};

const open = (daemon: FleetDaemon, size: { columns: number; rows: number }): Running => {
  const decoder = new TextDecoder();
  const waiting = new Set<() => void>();
  let screen = "";
  let bytes = 0;
  const child = Bun.spawn([executable, "tui"], {
    env: { ...daemon.env, LANG: "C.UTF-8" },
    terminal: {
      cols: size.columns,
      rows: size.rows,
      data: (_: unknown, chunk: Uint8Array) => {
        bytes += chunk.length;
        screen = (screen + decoder.decode(chunk, { stream: true })).slice(-200_000);
        for (const check of [...waiting]) check();
      },
    },
  } as never) as ReturnType<typeof Bun.spawn> & { terminal: { write: (text: string) => void } };
  const when = (claim: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = () => {
        if (!claim()) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  return {
    pid: child.pid,
    type: (text) => child.terminal.write(text),
    next: () => {
      const before = bytes;
      return when(() => bytes > before);
    },
    shows: (text) => when(() => screen.includes(text)),
    bytes: () => bytes,
    end: async () => {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
};

/** Processor time of the UI over `ms`, in percent of one CPU: as it is, and with its memory kept present. */
const cpuPercent = async (running: Running, ms: number): Promise<string> => {
  const measure = async (): Promise<number> => {
    const startedMs = performance.now();
    return ((await cpuMsDuring(running.pid, ms)) / (performance.now() - startedMs)) * 100;
  };
  const asItIs = await measure();
  const presence = await keepPresent([running.pid]);
  const present = await measure().finally(presence.close);
  return `${asItIs.toFixed(1)} % of a CPU, ${present.toFixed(1)} % with its memory kept present`;
};

const withFleet = async (vms: readonly Vm[], work: (daemon: FleetDaemon) => Promise<void>): Promise<void> => {
  const daemon = startFleetDaemon(vms);
  daemon.handlers["system.hello"] = ({ version, build }) => ({
    version,
    build,
    executable,
    protocol: { min: 1, max: 1 },
    pid: process.pid,
    instance: "abcde",
    isBusy: false,
  });
  try {
    await work(daemon);
  } finally {
    await daemon.close();
  }
};

const say = (text: string): void => console.log(text);
const size = { columns: 140, rows: 40 };

await withFleet(manyVms(30, 0), async (daemon) => {
  const frames: number[] = [];
  const tables: number[] = [];
  for (let index = 0; index < STARTS; index++) {
    const startedMs = performance.now();
    const running = open(daemon, size);
    await running.shows("VMs");
    frames.push(performance.now() - startedMs);
    await running.shows("vm-029");
    tables.push(performance.now() - startedMs);
    await running.end();
  }
  say(
    `first frame: median ${percentile(frames, 0.5).toFixed(0)} ms, slowest of ${STARTS} ${Math.max(...frames).toFixed(0)} ms`,
  );
  say(`first table of 30 VMs: median ${percentile(tables, 0.5).toFixed(0)} ms`);

  const running = open(daemon, size);
  await running.shows("vm-029");
  await Bun.sleep(WARM_MS);
  const idle = await cpuPercent(running, IDLE_MS);
  say(`idle, 30 VMs: ${idle}; ${(residentKiBOf(running.pid) / 1024).toFixed(0)} MiB resident`);
  let number = 0;
  const timer = setInterval(() => {
    number++;
    const id = ((number % 30) + 1).toString(16).padStart(12, "0");
    daemon.change(id, { state: daemon.vms.get(id)?.state === "stopped" ? "paused" : "stopped" });
  }, 1000);
  say(`one update a second, 30 VMs: ${await cpuPercent(running, IDLE_MS)}`);
  clearInterval(timer);
  await running.end();
});

await withFleet(manyVms(30, 30), async (daemon) => {
  const running = open(daemon, size);
  await running.shows("vm-029");
  await Bun.sleep(WARM_MS);
  say(`30 running VMs, each sampled every 3 s: ${await cpuPercent(running, IDLE_MS)}`);
  await running.end();
});

await withFleet(manyVms(500, 0), async (daemon) => {
  const running = open(daemon, size);
  await running.shows("vm-020");
  await Bun.sleep(1000);
  const waits: number[] = [];
  for (let index = 0; index < KEYS; index++) {
    const startedMs = performance.now();
    const drawn = running.next();
    running.type(index % 100 < 60 ? "j" : "k");
    await drawn;
    waits.push(performance.now() - startedMs);
    await Bun.sleep(20);
  }
  const [median, slow] = [percentile(waits, 0.5), percentile(waits, 0.99)].map((ms) => ms.toFixed(1));
  say(`key to frame, 500 VMs: median ${median} ms, p99 ${slow} ms`);
  await running.end();
});

say(
  `a page of memory that has rested for a second costs ${(await measureRest()).toFixed(1)} µs on this machine, above one that has not`,
);
