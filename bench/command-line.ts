// How long commands take beside those of other tools, timed in turns; with no VM and with a thousand records.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Output } from "../src/spec/rpc/contract.ts";
import { openStore } from "../src/store/store.ts";
import { BANGER, type Instance } from "../test/vm/fixture.ts";
import { type Metric, median, metric } from "./figures.ts";

const ROUNDS = 40;
const RECORDS = 1000;

type Timed = { name: string; argv: string[]; env: Record<string, string | undefined> };
/** On a busy machine the time of the wall says more about the others; that of the processor is the command's own. */
type Times = { wallMs: number[]; cpuMs: number[] };

/** Runs every command once a round, so that what else the machine does hits all of them alike. */
const timeInTurns = (commands: readonly Timed[], rounds: number): Record<string, Times> => {
  const times: Record<string, Times> = {};
  for (let round = -2; round < rounds; round++) {
    for (const { name, argv, env } of commands) {
      const startedMs = performance.now();
      const done = Bun.spawnSync(argv, { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
      const tookMs = performance.now() - startedMs;
      if (!done.success) throw new Error(`${argv.join(" ")} failed`);
      // The first rounds warm caches.
      if (round < 0) continue;
      times[name] ??= { wallMs: [], cpuMs: [] };
      times[name].wallMs.push(tookMs);
      times[name].cpuMs.push(Number(done.resourceUsage.cpuTime.total) / 1000);
    }
  }
  return times;
};

const others = (notes: string[]): Timed[] =>
  [
    { name: "virsh list", argv: ["virsh", "list", "--all"] },
    { name: "docker ps", argv: ["docker", "ps", "--all"] },
  ].flatMap(({ name, argv }) => {
    const works =
      Bun.which(argv[0] as string) !== null && Bun.spawnSync(argv, { stdout: "ignore", stderr: "ignore" }).success;
    if (!works) notes.push(`${name} is not timed: it is not installed, or its daemon does not run`);
    return works ? [{ name, argv, env: process.env }] : [];
  });

/** Copies of one record that never had a disk: what listing them costs is reading, checking and printing. */
const addRecords = async (banger: Instance): Promise<void> => {
  await banger.ok(["create", "record", "--no-start"]);
  await banger.ok(["daemon", "stop"]);
  const store = openStore({ path: join(banger.dir, "state/banger/banger.db") });
  const [record] = store.vms.all();
  if (!record) throw new Error("there is no record to copy");
  store.transaction(() => {
    for (let index = 0; index < RECORDS - 1; index++) {
      const id = randomBytes(6).toString("hex");
      store.vms.insert({
        ...record,
        id,
        spec: { ...record.spec, name: `record-${index}`, hostname: `record-${index}` },
      });
    }
  });
  store.close();
};

export const benchCommandLine = async (
  banger: Instance,
  notes: string[],
): Promise<{ metrics: Metric[]; raw: unknown }> => {
  const { env } = banger;
  await banger.ok(["ls"]);
  const list: Timed = { name: "banger vm list", argv: [BANGER, "vm", "list"], env };
  const rivals = others(notes);
  const version: Timed = { name: "banger --version", argv: [BANGER, "--version"], env };
  const nothing: Timed = { name: "true", argv: ["/bin/true"], env };
  const empty = timeInTurns([version, list, nothing, ...rivals], ROUNDS);
  await addRecords(banger);
  await banger.ok(["ls"]);
  const { vms } = await banger.json<Output<"system.status">>(["daemon", "status"]);
  if (vms.total !== RECORDS) throw new Error(`${vms.total} records instead of ${RECORDS}`);
  const full = timeInTurns([list], ROUNDS);
  const wall = (name: string, of = empty) => median(of[name]?.wallMs ?? []);
  const cpu = (name: string, of = empty) => median(of[name]?.cpuMs ?? []);
  const best = rivals.length === 0 ? null : Math.min(...rivals.map(({ name }) => wall(name)));
  return {
    metrics: [
      metric("banger --version", wall("banger --version"), "ms"),
      metric("banger --version, CPU", cpu("banger --version"), "ms"),
      metric("banger vm list, no VM", wall("banger vm list"), "ms", best),
      metric("banger vm list, no VM, CPU of the command", cpu("banger vm list"), "ms"),
      metric(`banger vm list, ${RECORDS} records`, wall("banger vm list", full), "ms"),
      metric(`banger vm list, ${RECORDS} records, CPU of the command`, cpu("banger vm list", full), "ms"),
      ...rivals.map(({ name }) => metric(name, wall(name), "ms")),
      // How busy the machine was: a quiet one needs a millisecond for it.
      metric("true, for comparison", wall("true"), "ms"),
    ],
    raw: { empty, full },
  };
};
