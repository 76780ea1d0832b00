// The methods on ports: what listens in a guest, asked at once or told as it changes.
import { planGuestPorts, planPortBlocks, planPortRows } from "../../core/guest-ports.ts";
import { createKeyedLock } from "../../engine/lock.ts";
import { readListeners } from "../../guest/reports.ts";
import { describeUnknown } from "../../spec/errors.ts";
import type { GuestPort, PortRow } from "../../spec/ports.ts";
import type { Handlers } from "../../spec/rpc/contract.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context } from "../context.ts";
import { forwardRowsOf } from "../forward-rows.ts";
import { untilOver } from "../until-over.ts";
import { sidesOf } from "../view.ts";
import { forwardHandlers } from "./forward.ts";
import { findServing } from "./streams.ts";

const ASK_TIMEOUT_MS = 5000;

/** The rows people see, with whoever holds the same ports on this host. */
const rowsOf = async (context: Context, record: VmRecord, ports: readonly GuestPort[]): Promise<PortRow[]> => {
  const { spec } = record;
  const forwards = forwardRowsOf(context, record);
  const sides = sidesOf(context, record);
  const ours = new Set([
    ...forwards.map(({ address, hostPort }) => `${address} ${hostPort}`),
    ...context.ports.published(record.id).map(({ address, port }) => `${address} ${port}`),
  ]);
  const listeners = await context.hostListeners(new Set(ports.map(({ port }) => port)));
  return planPortRows({
    ports,
    sides,
    fqdn: `${spec.hostname}.${context.config().dns.zone}`,
    forwards: forwards.filter(({ state }) => state === "published"),
    blocks: planPortBlocks(context.ports.blocked(record.id).filter(({ address }) => address === sides.host)),
    listeners: listeners.filter(({ address, port }) => !ours.has(`${address} ${port}`)),
  });
};

export const portHandlers = (context: Context): Pick<Handlers, "vm.ports" | "vm.forward"> => ({
  ...forwardHandlers(context),

  "vm.ports": async (input, call) => {
    const { record, live } = await findServing(context, input.vm, "listen");
    const { name } = record.spec;
    if (!input.watch) {
      const told = planGuestPorts(await readListeners(live.channel, { vm: name, timeoutMs: ASK_TIMEOUT_MS }));
      live.ports.note(told);
      // Whoever looks wants it true: what was opened a moment ago is published, and a proxy that was killed started again.
      await context.ports
        .renew(record.id)
        .catch((error) => context.log.warn("ports were not published", { vm: name, detail: describeUnknown(error) }));
      return { name, ports: await rowsOf(context, record, told) };
    }
    let last: PortRow[] = [];
    let lastTold = "";
    const look = async () => {
      const current = context.live.get(record.id)?.ports.current();
      if (!current) return;
      last = await rowsOf(context, record, current);
      const text = JSON.stringify(last);
      if (text === lastTold) return;
      lastTold = text;
      if (!call.signal.aborted) call.emit({ kind: "ports", name, ports: last });
    };
    /** One after the other: what was looked up first must not be told last. */
    const inTurn = createKeyedLock();
    const tell = () => inTurn.run(record.id, look);
    const over = untilOver(context, record, {
      verb: "watch",
      signal: call.signal,
      onEvent: async (event) => {
        if (event.type === "vm.changed" && event.fields.includes("ports")) await tell();
      },
    });
    // The first look comes when changes are followed already, so that none falls between.
    await Promise.all([over, tell()]);
    return { name, ports: last };
  },
});
