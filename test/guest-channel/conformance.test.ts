// One suite over every helper and transport: what the daemon may rely on, whoever answers.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  type ChannelTransport,
  type GuestChannel,
  type GuestStream,
  openGuestChannel,
} from "../../src/guest/channel.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { VSOCK_PORT } from "../../src/spec/guest/protocol.ts";
import { startFakeHelper } from "./fake-helper.ts";
import { buildProblem, startRealHelper, startVsockDevice } from "./real-helper.ts";

type Subject = { transport: ChannelTransport; restart(): Promise<void>; stop(): Promise<void> };

const fakeOnStream = async (): Promise<Subject> => {
  const helper = startFakeHelper();
  return {
    transport: { kind: "stream-socket", path: helper.path },
    restart: async () => helper.peers.at(-1)?.hangUp(),
    stop: async () => helper.stop(),
  };
};

const fakeOnVsock = async (): Promise<Subject> => {
  const helper = startFakeHelper({ vsockAnswer: "OK 5\n" });
  return {
    transport: { kind: "vsock-uds", path: helper.path, port: VSOCK_PORT },
    restart: async () => helper.peers.at(-1)?.hangUp(),
    stop: async () => helper.stop(),
  };
};

const realOnStream = async (): Promise<Subject> => {
  const helper = await startRealHelper();
  return { transport: { kind: "stream-socket", path: helper.path }, restart: helper.restart, stop: helper.stop };
};

const realOnVsock = async (): Promise<Subject> => {
  const helper = await startRealHelper();
  const path = join(helper.directory, "v");
  const device = await startVsockDevice({ path, helper: helper.path });
  return {
    transport: { kind: "vsock-uds", path, port: VSOCK_PORT },
    restart: helper.restart,
    stop: async () => {
      device.stop();
      await helper.stop();
    },
  };
};

const noise = (bytes: number): Uint8Array => {
  const block = crypto.getRandomValues(new Uint8Array(65_536));
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += block.length) all.set(block.subarray(0, Math.min(block.length, bytes - at)), at);
  return all;
};

const readAll = async (stream: GuestStream): Promise<Buffer> => {
  const parts: Uint8Array[] = [];
  for await (const part of stream.readable) parts.push(part);
  return Buffer.concat(parts);
};

const writeAll = async (stream: GuestStream, bytes: Uint8Array): Promise<void> => {
  const writer = stream.writable.getWriter();
  await writer.write(bytes);
  await writer.close();
};

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error) => (hasCode(error, error.code) ? error.code : String(error)),
  );

