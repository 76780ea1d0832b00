// create→ssh on banger's own kernel and on the image's, in interleaved pairs: what `make kernel` is worth.
import type { Instance } from "../test/vm/fixture.ts";
import { type Metric, median, metric, metricsOf } from "./figures.ts";

const NAME = "bench";
const kernels = ["banger", "image"] as const;
type Kernel = (typeof kernels)[number];

const run = async (banger: Instance, kernel: Kernel): Promise<number> => {
  const startedMs = performance.now();
  await banger.ok(["create", NAME, "--kernel", kernel]);
  await banger.ok(["ssh", NAME, "--", "true"]);
  const totalMs = performance.now() - startedMs;
  await banger.ok(["kill", NAME]);
  await banger.ok(["rm", NAME]);
  return totalMs;
};

export type KernelBench = { metrics: Metric[]; raw: Record<Kernel, number[]> };

export const benchKernels = async (
  banger: Instance,
  { pairs, say }: { pairs: number; say: (text: string) => void },
): Promise<KernelBench> => {
  const raw: Record<Kernel, number[]> = { banger: [], image: [] };
  // The first of each finds cold caches, and is not counted.
  for (const kernel of kernels) await run(banger, kernel);
  for (let pair = 0; pair < pairs; pair++) {
    for (const kernel of pair % 2 === 0 ? kernels : kernels.toReversed()) raw[kernel].push(await run(banger, kernel));
    const [own, image] = kernels.map((kernel) => Math.round(raw[kernel].at(-1) ?? 0));
    say(`pair ${pair + 1}/${pairs}: banger's own kernel ${own} ms, the image's ${image} ms`);
  }
  const ratios = raw.banger.map((ms, index) => ms / (raw.image[index] ?? Number.NaN));
  return {
    metrics: [
      ...metricsOf("create→ssh, own kernel over the image's", raw.banger, "ms", raw.image),
      metric("create→ssh, own kernel over the image's, median of pairs", median(ratios), "×"),
    ],
    raw,
  };
};
