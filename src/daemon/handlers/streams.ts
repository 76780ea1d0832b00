// Streams to guests: whether a guest can serve a kind, where a client opens one, and opening it.
import { dirname } from "node:path";
import type { GuestStream } from "../../guest/channel.ts";
import { fail } from "../../spec/errors.ts";
import type { Handlers } from "../../spec/rpc/contract.ts";
import { STREAM_SOCKET_NAME, type StreamRequest } from "../../spec/stream-socket.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context, LiveVm } from "../context.ts";
import { findVm } from "./vm.ts";

const READY_TIMEOUT_MS = 3000;

export const streamSocketPath = (context: Context): string => `${dirname(context.paths.socket)}/${STREAM_SOCKET_NAME}`;

/** A running VM whose helper serves this kind. Errors: vm.not_found, vm.ambiguous, vm.wrong_state, guest.not_ready, guest.too_old. */
export const findServing = async (
  context: Context,
  vm: string,
  kind: string,
): Promise<{ record: VmRecord; live: LiveVm }> => {
  const record = findVm(context, vm);
  const { name } = record.spec;
  if (record.state !== "running")
    throw fail("vm.wrong_state", { vm: name, state: record.state, verb: "reach", needs: ["running"] });
  const live = context.live.get(record.id);
  if (!live) throw fail("vmm.shim_lost", { vm: name });
  const { abilities, version } = await live.channel.ready({ timeoutMs: READY_TIMEOUT_MS });
  if (!abilities.includes(kind)) throw fail("guest.too_old", { vm: name, ability: kind, version });
  return { record, live };
};

export const streamHandlers = (context: Context): Pick<Handlers, "vm.stream"> => ({
  "vm.stream": async ({ vm, kind }) => {
    const { record } = await findServing(context, vm, kind);
    return {
      id: record.id,
      name: record.spec.name,
      user: record.spec.user.name,
      socket: streamSocketPath(context),
    };
  },
});

export const openGuestStream = async (
  context: Context,
  request: StreamRequest,
): Promise<{ vm: string; stream: GuestStream }> => {
  const { record, live } = await findServing(context, request.vm, request.kind);
  return { vm: record.spec.name, stream: await live.channel.open(request.kind, request.fields) };
};
