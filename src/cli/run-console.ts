// `banger console`: the serial console of a VM on the user's terminal.
import { attachConsole } from "../client/console.ts";
import { EXIT, fail } from "../spec/errors.ts";
import { printJson } from "./run-method.ts";
import { selectOne } from "./select-vms.ts";
import type { Invocation, Session } from "./session.ts";

/** What is replayed when nothing is said: about a screen. */
const TAIL_BYTES = 4096;

export const runConsole = async (session: Session, invocation: Invocation): Promise<number> => {
  const vm = await selectOne(session, invocation);
  const { name, socket } = await session.client.call("vm.console", { vm });
  if (invocation.isJson) {
    printJson(session, { name, socket });
    return EXIT.ok;
  }
  const { terminal } = session;
  const tailBytes = typeof invocation.input.tail === "number" ? Math.max(0, invocation.input.tail) : TAIL_BYTES;
  if (terminal.isInTty) terminal.err(`Attached to ${name}; Ctrl-] leaves.\n`);
  const why = await attachConsole({ socket, tailBytes, isTty: terminal.isInTty });
  if (why === "lost") throw fail("vmm.shim_lost", { vm: name });
  terminal.err(why === "left" ? `\nLeft ${name}; it is still running.\n` : `\nThe console of ${name} has ended.\n`);
  return EXIT.ok;
};
