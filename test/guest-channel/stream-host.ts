// A daemon as the command line sees it, with real helpers behind its real socket for streams: VMs without VMMs.
import { dirname, join } from "node:path";
import { serveStreams } from "../../src/daemon/stream-server.ts";
import { type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { fail } from "../../src/spec/errors.ts";
import { type FakeDaemon, startFakeDaemon } from "../cli/fake-daemon.ts";
import { type RealHelper, startRealHelper } from "./real-helper.ts";

export type StreamHost = {
  daemon: FakeDaemon;
  socket: string;
  channel(vm: string): GuestChannel;
  helper(vm: string): RealHelper;
  busy(): readonly string[];
  /** What the daemon does when it stops: only its streams. */
  stopStreams(): void;
  stop(): Promise<void>;
};

/** Who the helper of the test runs as: it can become nobody else unless it is root. */
export const ME = String(process.getuid?.() ?? 0);

export const startStreamHost = async (names: readonly string[]): Promise<StreamHost> => {
  const daemon = startFakeDaemon();
  const vms = new Map<string, { helper: RealHelper; channel: GuestChannel }>();
  for (const name of names) {
    const helper = await startRealHelper();
    const channel = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: name });
    await channel.ready({ timeoutMs: 5_000 });
    vms.set(name, { helper, channel });
  }
  const find = (vm: string) => {
    const found = vms.get(vm);
    if (!found) throw fail("vm.not_found", { vm });
    return found;
  };
  const socket = join(dirname(daemon.socket), "streams.sock");
  const server = serveStreams({
    socket,
    open: async ({ vm, kind, fields }) => ({ vm, stream: await find(vm).channel.open(kind, fields) }),
    log: { info: () => undefined, warn: () => undefined, error: (...words) => process.stderr.write(`${words}\n`) },
  });
  daemon.handlers["vm.stream"] = ({ vm }) => {
    find(vm);
    return { id: vm, name: vm, user: ME, socket };
  };
  return {
    daemon,
    socket,
    channel: (vm) => find(vm).channel,
    helper: (vm) => find(vm).helper,
    busy: server.busy,
    stopStreams: server.stop,
    stop: async () => {
      server.stop();
      for (const { channel, helper } of vms.values()) {
        channel.close();
        await helper.stop();
      }
      await daemon.close();
    },
  };
};
