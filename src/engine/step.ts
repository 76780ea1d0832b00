// Runs a list of reversible steps: the journal is written before each effect, and undoing is one function for everyone.
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import type { StepEvent } from "../spec/events.ts";

/** One reversible step. `undo` succeeds when nothing is left to undo, and is never cancelled. */
export type Step = {
  name: string;
  run: (signal: AbortSignal) => Promise<void>;
  undo: () => Promise<void>;
};

export type StepPhase = "begun" | "done" | "undone" | "undo_failed";

/** Where the runner writes before it acts. Every call has committed when it returns. */
export type Journal = {
  begin(step: string): void;
  done(step: string, ms: number): void;
  undone(step: string): void;
  undoFailed(step: string, detail: string): void;
  /** The steps that were begun and are not undone, in the order they were begun. */
  standing(): readonly string[];
};

export type StepObserver = (event: Omit<StepEvent, "kind" | "operation">) => void;

/** Milliseconds of a clock that never jumps. */
export type MonotonicClock = () => number;

/** Thrown by the model of a crash in tests: the runner must then do nothing more, as a killed process would. */
export const isSimulatedCrash = (error: unknown): boolean => error instanceof Error && error.name === "SimulatedCrash";

type RunOptions = {
  steps: readonly Step[];
  journal: Journal;
  signal: AbortSignal;
  clock: MonotonicClock;
  observe: StepObserver;
};

/** Runs every step in order. On failure or cancellation what was begun is undone, newest first, and the first cause is thrown. */
export const runSteps = async (options: RunOptions): Promise<void> => {
  const { steps, journal, signal, clock, observe } = options;
  for (const step of steps) {
    const startedMs = clock();
    try {
      signal.throwIfAborted();
      journal.begin(step.name);
      observe({ step: step.name, phase: "begin", ms: null });
      await step.run(signal);
      signal.throwIfAborted();
      const ms = clock() - startedMs;
      journal.done(step.name, ms);
      observe({ step: step.name, phase: "done", ms });
    } catch (error) {
      if (isSimulatedCrash(error)) throw error;
      observe({ step: step.name, phase: "failed", ms: clock() - startedMs });
      // The cause is what the user must hear of; what could not be undone stays open in the journal and is retried.
      await undoSteps({ steps, journal, clock, observe });
      throw error;
    }
  }
};

export type UndoFailure = { step: string; detail: string; cause: unknown };

/**
 * Undoes every standing step, newest first, without stopping at a failure; what failed is returned and stays open in the journal.
 * Where a step stands that is not among `steps`, as in a journal of a newer banger, nothing is undone and nothing is written: what that step
 * made may lie on what the others did, and only who knows it can take them back in order. Each such step is a failure, `operation.step_unknown`.
 * Rollback, stop, delete and recovery are all this function.
 */
export const undoSteps = async (options: Omit<RunOptions, "signal">): Promise<readonly UndoFailure[]> => {
  const { steps, journal, clock, observe } = options;
  const byName = new Map(steps.map((step) => [step.name, step]));
  const standing = journal.standing().flatMap((name) => byName.get(name) ?? []);
  const unknown = journal.standing().filter((name) => !byName.has(name));
  if (unknown.length > 0) {
    const cause = fail("operation.step_unknown", { steps: unknown });
    return unknown.map((step) => ({ step, detail: cause.message, cause }));
  }
  const failures: UndoFailure[] = [];
  for (const step of standing.reverse()) {
    const { name } = step;
    const startedMs = clock();
    try {
      observe({ step: name, phase: "undo", ms: null });
      await step.undo();
      journal.undone(name);
      observe({ step: name, phase: "undone", ms: clock() - startedMs });
    } catch (error) {
      if (isSimulatedCrash(error)) throw error;
      const detail = isBangerError(error) ? error.message : describeUnknown(error);
      journal.undoFailed(name, detail);
      observe({ step: name, phase: "undo_failed", ms: clock() - startedMs });
      failures.push({ step: name, detail, cause: error });
    }
  }
  return failures;
};
