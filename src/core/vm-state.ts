// Decides which moves between the states of a VM are legal: one table, which the store enforces on every write.
import type { VmState } from "../spec/vm.ts";

const moves: Record<VmState, readonly VmState[]> = {
  creating: ["stopped", "error"],
  stopped: ["starting", "deleting", "error"],
  starting: ["running", "stopping", "stopped", "error"],
  // A guest may end by itself, so running leads to stopped without anybody's asking.
  running: ["stopping", "stopped", "paused", "suspended", "error"],
  stopping: ["stopped", "error"],
  deleting: ["error"],
  paused: ["running", "stopping", "stopped", "suspended", "error"],
  suspended: ["starting", "stopped", "deleting", "error"],
  // Out of error by what was found to be true: it runs after all, it was tidied up, or it is to go.
  error: ["running", "stopping", "stopped", "deleting"],
};

/** Whether a VM may go from one state to another; staying where it is always is. */
export const isLegalMove = (from: VmState, to: VmState): boolean => from === to || moves[from].includes(to);

/** Where a VM may go from `from`. */
export const legalMoves = (from: VmState): readonly VmState[] => moves[from];

/** States in which an operation is under way: after a crash, recovery has to leave none of them. */
export const isTransitional = (state: VmState): boolean =>
  state === "creating" || state === "starting" || state === "stopping" || state === "deleting";
