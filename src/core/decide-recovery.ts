// Decides what a starting daemon does with each VM it finds: adopt, undo, finish or leave it, from records and observations alone.
import type { EndCause, VmState } from "../spec/vm.ts";

/** What was found out about the VMM of a VM; `ours` only on proof (pid, start time, boot id, and the id in its own words). */
export type Observed = {
  vmm: "ours" | "gone" | "unproven";
  /** Why its last run ended, as the shim wrote it; null while it runs or when nothing is known. */
  endCause: EndCause | null;
};

export type RecoveryRecord = {
  state: VmState;
  /** Operations of this VM that are not closed. `isComplete`: every step was done; `isUndoBegun`: a stop or a deletion has taken some back. */
  openCreate: { isComplete: boolean; isUndoBegun: boolean } | null;
  openStart: { isComplete: boolean; isUndoBegun: boolean } | null;
};

export type Recovery =
  /** The VMM runs and is ours: watch it again. */
  | { action: "adopt" }
  /** Undo the standing start; the VM is stopped then. */
  | { action: "undo-start"; cause: EndCause }
  /** A creation that nobody was told of: undo it, the VM never was. */
  | { action: "undo-create" }
  /** Go on with a deletion that had begun. */
  | { action: "finish-delete" }
  /** Only the state has to be set right. */
  | { action: "finish-create" }
  | { action: "none" }
  | { action: "leave"; reason: string };

const isWhole = ({ isComplete, isUndoBegun }: NonNullable<RecoveryRecord["openStart"]>): boolean =>
  isComplete && !isUndoBegun;

/** One action for each transitional state; a VMM that cannot be proved ours is never touched. */
export const decideRecovery = (record: RecoveryRecord, observed: Observed): Recovery => {
  const ended = observed.endCause ?? "unknown";
  switch (record.state) {
    case "creating":
      return record.openCreate?.isComplete ? { action: "finish-create" } : { action: "undo-create" };
    case "deleting":
      return { action: "finish-delete" };
    case "starting":
    case "stopping":
      return observed.vmm === "unproven"
        ? { action: "leave", reason: "a process holds its place that cannot be proved to be its VMM" }
        : { action: "undo-start", cause: record.state === "stopping" ? "stopped" : ended };
    case "running":
    case "paused":
      if (observed.vmm === "ours") return { action: "adopt" };
      return observed.vmm === "gone"
        ? { action: "undo-start", cause: ended }
        : { action: "leave", reason: "a process holds its place that cannot be proved to be its VMM" };
    case "stopped":
    case "error":
    case "suspended":
      if (record.openCreate?.isComplete === false) return { action: "undo-create" };
      if (record.openCreate?.isUndoBegun) return { action: "finish-delete" };
      if (!record.openStart) return { action: "none" };
      // It was left alone while it could not be proved ours, on a host that was too busy to answer say: it runs after all.
      if (record.state === "error" && observed.vmm === "ours" && isWhole(record.openStart)) return { action: "adopt" };
      return observed.vmm === "unproven"
        ? { action: "leave", reason: "a process holds its place that cannot be proved to be its VMM" }
        : { action: "undo-start", cause: ended };
  }
};
