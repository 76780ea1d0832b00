// The methods on what goes on inside a running VM, each answered within the time the caller gives.

import { planVmPaths } from "../../core/paths.ts";
import { type GuestSession, readListeners, readStatus } from "../../guest/reports.ts";
import { fail } from "../../spec/errors.ts";
import type { Handlers, ParsedInput } from "../../spec/rpc/contract.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context } from "../context.ts";
import { pingVm } from "../ping.ts";
import { renderSshConfigOf, sshConfigPath } from "../ssh-config.ts";
import { hostAddressOf } from "../view.ts";
import { readUsage } from "./access.ts";
import { findVm } from "./vm.ts";

/** Running, or on the way to it. */
const needRunning = (record: VmRecord, verb: string): VmRecord => {
  if (record.state === "running" || (verb === "ping" && record.state === "starting")) return record;
  throw fail("vm.wrong_state", { vm: record.spec.name, state: record.state, verb, needs: ["running"] });
};

/** Somebody who is logged in, rather than one who is leaving or a manager of systemd's. */
const isLogin = ({ state, sessionClass }: GuestSession): boolean =>
  state !== "closing" && (sessionClass === "" || sessionClass.startsWith("user"));

const orNull = <Value>(promise: Promise<Value>): Promise<Value | null> => promise.catch(() => null);

const memoryOf = async (context: Context, record: VmRecord): Promise<number | null> => {
  const proof = record.runtime.process;
  if (!proof || (await context.host.processes.prove(proof)) !== "same") return null;
  return (await readUsage(context, proof.pid))?.residentMiB ?? null;
};

/** What the guest tells; nulls for what it does not tell in time. */
const askGuest = async (context: Context, record: VmRecord, timeoutMs: number) => {
  const channel = context.live.get(record.id)?.channel;
  const vm = record.spec.name;
  if (record.state !== "running" || !channel) return { status: null, listeners: null };
  const [status, listeners] = await Promise.all([
    orNull(readStatus(channel, { vm, timeoutMs })),
    orNull(readListeners(channel, { vm, timeoutMs })),
  ]);
  return { status, listeners };
};

/** As it is now, not as it was when it was asked: it may have begun to go meanwhile. */
const stateNow = (context: Context, id: string): string => {
  const state = context.store.vms.get(id)?.state ?? "deleting";
  return state === "running" && context.live.get(id)?.isEnding() === true ? "stopping" : state;
};

const activityOf = async (context: Context, { vm, within }: ParsedInput<"vm.activity">) => {
  const record = findVm(context, vm);
  const { id, spec } = record;
  const [{ status, listeners }, memoryMiB, diskUsedMiB] = await Promise.all([
    askGuest(context, record, within),
    orNull(memoryOf(context, record)),
    orNull(context.host.files.diskUsedMiB(planVmPaths(context.paths, id).disk)),
  ]);
  const nowMs = context.now().getTime();
  return {
    id,
    name: spec.name,
    fqdn: `${spec.hostname}.${context.config().dns.zone}`,
    state: stateNow(context, id),
    address: hostAddressOf(context, record),
    sessions:
      status?.sessions.filter(isLogin).map(({ user, terminal, remote, service, sinceMs }) => ({
        user,
        terminal,
        remote,
        service,
        sinceSeconds: sinceMs === null ? null : Math.max(0, Math.round((nowMs - sinceMs) / 1000)),
      })) ?? null,
    jobs:
      status?.processes.map(({ pid, user, name, command, ageSeconds }) => ({ pid, user, name, command, ageSeconds })) ??
      null,
    listeners: listeners?.map(({ address, port, name }) => ({ address, port, name })) ?? null,
    memoryMiB,
    diskUsedMiB,
  };
};

export const insideHandlers = (
  context: Context,
): Pick<Handlers, "vm.activity" | "vm.clock" | "vm.ping" | "ssh.config"> => ({
  "vm.activity": (input) => activityOf(context, input),

  "ssh.config": async () => ({
    path: sshConfigPath(context),
    zone: context.config().dns.zone,
    text: renderSshConfigOf(context),
  }),

  "vm.clock": async (input) => {
    const record = needRunning(findVm(context, input.vm), "set the clock of");
    return { name: record.spec.name, ...(await context.clocks.set(record.id)) };
  },

  "vm.ping": (input) => pingVm(context, needRunning(findVm(context, input.vm), "ping")),
});
