// `banger tui`, and banger alone on a terminal: opens the terminal UI, which is handed in so that no other command loads it.
import { fail } from "../spec/errors.ts";
import type { Session } from "./session.ts";

/** A terminal that reads keys and moves its cursor. */
export const canRunTui = ({ terminal, env }: Session): boolean =>
  terminal.isInTty && terminal.isOutTty && env.TERM !== undefined && env.TERM !== "" && env.TERM !== "dumb";

const needsTerminal = (): Error => {
  const message = "the terminal UI needs a terminal that can move its cursor, for input and for output";
  const found = fail("input.invalid", { issues: [{ path: "", message }] });
  return Object.defineProperty(found, "fix", { value: "banger list   # prints the VMs anywhere" });
};

/** Errors: input.invalid where there is no such terminal. */
export const runTui = async (session: Session): Promise<number> => {
  if (!canRunTui(session) || session.openTui === null) throw needsTerminal();
  return session.openTui();
};
