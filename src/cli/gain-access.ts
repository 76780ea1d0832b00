// What is needed to get into a VM; a stopped one is started when its owner agrees.
import type { Output } from "../spec/rpc/contract.ts";
import { confirm } from "./confirm.ts";
import type { Session } from "./session.ts";

const isWrongState = (error: unknown): error is { data: { state?: string; vm?: string } } =>
  (error as { code?: string } | null)?.code === "vm.wrong_state";

const isAutostart = async (session: Session): Promise<boolean> =>
  (await session.client.call("config.get", { key: "ssh.autostart" }).catch(() => null))?.value === true;

/** Errors: those of vm.access and vm.start. */
export const gainAccess = async (session: Session, vm: string): Promise<Output<"vm.access">> => {
  const { client, terminal } = session;
  try {
    return await client.call("vm.access", { vm });
  } catch (error) {
    if (!isWrongState(error) || error.data.state !== "stopped") throw error;
    const name = error.data.vm ?? vm;
    const isAllowed = (await isAutostart(session)) || (await confirm(session, `${name} is stopped. Start it?`));
    if (!isAllowed) throw error;
    const { openProgress } = await import("./progress.ts");
    const progress = openProgress({ terminal, isSilent: false });
    try {
      await client.call("vm.start", { vm }, { onEvent: (event) => progress.on(name, event) });
    } finally {
      progress.end();
    }
    return client.call("vm.access", { vm });
  }
};
