// `make bench`: prints what docs/promises.md quotes and writes build/bench.json, with every single measurement in build/bench-raw.json.
// BENCH_PAIRS (default 15) is the number of interleaved boots; BENCH_ONLY=cli,start,kernels,footprint,exec,names,network leaves parts out.
import { join, resolve } from "node:path";
import type { Output } from "../src/spec/rpc/contract.ts";
import { openStore } from "../src/store/store.ts";
import { findObstacle, type Instance, isRoot, openTestInstance } from "../test/vm/fixture.ts";
import { openLab } from "../test/vm/lab.ts";
import { findNamespaceObstacle } from "../test/vm/ordinary-user.ts";
import { lacksOwnKernel } from "../test/vm/own-kernel.ts";
import { prepareByHand } from "./by-hand.ts";
import { benchCommandLine } from "./command-line.ts";
import { benchExec } from "./exec.ts";
import { openReport, renderTable, writeReport } from "./figures.ts";
import { benchFootprint } from "./footprint.ts";
import { benchKernels } from "./kernels.ts";
import { benchNames } from "./names.ts";
import { benchNetwork } from "./network.ts";
import { benchStart } from "./start.ts";

const root = resolve(import.meta.dir, "..");
const pairs = Number(process.env.BENCH_PAIRS ?? 15);
const only = process.env.BENCH_ONLY?.split(",");
const isWanted = (part: string) => only === undefined || only.includes(part);
const say = (text: string) => console.error(text);

if (!Number.isInteger(pairs) || pairs < 1) {
  say("BENCH_PAIRS is a whole number from 1 up");
  process.exit(2);
}
const report = openReport();
const raw: Record<string, unknown> = {};
const obstacle = findObstacle();
if (obstacle !== null) report.notes.push(`no guest was booted: ${obstacle}`);

const withInstance = async (
  work: (banger: Instance) => Promise<void>,
  inside: readonly string[] = [],
): Promise<void> => {
  const banger = await openTestInstance({ hasImage: obstacle === null, inside });
  try {
    await work(banger);
  } finally {
    await banger.close().catch((error) => say(`cleaning up: ${error instanceof Error ? error.message : error}`));
  }
};

const imageOf = async (banger: Instance): Promise<string> => {
  const { id } = await banger.json<Output<"image.show">>(["image", "show", "debian"]);
  const store = openStore({ path: join(banger.dir, "state/banger/banger.db"), readOnly: true });
  const image = store.images.get(id);
  store.close();
  if (!image) throw new Error("the image is not in the records");
  return join(image.dir, "rootfs.ext4");
};

if (obstacle === null && isWanted("start")) {
  await withInstance(async (banger) => {
    const hand = await prepareByHand(banger, await imageOf(banger));
    const { metrics, raw: measured } = await benchStart(banger, hand, { pairs, say });
    hand.close();
    report.metrics.push(...metrics);
    raw.start = measured;
  });
}
const withoutKernel = lacksOwnKernel();
if (isWanted("kernels") && withoutKernel !== null) report.notes.push(`kernels were not compared: ${withoutKernel}`);
if (obstacle === null && isWanted("kernels") && withoutKernel === null) {
  await withInstance(async (banger) => {
    const { metrics, raw: measured } = await benchKernels(banger, { pairs, say });
    report.metrics.push(...metrics);
    raw.kernels = measured;
  });
}
if (obstacle === null && isWanted("footprint")) {
  await withInstance(async (banger) => void report.metrics.push(...(await benchFootprint(banger, root))));
}
if (obstacle === null && isWanted("exec")) {
  await withInstance(async (banger) => {
    const { metrics, raw: measured } = await benchExec(banger);
    report.metrics.push(...metrics);
    raw.exec = measured;
  });
}
if (obstacle === null && isWanted("names")) {
  await withInstance(async (banger) => {
    const { metrics, raw: measured } = await benchNames(banger);
    report.metrics.push(...metrics);
    raw.names = measured;
  });
}
if (obstacle === null && isWanted("network")) {
  const closed = isRoot ? findNamespaceObstacle() : "the outside is played for root alone";
  if (closed === null) {
    const lab = await openLab();
    await withInstance(async (banger) => {
      const { metrics, raw: measured } = await benchNetwork(banger, lab);
      report.metrics.push(...metrics);
      raw.network = measured;
    }, lab.inside).finally(() => lab.close());
  } else report.notes.push(`networks were not compared: ${closed}`);
}
if (obstacle === null && isWanted("cli")) {
  await withInstance(async (banger) => {
    const { metrics, raw: measured } = await benchCommandLine(banger, report.notes);
    report.metrics.push(...metrics);
    raw.commandLine = measured;
  });
}

console.log(renderTable(report.metrics));
for (const note of report.notes) console.log(`note: ${note}`);
const { machine } = report;
console.log(
  `on ${machine.cpus} × ${machine.cpu}, ${machine.system}, load ${machine.loadAtStart.join(" ")} when it began`,
);
writeReport(root, report, raw);
