// Where a modelled machine goes wrong: the nth operation fails, or the daemon dies before or after it.
import { fail } from "../../src/spec/errors.ts";

/** What a killed daemon would have seen: nothing. The step runner does no more when it meets one (engine/step.ts, by its name). */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}

/** The nth operation from now (1 is the next), or the next one of this name. */
export type Where = number | string;
export type When = "before" | "after";

type Fault = { where: Where; when: When; kind: "fail" | "crash"; error: Error | null; timesLeft: number };

/** One daemon's life on the machine: everything it does ends when it has crashed. */
export type Life = { isCrashed: boolean };

export type Faults = {
  /** The life that is being lived; operations of an earlier one do nothing. */
  life: Life;
  /** Names of the operations that were begun, oldest first. */
  operations: string[];
  failAt(where: Where, options?: { when?: When; error?: Error; times?: number }): void;
  crashAt(where: Where, when: When): void;
  clear(): void;
  /** Does one operation of `life`, or what a fault makes of it. */
  perform<Result>(life: Life, name: string, work: () => Promise<Result> | Result): Promise<Result>;
  /** Refuses whatever a dead daemon still tries. */
  requireAlive(life: Life): void;
};

export const createFaults = (): Faults => {
  let planned: Fault[] = [];

  const take = (name: string): Fault[] => {
    const due: Fault[] = [];
    for (const fault of planned) {
      if (typeof fault.where === "number") fault.where -= 1;
      const isDue = fault.where === name || (typeof fault.where === "number" && fault.where <= 0);
      if (!isDue) continue;
      fault.timesLeft -= 1;
      due.push(fault);
    }
    planned = planned.filter(({ timesLeft }) => timesLeft > 0);
    return due;
  };

  const strike = (faults: readonly Fault[], when: When, context: { life: Life; name: string }) => {
    const fault = faults.find((candidate) => candidate.when === when);
    if (!fault) return;
    if (fault.kind === "crash") {
      context.life.isCrashed = true;
      throw new SimulatedCrash(`${when} ${context.name}`);
    }
    throw fault.error ?? fail("host.command_failed", { command: [context.name], exitCode: 1, stderr: "made to fail" });
  };

  const faults: Faults = {
    life: { isCrashed: false },
    operations: [],
    failAt: (where, { when = "before", error = null as Error | null, times = 1 } = {}) => {
      planned.push({ where, when, kind: "fail", error, timesLeft: times });
    },
    crashAt: (where, when) => {
      planned.push({ where, when, kind: "crash", error: null, timesLeft: 1 });
    },
    clear: () => {
      planned = [];
    },
    requireAlive: (life) => {
      if (life.isCrashed) throw new SimulatedCrash("the daemon is dead");
    },
    async perform(life, name, work) {
      faults.requireAlive(life);
      faults.operations.push(name);
      const due = take(name);
      strike(due, "before", { life, name });
      const result = await work();
      faults.requireAlive(life);
      strike(due, "after", { life, name });
      return result;
    },
  };
  return faults;
};
