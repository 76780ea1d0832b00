// `banger setup`: shows what needs root on this host, asks once, and does it.
import { EXIT, fail } from "../spec/errors.ts";
import { confirm } from "./confirm.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session, SetupPlan } from "./session.ts";

export const runSetup = async (session: Session, invocation: Invocation): Promise<number> => {
  if (!session.planSetup) throw fail("bundle.missing", { artifact: "the built banger", directory: "this source tree" });
  const plan = await session.planSetup({ isUndo: invocation.input.undo === true });
  return offerSetup(session, invocation, { plan, done: "This host is set up: nothing is left to do as root." });
};

/** Shows a plan and carries it out when it was asked to, or was allowed to; `done` is said when nothing is left to do. */
export const offerSetup = async (
  session: Session,
  { input, isJson }: Invocation,
  { plan, done }: { plan: SetupPlan; done: string },
): Promise<number> => {
  const { terminal } = session;
  if (isJson) printJson(session, { isDone: plan.isDone, actions: plan.lines });
  else if (plan.isDone) terminal.out(`${done}\n`);
  else terminal.out(`As root, this will\n${plan.lines.map((line) => `  - ${line}\n`).join("")}`);
  if (input.print === true || plan.isDone) return EXIT.ok;
  if (input.yes !== true) {
    if (!terminal.isInTty || !terminal.isErrTty) {
      terminal.err("Nothing was done: give --yes where nobody can be asked.\n");
      return EXIT.failed;
    }
    if (!(await confirm(session, "Do this now?"))) {
      terminal.err("Nothing was done.\n");
      return EXIT.failed;
    }
  }
  const exitCode = await plan.run();
  if (exitCode === EXIT.ok && !isJson) terminal.err("Done.\n");
  return exitCode;
};
