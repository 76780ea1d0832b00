// What the benchmark's parts share: figures with their baselines, medians and percentiles, the table and the files.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

/** `ratio` is value over baseline; null where there is nothing to compare with. */
export type Metric = { name: string; value: number; unit: string; baseline: number | null; ratio: number | null };

const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** The value below which `share` of all lie (nearest rank); NaN of none. */
export const percentile = (values: readonly number[], share: number): number =>
  sorted(values)[Math.max(0, Math.ceil(values.length * share) - 1)] ?? Number.NaN;

export const median = (values: readonly number[]): number => {
  const all = sorted(values);
  const middle = all.length >> 1;
  return all.length % 2 === 1
    ? (all[middle] as number)
    : ((all[middle - 1] ?? Number.NaN) + (all[middle] ?? Number.NaN)) / 2;
};

const rounded = (value: number): number => Math.round(value * 100) / 100;

export const metric = (name: string, value: number, unit: string, baseline: number | null = null): Metric => ({
  name,
  value: rounded(value),
  unit,
  baseline: baseline === null ? null : rounded(baseline),
  ratio: baseline === null || baseline === 0 ? null : Math.round((value / baseline) * 1000) / 1000,
});

/** Median and 95th percentile of the same measurements. */
export const metricsOf = (
  name: string,
  values: readonly number[],
  unit: string,
  baseline: readonly number[] | null = null,
) => [
  metric(name, median(values), unit, baseline && median(baseline)),
  metric(`${name}, p95`, percentile(values, 0.95), unit, baseline && percentile(baseline, 0.95)),
];

const describeMachine = () => {
  const [cpu] = cpus();
  const load = readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).map(Number);
  const system = /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "unknown";
  return {
    cpu: cpu?.model ?? "unknown",
    cpus: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    system,
    runtime: `bun ${Bun.version}`,
    // A busy machine makes every figure worse, ours and the others'.
    loadAtStart: load,
    at: new Date().toISOString(),
  };
};

export type Report = { machine: ReturnType<typeof describeMachine>; metrics: Metric[]; notes: string[] };

export const openReport = (): Report => ({ machine: describeMachine(), metrics: [], notes: [] });

export const renderTable = (metrics: readonly Metric[]): string => {
  const rows = metrics.map(({ name, value, unit, baseline, ratio }) => [
    name,
    `${value} ${unit}`,
    baseline === null ? "-" : `${baseline} ${unit}`,
    ratio === null ? "-" : ratio.toFixed(2),
  ]);
  const all = [["", "banger", "baseline", "ratio"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] as string).length)));
  return all
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number),
        )
        .join("  "),
    )
    .join("\n");
};

/** build/bench.json holds the figures, build/bench-raw.json every single measurement behind them. */
export const writeReport = (root: string, report: Report, raw: unknown): void => {
  const out = join(root, "build");
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(join(out, "bench-raw.json"), `${JSON.stringify(raw)}\n`);
};
