// create→ssh by banger and by hand in interleaved pairs, stage by stage; the daemon's own share of a start and of a kill.
import { callOnce } from "../src/client/wire.ts";
import type { Output } from "../src/spec/rpc/contract.ts";
import type { Instance } from "../test/vm/fixture.ts";
import type { ByHand, HandRun } from "./by-hand.ts";
import { type Metric, median, metric, metricsOf } from "./figures.ts";
import { childrenOf, keepPresent } from "./process-cost.ts";

type Steps = Record<string, number>;
type OwnRun = { createMs: number; sshMs: number; totalMs: number; steps: Steps };
type StartRun = { wallMs: number; ownMs: number; killMs: number; killOwnMs: number; steps: Steps };

const NAME = "bench";

/** By the commands that a person types. */
const runByBanger = async (banger: Instance): Promise<OwnRun> => {
  const startedMs = performance.now();
  await banger.ok(["create", NAME]);
  const createdMs = performance.now();
  await banger.ok(["ssh", NAME, "--", "true"]);
  const endedMs = performance.now();
  const { steps } = await banger.json<Output<"vm.why-slow">>(["vm", "why-slow", NAME]);
  await banger.ok(["kill", NAME]);
  await banger.ok(["rm", NAME]);
  return {
    createMs: createdMs - startedMs,
    sshMs: endedMs - createdMs,
    totalMs: endedMs - startedMs,
    steps: Object.fromEntries(steps.map(({ step, ms }) => [step, ms ?? 0])),
  };
};

/** What is the VMM's and the guest's time: from the moment the VMM runs until the guest is ready. */
const GUEST_STEPS = ["vmm.boot", "guest.ready"];

/** Start and kill of a VM that exists, over the wire: no command's start-up in it, and no copy of a disk. */
const runStart = async (banger: Instance): Promise<StartRun> => {
  const steps: Steps = {};
  const undone: Steps = {};
  const onEvent = (event: unknown) => {
    const { step, phase, ms } = event as { step: string; phase: string; ms: number | null };
    if (phase === "done") steps[step] = ms ?? 0;
    if (phase === "undone") undone[step] = ms ?? 0;
  };
  const socket = banger.socket();
  const startedMs = performance.now();
  await callOnce({ socket, method: "vm.start", params: { vm: NAME }, onEvent });
  const readyMs = performance.now();
  await callOnce({ socket, method: "vm.kill", params: { vm: NAME }, onEvent });
  const killedMs = performance.now();
  const guestMs = GUEST_STEPS.reduce((sum, step) => sum + (steps[step] ?? 0), 0);
  const killMs = killedMs - readyMs;
  // From SIGKILL until the kernel has taken the VMM apart and its shim has said so.
  const killOwnMs = killMs - (undone["vmm.launch"] ?? 0);
  return { wallMs: readyMs - startedMs, ownMs: readyMs - startedMs - guestMs, killMs, killOwnMs, steps };
};

const told = (name: string, runs: readonly StartRun[], pick: (run: StartRun) => number): Metric[] =>
  metricsOf(name, runs.map(pick), "ms");

export type StartBench = {
  metrics: Metric[];
  raw: { banger: OwnRun[]; hand: HandRun[]; starts: StartRun[]; present: StartRun[] };
};

export const benchStart = async (
  banger: Instance,
  hand: ByHand,
  options: { pairs: number; say: (text: string) => void },
): Promise<StartBench> => {
  const { pairs, say } = options;
  const own: OwnRun[] = [];
  const byHand: HandRun[] = [];
  // The first of each finds cold caches, and is not counted.
  await runByBanger(banger);
  await hand.run();
  for (let pair = 0; pair < pairs; pair++) {
    const isOursFirst = pair % 2 === 0;
    if (isOursFirst) own.push(await runByBanger(banger));
    byHand.push(await hand.run());
    if (!isOursFirst) own.push(await runByBanger(banger));
    say(
      `pair ${pair + 1}/${pairs}: banger ${Math.round(own.at(-1)?.totalMs ?? 0)} ms, by hand ${Math.round(byHand.at(-1)?.totalMs ?? 0)} ms`,
    );
  }
  await banger.ok(["create", NAME, "--no-start"]);
  const starts: StartRun[] = [];
  const rounds = Math.max(3, Math.ceil(pairs / 3));
  for (let round = 0; round < rounds; round++) starts.push(await runStart(banger));
  const present: StartRun[] = [];
  const daemon = await banger.daemonPid();
  const presence = await keepPresent([daemon, ...childrenOf(daemon)]);
  try {
    for (let round = 0; round < rounds; round++) present.push(await runStart(banger));
  } finally {
    await presence.close();
  }
  await banger.ok(["rm", NAME]);

  const names = Object.keys(own[0]?.steps ?? {});
  const stage = (name: string) => own.map(({ steps }) => steps[name] ?? 0);
  const tapByHand = byHand.map(({ tapMs }) => tapMs);
  const baselines: Record<string, number[]> = {
    "disk.clone": byHand.map(({ copyMs }) => copyMs),
    "tap.create": tapByHand,
    "guest.ready": byHand.map(({ answerMs }) => answerMs),
  };
  const ratios = own.map(({ totalMs }, index) => totalMs / (byHand[index]?.totalMs ?? Number.NaN));
  return {
    metrics: [
      ...metricsOf(
        "create→ssh",
        own.map(({ totalMs }) => totalMs),
        "ms",
        byHand.map(({ totalMs }) => totalMs),
      ),
      metric("create→ssh over by hand, median of pairs", median(ratios), "×"),
      ...names.flatMap((name) => metricsOf(`  ${name}`, stage(name), "ms", baselines[name] ?? null)),
      ...metricsOf(
        "  ssh true",
        own.map(({ sshMs }) => sshMs),
        "ms",
        byHand.map(({ sshMs }) => sshMs),
      ),
      ...told("start, request to ready", starts, ({ wallMs }) => wallMs),
      ...told("start, the daemon's own share", starts, ({ ownMs }) => ownMs),
      ...told("kill", starts, ({ killMs }) => killMs),
      ...told("kill, the daemon's own share", starts, ({ killOwnMs }) => killOwnMs),
      ...told("start, the daemon's own share, memory kept present", present, ({ ownMs }) => ownMs),
      ...told("kill, the daemon's own share, memory kept present", present, ({ killOwnMs }) => killOwnMs),
    ],
    raw: { banger: own, hand: byHand, starts, present },
  };
};
