// After a shell: says that the VM still runs and what is left in it, and asks what to do about it where that is wanted.
import { gatherLeft, renderReminder } from "../client/reminder.ts";
import { describeFailure, renderFailure } from "./failure.ts";
import type { Session } from "./session.ts";

type Wish = "say" | "ask" | "nothing";

const wishOf = async (session: Session): Promise<Wish> => {
  const setting = await session.client.call("config.get", { key: "ssh.reminder" }).catch(() => null);
  return setting?.value === "ask" ? "ask" : setting?.value === true ? "say" : "nothing";
};

/** What goes wrong here is told and changes nothing: the shell has its own exit code. */
const stop = async (session: Session, vm: { id: string; name: string }): Promise<void> => {
  const { terminal } = session;
  const { openProgress } = await import("./progress.ts");
  const progress = openProgress({ terminal, isSilent: false });
  try {
    await session.client.call("vm.stop", { vm: vm.id }, { onEvent: (event) => progress.on(vm.name, event) });
    progress.end();
    terminal.err(`${vm.name} is stopped.\n`);
  } catch (error) {
    progress.end();
    terminal.err(renderFailure(describeFailure(error, null), { isJson: false, hasColor: terminal.hasErrColor }));
  }
};

/** For people on a terminal only. Takes 300 ms at most, but for their own answer where `ssh.reminder` is "ask". */
export const remind = async (session: Session, vm: { id: string; name: string }): Promise<void> => {
  const { terminal, client } = session;
  if (!terminal.isOutTty || !terminal.isErrTty || !terminal.isInTty) return;
  const [wish, left] = await Promise.all([wishOf(session), gatherLeft(client, vm.id)]);
  if (wish === "nothing" || left === null) return;
  terminal.err(`${renderReminder(left)}\n`);
  if (wish !== "ask") return;
  const { askKey } = await import("./ask-key.ts");
  const text = `Keep ${vm.name} running (k, Enter) or stop it (s)? `;
  if ((await askKey(session, { text, keys: ["k", "s"], fallback: "k" })) === "s") await stop(session, vm);
};
