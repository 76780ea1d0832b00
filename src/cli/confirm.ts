// Asks a person on the terminal; whoever is no person is never asked.
import type { Session } from "./session.ts";

/** False for "no", for Ctrl-C, and where nobody can answer. */
export const confirm = async (session: Session, question: string): Promise<boolean> => {
  if (!session.terminal.isInTty || !session.terminal.isErrTty) return false;
  // A serial console says that it has none, and would get the question a letter a line.
  if (process.stderr.columns === 0) process.stderr.columns = 80;
  const prompts = await import("@clack/prompts");
  const answer = await prompts.confirm({ message: question, initialValue: true, output: process.stderr });
  return answer === true;
};
