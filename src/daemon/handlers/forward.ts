// The method that publishes ports of a VM on this host: for as long as its command runs, or as a property of the VM.
import { doForwardsClash, isSameForward, parseForward, spellForward } from "../../core/forwards.ts";
import { suggestPort } from "../../core/proc-listeners.ts";
import { fail } from "../../spec/errors.ts";
import type { Forward, PortOwner } from "../../spec/ports.ts";
import type { Call, Handlers, ParsedInput } from "../../spec/rpc/contract.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context } from "../context.ts";
import { forwardRowsOf } from "../forward-rows.ts";
import type { Blocked } from "../publish.ts";
import { requireRunning, untilOver } from "../until-over.ts";
import { findVm, withVm } from "./vm.ts";

const VERB = "forward to";
const PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

const spellOwner = ({ process, pid, address }: PortOwner): string =>
  `${process ?? "another user's process"}${pid === null ? "" : ` (process ${pid})`}, which listens on ${address}`;

/** Says why a port could not be opened, with one that could. */
const failBlocked = async (context: Context, vm: string, wanted: Forward, blocked: Blocked) => {
  const { address, hostPort: port, guestPort } = wanted;
  switch (blocked.refusal.code) {
    case "taken": {
      const owner = blocked.owner ? spellOwner(blocked.owner) : null;
      return failTaken(context, vm, { wanted, owner });
    }
    case "privileged": {
      const limit = Number((await context.host.files.read(PORT_START)) ?? 1024);
      return fail("port.privileged", { port, limit });
    }
    case "unavailable":
      return fail("port.no_address", { address });
    default:
      return fail("port.failed", { address, port, detail: `${blocked.refusal.detail} (guest port ${guestPort})` });
  }
};

const failTaken = async (context: Context, vm: string, taken: { wanted: Forward; owner: string | null }) => {
  const { address, hostPort: port, guestPort } = taken.wanted;
  const held = new Set((await context.hostListeners()).map((listener) => listener.port));
  for (const { spec } of context.store.vms.all()) for (const { hostPort } of spec.forwards) held.add(hostPort);
  return fail("port.taken", { vm, address, port, guestPort, owner: taken.owner, free: suggestPort(port, held) });
};

/** Another VM's forward of the same port: only one of them could be published. */
const refuseClash = async (context: Context, record: VmRecord, wanted: Forward): Promise<void> => {
  for (const other of context.store.vms.all()) {
    const all = [...other.spec.forwards, ...context.ports.lent(other.id)];
    const clash = all.find((one) => doForwardsClash(one, wanted));
    if (!clash || (other.id === record.id && isSameForward(clash, wanted))) continue;
    const owner = `the VM ${other.spec.name}, for its port ${clash.guestPort}`;
    throw await failTaken(context, record.spec.name, { wanted, owner });
  }
};

const findBlocked = (context: Context, id: string, { address, hostPort }: Forward): Blocked | null =>
  context.ports.blocked(id).find((one) => one.address === address && one.port === hostPort) ?? null;

export const forwardHandlers = (context: Context): Pick<Handlers, "vm.forward"> => {
  const { store } = context;

  const answer = (id: string, changed: boolean) => {
    const record = findVm(context, id, "exact");
    return { name: record.spec.name, changed, forwards: forwardRowsOf(context, record) };
  };

  const setForwards = async (record: VmRecord, forwards: readonly Forward[]): Promise<void> => {
    store.vms.updateSpec(record.id, { ...record.spec, forwards: [...forwards] });
    await context.ports.renew(record.id);
    context.bus.publish({ type: "vm.changed", vm: record.spec.name, id: record.id, fields: ["forwards"] });
  };

  const remove = async (record: VmRecord, ports: readonly string[]): Promise<void> => {
    const { forwards, name } = record.spec;
    const isMeant = (forward: Forward, port: string) =>
      port === String(forward.hostPort) || port === spellForward(forward);
    for (const port of ports)
      if (!forwards.some((forward) => isMeant(forward, port)))
        throw fail("forward.not_found", { vm: name, port, known: forwards.map(({ hostPort }) => String(hostPort)) });
    await setForwards(
      record,
      forwards.filter((forward) => !ports.some((port) => isMeant(forward, port))),
    );
  };

  /** False when it has it already. */
  const keep = async (record: VmRecord, wanted: Forward): Promise<boolean> => {
    const { forwards, name } = record.spec;
    if (forwards.some((forward) => isSameForward(forward, wanted))) return false;
    await refuseClash(context, record, wanted);
    await setForwards(record, [...forwards, wanted]);
    const blocked = findBlocked(context, record.id, wanted);
    if (blocked === null) return true;
    await setForwards(record, forwards);
    throw await failBlocked(context, name, wanted, blocked);
  };

  /** Until the caller goes or the VM ends. */
  const lend = async (record: VmRecord, wanted: Forward, call: Call<"vm.forward">): Promise<void> => {
    const { name } = record.spec;
    requireRunning(context, record, VERB);
    await refuseClash(context, record, wanted);
    const giveBack = context.ports.lend(record.id, wanted);
    try {
      await context.ports.renew(record.id);
      const blocked = findBlocked(context, record.id, wanted);
      if (blocked !== null) throw await failBlocked(context, name, wanted, blocked);
      // Of a VM that ended meanwhile nothing is blocked, and nothing published.
      requireRunning(context, record, VERB);
      const row = { ...wanted, isKept: false, state: "published" as const, blockedBy: null, detail: null };
      call.emit({ kind: "forward", name, forward: row });
      await untilOver(context, record, { verb: VERB, signal: call.signal });
    } finally {
      giveBack();
      await context.ports.renew(record.id);
    }
  };

  return {
    "vm.forward": async (input: ParsedInput<"vm.forward">, call) => {
      const found = findVm(context, input.vm);
      if (input.remove.length > 0) await withVm(context, found, (record) => remove(record, input.remove));
      if (input.list || input.forward === undefined) {
        // Whoever looks wants it true: a proxy that was killed is started again.
        await context.ports.renew(found.id);
        return answer(found.id, input.remove.length > 0);
      }
      const wanted = parseForward(input.forward, input.bind);
      if (input.keep) return answer(found.id, await withVm(context, found, (record) => keep(record, wanted)));
      await lend(found, wanted, call);
      return answer(found.id, false);
    },
  };
};
