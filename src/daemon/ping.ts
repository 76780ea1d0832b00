// Asks a guest's helper whether it is alive, and finds out what it means when it is not.
import { decideSilence } from "../core/decide-silence.ts";
import { fail, hasCode } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import type { VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { guestAddressOf } from "./view.ts";

const PING_TIMEOUT_MS = 3000;
/** A kernel that runs takes a connection on its own, at once. */
const REACH_TIMEOUT_MS = 1000;

/** A helper that talks nonsense is given up again and again, which looks like silence from afar. */
const findNonsense = (error: unknown): unknown =>
  [error, (error as { cause?: unknown } | null)?.cause].find((one) => hasCode(one, "guest.protocol_error"));

const isVmmStopped = async (context: Context, pid: number | undefined): Promise<boolean> => {
  if (pid === undefined) return false;
  const stat = await context.host.files.read(`/proc/${pid}/stat`);
  // proc_pid_stat(5): the state follows the command's name, which may itself hold parentheses.
  return stat !== null && /^[Tt]/.test(stat.slice(stat.lastIndexOf(")") + 2));
};

const explainSilence = async (context: Context, record: VmRecord, waitedMs: number): Promise<Error> => {
  const { spec, runtime, state } = record;
  const vm = spec.name;
  const address = guestAddressOf(context, record);
  const reach = record.spec.networks[0]?.mode === "namespace" ? context.namespace.reach : context.reach;
  const signal = new AbortController().signal;
  const [isStopped, isReached] = await Promise.all([
    isVmmStopped(context, runtime.process?.pid),
    address !== null && reach({ address, port: 22, timeoutMs: REACH_TIMEOUT_MS, signal }),
  ]);
  const upMs = runtime.startedAt === null ? null : Math.max(0, context.now().getTime() - Date.parse(runtime.startedAt));
  const silence = decideSilence({
    isStarting: state === "starting",
    hasSpoken: context.live.get(record.id)?.hasSpoken() === true,
    upMs,
    readyMs: context.config().timeouts.readyMs,
    isReached,
    isVmmStopped: isStopped,
  });
  if (silence === "booting") return fail("guest.booting", { vm, upMs });
  if (silence === "silent") return fail("guest.silent", { vm, waitedMs });
  return fail("guest.frozen", { vm, waitedMs, isVmmStopped: isStopped, pid: runtime.process?.pid ?? null });
};

/** Errors: guest.booting, guest.silent, guest.frozen, guest.protocol_error, vmm.shim_lost. */
export const pingVm = async (context: Context, record: VmRecord): Promise<Output<"vm.ping">> => {
  const vm = record.spec.name;
  const channel = context.live.get(record.id)?.channel;
  if (!channel && record.state === "starting") throw fail("guest.booting", { vm, upMs: null });
  if (!channel) throw fail("vmm.shim_lost", { vm });
  const beganMs = context.clock();
  try {
    const info = await channel.ready({ timeoutMs: PING_TIMEOUT_MS });
    const { roundTripMs, clockSkewMs, uptimeMs } = await channel.ping({ timeoutMs: PING_TIMEOUT_MS });
    context.clocks.note(record.id, clockSkewMs);
    return {
      name: vm,
      roundTripMs,
      clockSkewMs,
      uptimeSeconds: Math.floor(uptimeMs / 1000),
      helperVersion: info.version,
    };
  } catch (error) {
    const nonsense = findNonsense(error);
    if (nonsense !== undefined) throw nonsense;
    const isSilence = (["guest.not_ready", "guest.channel_lost", "operation.timeout"] as const).some((code) =>
      hasCode(error, code),
    );
    throw isSilence ? await explainSilence(context, record, context.clock() - beganMs) : error;
  }
};