const suite = (name: string, start: () => Promise<Subject>, skip: string | null) =>
  describe.skipIf(skip !== null)(skip === null ? name : `${name} (skipped: ${skip})`, () => {
    let subject: Subject;
    let channel: GuestChannel;

    beforeEach(async () => {
      subject = await start();
      channel = openGuestChannel(subject.transport, { vm: "blue" });
    });
    afterEach(async () => {
      channel.close();
      await subject.stop();
    });

    test("ready tells the version, the abilities, the boot and its age", async () => {
      const info = await channel.ready({ timeoutMs: 5_000 });
      expect(info.abilities).toContain("ping");
      expect(info.version.length).toBeGreaterThan(0);
      expect(info.bootId).toMatch(/^[0-9a-f-]{36}$/);
      expect(info.uptimeNs).toBeGreaterThan(0n);
      expect(channel.state).toBe("ready");
    });

    test("many pings at once are answered, with the guest's clocks", async () => {
      const pings = await Promise.all(Array.from({ length: 60 }, () => channel.ping({ timeoutMs: 5_000 })));
      for (const ping of pings) {
        expect(ping.roundTripMs).toBeGreaterThan(0);
        expect(Math.abs(ping.clockSkewMs)).toBeLessThan(1_000);
        expect(ping.uptimeMs).toBeGreaterThan(0);
      }
    });

    test("shutdown is acknowledged without waiting for the end", async () => {
      await channel.shutdown("poweroff", { timeoutMs: 5_000 });
      await channel.shutdown("reboot", { timeoutMs: 5_000 });
      expect(channel.state).toBe("ready");
    });

    test("an echo stream gives back far more than its window, and ends in order", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      const stream = await channel.open("echo");
      const sent = noise(3 * 1024 * 1024 + 17);
      const [received] = await Promise.all([readAll(stream), writeAll(stream, sent)]);
      expect(received.equals(sent)).toBe(true);
      await stream.closed;
    });

    test("a reader that does not read stops the writer, and pings pass by", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      const stream = await channel.open("echo");
      const writer = stream.writable.getWriter();
      const writing = writer.write(noise(1024 * 1024)).then(() => writer.close());
      let isWritten = false;
      writing.then(() => {
        isWritten = true;
      });
      for (let i = 0; i < 20; i++) await channel.ping({ timeoutMs: 5_000 });
      expect(isWritten).toBe(false);
      expect((await readAll(stream)).length).toBe(1024 * 1024);
      await writing;
    });

    test("64 streams run side by side, and a 65th is refused", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      const streams = await Promise.all(Array.from({ length: 64 }, () => channel.open("echo")));
      expect(await codeOf(channel.open("echo"))).toBe("guest.refused");
      const sent = noise(20_000);
      const all = await Promise.all(
        streams.map(async (stream, index) => {
          const mine = sent.subarray(index);
          const [received] = await Promise.all([readAll(stream), writeAll(stream, mine)]);
          await stream.closed;
          return received.equals(mine);
        }),
      );
      expect(all.every(Boolean)).toBe(true);
      await (await channel.open("echo")).abort();
    });

    test("an aborted stream fails on both sides and makes room for another", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      for (let i = 0; i < 200; i++) {
        const stream = await channel.open("echo");
        const writing = codeOf(stream.writable.getWriter().write(noise(600_000)));
        stream.abort();
        expect(await codeOf(stream.closed)).toBe("operation.cancelled");
        expect(await writing).toBe("operation.cancelled");
        expect(await codeOf(readAll(stream))).toBe("operation.cancelled");
        if (i % 20 === 0) await channel.ping({ timeoutMs: 5_000 });
      }
      expect(channel.state).toBe("ready");
    });

    test("a kind that the helper does not know is refused", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      expect(await codeOf(channel.open("teleport"))).toBe("guest.refused");
    });

    test("a channel that is closed in the middle of a stream leaves nothing behind for the next", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      for (let i = 0; i < 10; i++) {
        const stream = await channel.open("echo");
        const writing = codeOf(stream.writable.getWriter().write(noise(4_000_000)));
        const reading = codeOf(readAll(stream));
        await channel.ping({ timeoutMs: 5_000 });
        channel.close();
        expect(await reading).toBe("guest.channel_lost");
        expect(["guest.channel_lost", "no error"]).toContain(await writing);
        channel = openGuestChannel(subject.transport, { vm: "blue" });
        await channel.ready({ timeoutMs: 5_000 });
      }
      const stream = await channel.open("echo");
      const [received] = await Promise.all([readAll(stream), writeAll(stream, noise(100_000))]);
      expect(received.length).toBe(100_000);
    });

    test("when the helper is replaced, what was pending is lost and the channel comes back by itself", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      const states: string[] = [];
      channel.onStateChange(({ state }) => states.push(state));
      const stream = await channel.open("echo");
      const reading = codeOf(readAll(stream));
      await subject.restart();
      expect(await reading).toBe("guest.channel_lost");
      await channel.ready({ timeoutMs: 5_000 });
      await channel.ping({ timeoutMs: 5_000 });
      expect(states.slice(0, 2)).toEqual(["lost", "connecting"]);
      expect(states.at(-1)).toBe("ready");
    });

    test("close ends what is pending and nothing connects again", async () => {
      await channel.ready({ timeoutMs: 5_000 });
      const stream = await channel.open("echo");
      channel.close();
      expect(await codeOf(stream.closed)).toBe("guest.channel_lost");
      expect(await codeOf(channel.ready({ timeoutMs: 100 }))).toBe("guest.channel_lost");
      expect(await codeOf(channel.ping({ timeoutMs: 100 }))).toBe("guest.channel_lost");
      expect(await codeOf(channel.open("echo"))).toBe("guest.channel_lost");
    });
  });

suite("a fake helper on a stream socket", fakeOnStream, null);
suite("a fake helper behind CONNECT", fakeOnVsock, null);
suite("banger-vsock-pingd on a stream socket", realOnStream, buildProblem());
suite("banger-vsock-pingd behind CONNECT", realOnVsock, buildProblem());
