// Turns the journal of a start into where its time went, beside what the same steps usually take.
import type { Operation } from "../spec/records.ts";

export type Waterfall = {
  operation: string;
  startedAt: string;
  totalMs: number;
  steps: { step: string; ms: number | null; share: number; usualMs: number | null }[];
  remark: string;
};

const median = (values: readonly number[]): number | null => {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
};

const round = (value: number) => Math.round(value * 10) / 10;

/** `create` belongs to a VM's first start: its copy of the disk is part of what the user waited for. */
export const renderWaterfall = (options: {
  last: Operation;
  earlier: readonly Operation[];
  create: Operation | null;
}): Waterfall => {
  const { last, earlier, create } = options;
  const parts = [...(create?.steps ?? []), ...last.steps];
  const totalMs = parts.reduce((sum, { ms }) => sum + (ms ?? 0), 0);
  const steps = parts.map(({ name, ms }) => {
    const usual = median(
      earlier.flatMap((operation) =>
        operation.steps.filter((step) => step.name === name).flatMap((step) => step.ms ?? []),
      ),
    );
    return {
      step: name,
      ms: ms === null ? null : round(ms),
      share: totalMs === 0 ? 0 : Math.round(((ms ?? 0) / totalMs) * 1000) / 1000,
      usualMs: usual === null ? null : round(usual),
    };
  });
  const slowest = [...steps].sort((one, other) => (other.ms ?? 0) - (one.ms ?? 0))[0];
  return { operation: last.kind, startedAt: last.startedAt, totalMs: round(totalMs), steps, remark: remarkOn(slowest) };
};

const meanings: Record<string, string> = {
  "disk.clone": "copying the disk: a file system with reflinks (btrfs, xfs) makes this a few milliseconds",
  "guest.ready": "the guest's own boot: KVM, fewer services or a smaller kernel make it shorter",
  "vmm.launch": "starting the VMM",
  "vmm.boot": "the VMM's own start until it answers",
  "tap.create": "making the bridge and the tap",
  "net.rules": "applying the network rules",
};

const remarkOn = (slowest: { step: string; share: number } | undefined): string =>
  slowest === undefined
    ? "nothing was measured"
    : `${Math.round(slowest.share * 100)} % went into ${slowest.step}${meanings[slowest.step] ? `, ${meanings[slowest.step]}` : ""}`;
