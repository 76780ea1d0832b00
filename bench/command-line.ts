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

/** Runs every command once a round, so that what else the machine does hits all of them alike. */
const timeInTurns = (commands: readonly Timed[], rounds: number): Record<string, number[]> => {
  const times: Record<string, number[]> = Object.fromEntries(commands.map(({ name }) => [name, []]));
  for (let round = -2; round < rounds; round++) {
    for (const { name, argv, env } of commands) {
      const startedMs = performance.now();
      const done = Bun.spawnSync(argv, { env, stdin: "ignore", stdout: "ignore", stderr: "ignore" });
      const tookMs = performance.now() - startedMs;
      if (!done.success) throw new Error(`${argv.join(" ")} failed`);
      // The first rounds warm caches.
      if (round >= 0) times[name]?.push(tookMs);
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
  const empty = timeInTurns([version, list, ...rivals], ROUNDS);
  await addRecords(banger);
  const { vms } = await banger.json<Output<"system.status">>(["daemon", "status"]).catch(async () => {
    await banger.ok(["ls"]);
    return banger.json<Output<"system.status">>(["daemon", "status"]);
  });
  if (vms.total !== RECORDS) throw new Error(`${vms.total} records instead of ${RECORDS}`);
  const full = timeInTurns([list], ROUNDS);
  const of = (name: string) => median(empty[name] as number[]);
  const best = rivals.length === 0 ? null : Math.min(...rivals.map(({ name }) => of(name)));
  return {
    metrics: [
      metric("banger --version", of("banger --version"), "ms"),
      metric("banger vm list, no VM", of("banger vm list"), "ms", best),
      metric(`banger vm list, ${RECORDS} records`, median(full["banger vm list"] as number[]), "ms"),
      ...rivals.map(({ name }) => metric(name, of(name), "ms")),
    ],
    raw: { empty, full },
  };
};
