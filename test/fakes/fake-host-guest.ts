// The guest helper of a modelled VM: speaks the guest channel on a real unix socket, as docs/guest.md §2 has it.
import { rmSync } from "node:fs";
import { EXEC } from "../../src/spec/guest/exec.ts";
import { parseFields, renderFields } from "../../src/spec/guest/fields.ts";
import {
  createFrameReader,
  type Frame,
  type FrameReader,
  renderFrame,
  renderSync,
} from "../../src/spec/guest/frames.ts";
import { createMessageReader, type MessageReader, renderMessage } from "../../src/spec/guest/messages.ts";
import { FRAME, SYNC_BYTES, SYNC_MAGIC } from "../../src/spec/guest/protocol.ts";

export type GuestEvents = {
  /** What the guest answers to a request to go down; null: nothing at all. */
  askedToShutDown(how: "poweroff" | "reboot"): { ok: boolean } | null;
  /** What a command comes to; its input is read to the end first. */
  runs(argv: readonly string[], input: string): { exitCode: number; output: string };
};

type Peer = { reader: FrameReader | null; held: Buffer; commands: Map<number, Command> };

/** A stream of kind `exec`. */
type Command = { argv: string[]; input: Buffer[]; messages: MessageReader };

export type FakeGuest = {
  /** From now on it answers; a guest that never gets there stays silent. */
  becomeReady(bootId: string): void;
  /** Hears nothing and says nothing, though the VM runs. */
  freeze(): void;
  sayEnding(why: "poweroff" | "reboot" | "halt" | "kexec"): void;
  /** Hangs up, as the VMM's socket does when the daemon or the VMM goes away; stays open for the next. */
  hangUp(): void;
  close(): void;
};

/** Listens at `path` from the start, as a VMM's chardev does; nobody answers before `becomeReady`. */
export const createFakeGuest = (path: string, events: GuestEvents): FakeGuest => {
  let bootId: string | null = null;
  let isFrozen = false;
  const sockets = new Set<Bun.Socket<Peer>>();

  const send = (socket: Bun.Socket<Peer>, type: number, payload: Uint8Array) => {
    socket.write(renderFrame({ type, payload }));
  };

  const welcome = (socket: Bun.Socket<Peer>) => {
    const hello = renderFields({ protocol: "1", version: "fake", abilities: "ping,shutdown,exec" });
    send(socket, FRAME.hello, hello);
    send(socket, FRAME.ready, renderFields({ boot_id: bootId ?? "", uptime_ns: "1000000", sshd: "early" }));
  };

  const answer = (socket: Bun.Socket<Peer>, frame: Frame): boolean => {
    if (frame.type === FRAME.ping) {
      const clocks = Buffer.alloc(16);
      clocks.writeBigUInt64LE(BigInt(Date.now()) * 1_000_000n, 0);
      clocks.writeBigUInt64LE(BigInt(Math.round(performance.now() * 1e6)), 8);
      send(socket, FRAME.pong, Buffer.concat([frame.payload, clocks]));
    }
    if (frame.type === FRAME.shutdown) {
      const parsed = parseFields(frame.payload);
      const how = parsed.ok && parsed.fields.how === "reboot" ? "reboot" : "poweroff";
      const reply = events.askedToShutDown(how);
      if (reply) send(socket, FRAME.shutdownAck, renderFields(reply.ok ? { ok: "1" } : { error: "no" }));
    }
    if (frame.type === FRAME.open) openCommand(socket, frame);
    if (frame.type === FRAME.data) feedCommand(socket, frame);
    if (frame.type === FRAME.close) socket.data.commands.delete(frame.stream);
    return true;
  };

  const openCommand = (socket: Bun.Socket<Peer>, { stream, payload }: Frame) => {
    const parsed = parseFields(payload);
    const fields = parsed.ok ? parsed.fields : {};
    const argv = Object.keys(fields).flatMap((key) => (key.startsWith("arg.") ? (fields[key] ?? []) : []));
    socket.data.commands.set(stream, { argv, input: [], messages: createMessageReader() });
  };

  /** Runs when its input has ended. */
  const feedCommand = (socket: Bun.Socket<Peer>, { stream, payload }: Frame) => {
    const command = socket.data.commands.get(stream);
    for (const { tag, bytes } of command?.messages.push(payload) ?? []) {
      if (tag === EXEC.stdin) command?.input.push(Buffer.from(bytes));
      if (tag !== EXEC.stdinEnd || !command) continue;
      const { exitCode, output } = events.runs(command.argv, Buffer.concat(command.input).toString());
      const say = (type: number, said: Uint8Array = new Uint8Array(0)) =>
        socket.write(renderFrame({ type, stream, payload: said }));
      say(FRAME.data, renderMessage(EXEC.stdout, Buffer.from(output)));
      say(FRAME.data, renderMessage(EXEC.exit, Uint8Array.of(exitCode)));
      say(FRAME.close);
    }
  };

  /** Everything before a SYNC is what an earlier host left; the answer carries its nonce. */
  const findSync = (socket: Bun.Socket<Peer>) => {
    const at = socket.data.held.indexOf(SYNC_MAGIC);
    if (at < 0 || socket.data.held.length < at + SYNC_BYTES) return;
    const rest = socket.data.held.subarray(at + SYNC_BYTES);
    socket.write(renderSync(socket.data.held.subarray(at + SYNC_MAGIC.length, at + SYNC_BYTES)));
    socket.data = { reader: createFrameReader(), held: Buffer.alloc(0), commands: new Map() };
    welcome(socket);
    read(socket, rest);
  };

  const read = (socket: Bun.Socket<Peer>, bytes: Uint8Array) => {
    if (isFrozen || bytes.length === 0) return;
    if (socket.data.reader) {
      socket.data.reader.push(bytes, (frame) => answer(socket, frame));
      return;
    }
    socket.data.held = Buffer.concat([socket.data.held, bytes]);
    if (bootId !== null) findSync(socket);
  };

  rmSync(path, { force: true });
  const server = Bun.listen<Peer>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { reader: null, held: Buffer.alloc(0), commands: new Map() };
        sockets.add(socket);
      },
      data: (socket, bytes) => read(socket, bytes),
      close: (socket) => void sockets.delete(socket),
      error: (socket) => void sockets.delete(socket),
    },
  });

  return {
    becomeReady(id) {
      bootId = id;
      for (const socket of sockets) if (!isFrozen) findSync(socket);
    },
    freeze() {
      isFrozen = true;
    },
    sayEnding(why) {
      for (const socket of sockets) if (socket.data.reader) send(socket, FRAME.ending, renderFields({ why }));
    },
    hangUp() {
      for (const socket of [...sockets]) socket.end();
    },
    close() {
      for (const socket of [...sockets]) socket.end();
      server.stop(true);
      rmSync(path, { force: true });
    },
  };
};
