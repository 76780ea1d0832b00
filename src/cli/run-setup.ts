// `banger setup`: shows what needs root on this host, asks once, and does it.
import { EXIT, fail } from "../spec/errors.ts";
import { confirm } from "./confirm.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";

export const runSetup = async (session: Session, { input, isJson }: Invocation): Promise<number> => {
  if (!session.planSetup) throw fail("internal.bug", { detail: "this build has no setup" });
  const plan = await session.planSetup();
  if (isJson) printJson(session, { isDone: plan.isDone, lines: plan.lines });
  else session.terminal.out(plan.lines.map((line) => `${line}\n`).join(""));
  if (input.print === true || isJson || plan.isDone) return EXIT.ok;
  if (input.yes !== true && !(await confirm(session, "Do this now?"))) {
    session.terminal.err("nothing was done\n");
    return EXIT.failed;
  }
  return plan.run();
};
