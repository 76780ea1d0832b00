// What a hostile helper can do to the daemon: nothing but lose its own connection.
import { afterEach, describe, expect, test } from "bun:test";
import { type ChannelChange, type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { type BangerError, hasCode } from "../../src/spec/errors.ts";
import { renderFrame, renderSync } from "../../src/spec/guest/frames.ts";
import { FRAME, STREAM_CREDIT_BYTES } from "../../src/spec/guest/protocol.ts";
import {
  type Behaviour,
  creditOf,
  type FakeHelper,
  greet,
  OVER_CREDIT_FRAMES,
  type Peer,
  sayHello,
  sayReady,
  socketPath,
  startFakeHelper,
} from "./fake-helper.ts";
import { until } from "./real-helper.ts";

let helper: FakeHelper | undefined;
let channel: GuestChannel | undefined;

afterEach(() => {
  channel?.close();
  helper?.stop();
});

const meet = (behaviour: Behaviour): { helper: FakeHelper; channel: GuestChannel; changes: ChannelChange[] } => {
  helper = startFakeHelper(behaviour);
  channel = openGuestChannel(
    behaviour.vsockAnswer === undefined
      ? { kind: "stream-socket", path: helper.path }
      : { kind: "vsock-uds", path: helper.path, port: 42070 },
    { vm: "blue" },
  );
  const changes: ChannelChange[] = [];
  channel.onStateChange((change) => changes.push(change));
  return { helper, channel, changes };
};

const failureOf = async (work: Promise<unknown>): Promise<BangerError> => {
  try {
    await work;
  } catch (error) {
    if (hasCode(error, (error as BangerError).code)) return error;
    throw error;
  }
  throw new Error("it did not fail");
};

const firstFault = async (changes: ChannelChange[]): Promise<string> => {
  await until("the channel is lost", () => changes.some(({ error }) => error !== undefined));
  return changes.find(({ error }) => error !== undefined)?.error?.message ?? "";
};

const rssMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

/** Sends the same bytes for as long as the host takes them. */
const flood = (peer: Peer, bytes: Uint8Array, pieces: number): void => {
  for (let i = 0; i < pieces; i++) peer.send(bytes);
};

describe("before it is synchronised", () => {
  test("a helper that never answers is not ready at the deadline, and not before", async () => {
    const { channel } = meet({ onSync: () => undefined });
    const beganMs = performance.now();
    const error = await failureOf(channel.ready({ timeoutMs: 300 }));
    expect(error.code).toBe("guest.not_ready");
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(295);
    expect(channel.state).toBe("synchronising");
  });

  test("an aborted wait ends at once with the reason that was given", async () => {
    const { channel } = meet({ onSync: () => undefined });
    const abort = new AbortController();
    const waiting = channel.ready({ timeoutMs: 60_000, signal: abort.signal });
    abort.abort(new Error("enough"));
    expect(waiting).rejects.toThrow("enough");
  });

  test("an answer with the wrong nonce is dropped with all that follows it", async () => {
    const { channel } = meet({ onSync: (peer) => greet(peer, new Uint8Array(16).fill(9)) });
    expect((await failureOf(channel.ready({ timeoutMs: 200 }))).code).toBe("guest.not_ready");
  });

  test("what an earlier host left unread is dropped", async () => {
    const { channel } = meet({
      onConnect: (peer) => {
        sayReady(peer, { boot_id: "ffff" });
        peer.send(crypto.getRandomValues(new Uint8Array(60_000)));
        peer.send(renderSync(new Uint8Array(16)));
      },
    });
    expect((await channel.ready({ timeoutMs: 2_000 })).bootId).toMatch(/^0000/);
  });

  test("a SYNC that was lost with the helper that it was sent to is sent again", async () => {
    let syncs = 0;
    const { channel, helper } = meet({
      onSync: (peer, nonce) => {
        syncs += 1;
        /* As if another helper had come: it hunts, and answers the second. */
        if (syncs === 1) peer.send(new Uint8Array(65_544));
        else greet(peer, nonce);
      },
      onFrame: () => true,
    });
    /* The fake finds a repeated SYNC because its header is no frame. */
    await channel.ready({ timeoutMs: 5_000 });
    expect(syncs).toBe(2);
    expect(helper.peers.length).toBe(1);
  });

  test("garbage without end loses it the connection, in little memory", async () => {
    const before = rssMiB();
    const block = new Uint8Array(1024 * 1024).fill(0x42);
    const { changes } = meet({ onSync: (peer) => flood(peer, block, 64) });
    expect(await firstFault(changes)).toContain("does not answer SYNC");
    expect(rssMiB() - before).toBeLessThan(64);
  });

  test("a vsock device that answers nonsense, or for ever, is told so", async () => {
    const { changes } = meet({ vsockAnswer: "NO\n" });
    expect(await firstFault(changes)).toContain("gave no OK");
    channel?.close();
    helper?.stop();
    const endless = meet({ vsockAnswer: "O".repeat(100_000) });
    expect(await firstFault(endless.changes)).toContain("gave no OK");
  });

  test("a guest that does not listen yet costs no noise, and is found when it does", async () => {
    let isUp = false;
    const { helper, channel, changes } = meet({
      vsockAnswer: "OK 7\n",
      onConnect: (peer) => {
        if (!isUp) peer.hangUp();
      },
    });
    await helper.connections(5);
    expect(changes).toEqual([]);
    isUp = true;
    await channel.ready({ timeoutMs: 5_000 });
  });
});

describe("frames that no helper may send", () => {
  const header = (length: number, type: number): Uint8Array => {
    const bytes = renderFrame({ type });
    new DataView(bytes.buffer).setUint32(0, length, true);
    return bytes;
  };
  const cases: [string, (peer: Peer) => void, string][] = [
    ["a length of a gigabyte", (peer) => peer.send(header(2 ** 30, FRAME.data)), "1073741824 bytes"],
    ["the largest length there is", (peer) => peer.send(header(0xffffffff, 200)), "4294967295 bytes"],
    ["an unknown type", (peer) => peer.frame(77), "unknown type 77"],
    ["a second HELLO", (peer) => sayHello(peer), "second HELLO"],
    [
      "a PING, which only hosts send",
      (peer) => peer.frame(FRAME.ping, { payload: new Uint8Array(8) }),
      "only the host",
    ],
    ["a PONG that nobody asked for", (peer) => peer.frame(FRAME.pong, { payload: new Uint8Array(24) }), "nobody asked"],
    [
      "an acknowledgement that nobody asked for",
      (peer) => peer.frame(FRAME.shutdownAck, { fields: { ok: "1" } }),
      "nobody asked",
    ],
    ["an OPEN", (peer) => peer.frame(FRAME.open, { stream: 1, fields: { kind: "echo" } }), "not open"],
    [
      "data on a stream that nobody opened",
      (peer) => peer.frame(FRAME.data, { stream: 5, payload: new Uint8Array(1) }),
      "not open",
    ],
    ["data on the connection itself", (peer) => peer.frame(FRAME.data, { payload: new Uint8Array(1) }), "not open"],
    [
      "an ENDING for no known reason",
      (peer) => peer.frame(FRAME.ending, { fields: { why: "boredom" } }),
      "no known reason",
    ],
    ["a READY on a stream", (peer) => peer.frame(FRAME.ready, { stream: 3 }), "on a stream"],
    ["a READY with a boot id that is none", (peer) => sayReady(peer, { boot_id: "\u001b[31m" }), "malformed boot_id"],
    ["a READY from before the beginning", (peer) => sayReady(peer, { uptime_ns: "-5" }), "malformed uptime_ns"],
    [
      "invalid UTF-8",
      (peer) => peer.frame(FRAME.ending, { payload: new Uint8Array([0x77, 0x3d, 0xff, 0]) }),
      "not UTF-8",
    ],
    [
      "fields without an end",
      (peer) => peer.frame(FRAME.ending, { payload: new Uint8Array([0x77, 0x3d]) }),
      "end in NUL",
    ],
  ];

  test.each(cases)("%s loses it the connection", async (_, misbehave, detail) => {
    let isFirst = true;
    const { channel, changes, helper } = meet({
      onSync: (peer, nonce) => {
        greet(peer, nonce);
        if (isFirst) misbehave(peer);
        isFirst = false;
      },
    });
    const message = await firstFault(changes);
    expect(message).toContain(detail);
    expect(message).toContain("blue");
    await helper.connections(2);
    await channel.ready({ timeoutMs: 5_000 });
  });

  test("anything before HELLO loses it the connection, and the deadline says why", async () => {
    const { channel } = meet({
      onSync: (peer, nonce) => {
        peer.send(renderSync(nonce));
        sayReady(peer);
      },
    });
    const error = await failureOf(channel.ready({ timeoutMs: 300 }));
    expect(error.code).toBe("guest.not_ready");
    expect(String((error.cause as Error).message)).toContain("does not begin with HELLO");
  });

  test("a HELLO without a protocol number is no HELLO", async () => {
    const { changes } = meet({
      onSync: (peer, nonce) => {
        peer.send(renderSync(nonce));
        sayHello(peer, { protocol: "none" });
      },
    });
    expect(await firstFault(changes)).toContain("protocol number");
  });

  test("optional frames and unknown fields are passed over", async () => {
    const { channel, helper } = meet({
      onSync: (peer, nonce) => {
        peer.send(renderSync(nonce));
        sayHello(peer, { colour: "blue" });
        peer.frame(128, { payload: new Uint8Array(65_536) });
        peer.frame(255);
        sayReady(peer, { phase: "moon" });
      },
    });
    await channel.ready({ timeoutMs: 2_000 });
    expect(helper.peers.length).toBe(1);
  });
});

describe("a helper that wears the host out", () => {
  test("faults make the pauses between its connections longer", async () => {
    const atMs: number[] = [];
    const { helper } = meet({
      onConnect: () => atMs.push(performance.now()),
      onSync: (peer, nonce) => {
        peer.send(renderSync(nonce));
        peer.frame(77);
      },
    });
    await helper.connections(4);
    const pauses = atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0));
    expect(pauses[1]).toBeGreaterThan((pauses[0] ?? 0) * 1.5);
    expect(pauses[2]).toBeGreaterThan((pauses[1] ?? 0) * 1.5);
  });

  test.each([
    ["READY", renderFrame({ type: FRAME.ready, payload: new TextEncoder().encode("uptime_ns=1\0") })],
    ["optional frames", renderFrame({ type: 250, payload: new Uint8Array(65_536) })],
  ])("a flood of %s loses it the connection, in little memory", async (_, frame) => {
    const before = rssMiB();
    const block = Buffer.concat(Array.from({ length: Math.ceil(65_536 / frame.length) }, () => frame));
    const { changes } = meet({
      onSync: (peer, nonce) => {
        greet(peer, nonce);
        flood(peer, block, 1_000);
      },
    });
    expect(await firstFault(changes)).toContain("floods");
    expect(rssMiB() - before).toBeLessThan(64);
  });

  test("more data than it was given credit for loses it the connection", async () => {
    const { channel, changes } = meet({
      onFrame: (peer, { type, stream }) => {
        if (type !== FRAME.open) return false;
        for (let i = 0; i < OVER_CREDIT_FRAMES; i++)
          peer.frame(FRAME.data, { stream, payload: new Uint8Array(65_536) });
        return true;
      },
    });
    await channel.ready({ timeoutMs: 2_000 });
    const stream = await channel.open("echo");
    expect(await firstFault(changes)).toContain("credit");
    expect((await failureOf(stream.closed)).code).toBe("guest.protocol_error");
  });

  test("a helper that fills 64 streams that nobody reads costs their windows and no more", async () => {
    const before = rssMiB();
    const { channel } = meet({
      onFrame: (peer, { type, stream }) => {
        if (type !== FRAME.open) return false;
        for (let i = 0; i < 4; i++) peer.frame(FRAME.data, { stream, payload: new Uint8Array(65_536) });
        return true;
      },
    });
    await channel.ready({ timeoutMs: 2_000 });
    const streams = await Promise.all(Array.from({ length: 64 }, () => channel.open("echo")));
    await channel.ping({ timeoutMs: 5_000 });
    expect(rssMiB() - before).toBeLessThan(100);
    const reader = streams[63]?.readable.getReader();
    let bytes = 0;
    while (bytes < STREAM_CREDIT_BYTES) bytes += (await reader?.read())?.value?.length ?? 0;
    expect(bytes).toBe(STREAM_CREDIT_BYTES);
  });

  test("credit beyond all measure loses it the connection", async () => {
    const { channel, changes } = meet({
      onFrame: (peer, { type, stream }) => {
        if (type === FRAME.open) peer.frame(FRAME.credit, { stream, payload: creditOf(0xffffffff) });
        return type === FRAME.open;
      },
    });
    await channel.ready({ timeoutMs: 2_000 });
    await channel.open("echo");
    expect(await firstFault(changes)).toContain("beyond all measure");
  });

  test("a helper that reads nothing holds writers back, and memory with them", async () => {
    const before = rssMiB();
    const { channel } = meet({
      onFrame: (peer, { type, stream }) => {
        if (type !== FRAME.open) return false;
        peer.frame(FRAME.credit, { stream, payload: creditOf(2 ** 29) });
        peer.goDeaf();
        return true;
      },
    });
    await channel.ready({ timeoutMs: 2_000 });
    const stream = await channel.open("echo");
    const writer = stream.writable.getWriter();
    const block = new Uint8Array(1024 * 1024);
    let written = 0;
    const writing = (async () => {
      for (;;) {
        await writer.write(block);
        written += 1;
      }
    })();
    writing.catch(() => undefined);
    expect((await failureOf(channel.ping({ timeoutMs: 300 }))).code).toBe("operation.timeout");
    expect(written).toBeLessThan(4);
    expect(rssMiB() - before).toBeLessThan(64);
    channel.close();
    expect((await failureOf(writing)).code).toBe("guest.channel_lost");
  });

  test("three pings without any answer make the channel synchronise anew", async () => {
    let isMute = true;
    const { channel, helper } = meet({ onFrame: () => isMute });
    await channel.ready({ timeoutMs: 2_000 });
    for (let i = 0; i < 3; i++)
      expect((await failureOf(channel.ping({ timeoutMs: 50 }))).code).toBe("operation.timeout");
    isMute = false;
    await helper.connections(2);
    await channel.ping({ timeoutMs: 2_000 });
  });

  test("a late answer is not taken for that of another question", async () => {
    const late: (() => void)[] = [];
    const { channel } = meet({
      onFrame: (peer, { type }) => {
        if (type !== FRAME.shutdown) return false;
        const isSecond = late.length === 1;
        late.push(() => peer.frame(FRAME.shutdownAck, { fields: isSecond ? { ok: "1" } : { error: "late" } }));
        if (isSecond) for (const say of late) say();
        return true;
      },
    });
    expect((await failureOf(channel.shutdown("poweroff", { timeoutMs: 100 }))).code).toBe("operation.timeout");
    await channel.shutdown("reboot", { timeoutMs: 2_000 });
  });
});

describe("what a helper says about itself", () => {
  test("nothing of it can steer a terminal", async () => {
    const { channel } = meet({
      onSync: (peer, nonce) => {
        peer.send(renderSync(nonce));
        sayHello(peer, { version: `1\u001b[2J\r\n\u202e${"x".repeat(500)}`, abilities: "echo,\u001b[31m,OK,../x" });
        sayReady(peer);
      },
      onFrame: (peer, { type, stream }) => {
        if (type === FRAME.shutdown) peer.frame(FRAME.shutdownAck, { fields: { error: "no\u001b]0;owned\u0007 way" } });
        else if (type === FRAME.open) peer.frame(FRAME.close, { stream, fields: { error: "\u009b31m\nred" } });
        return type === FRAME.shutdown || type === FRAME.open;
      },
    });
    const info = await channel.ready({ timeoutMs: 2_000 });
    expect(info.version).toMatch(/^1\uFFFD\[2J\uFFFD\uFFFD\uFFFDx+$/);
    expect(info.version.length).toBeLessThanOrEqual(64);
    expect(info.abilities).toEqual(["echo"]);
    const refused = await failureOf(channel.shutdown("poweroff", { timeoutMs: 2_000 }));
    expect(refused.code).toBe("guest.refused");
    expect(refused.message).not.toMatch(/[\u0000-\u001f\u0080-\u009f]/);
    const stream = await channel.open("echo");
    const closed = await failureOf(stream.closed);
    expect(closed.code).toBe("guest.refused");
    expect(closed.message).not.toMatch(/[\u0000-\u001f\u0080-\u009f]/);
  });

  test("an ENDING is heard once in a connection, and not after it is unsubscribed", async () => {
    const heard: string[] = [];
    const { channel } = meet({
      onFrame: (peer, { type }) => {
        if (type === FRAME.shutdown) {
          peer.frame(FRAME.ending, { fields: { why: "reboot" } });
          peer.frame(FRAME.ending, { fields: { why: "reboot" } });
        }
        return false;
      },
    });
    channel.onEnding((why) => heard.push(why));
    const stop = channel.onEnding((why) => heard.push(`${why}, but not for me`));
    stop();
    await channel.shutdown("reboot", { timeoutMs: 2_000 });
    expect(heard).toEqual(["reboot"]);
  });

  test("a VMM whose socket comes late is found when it comes", async () => {
    const path = socketPath();
    channel = openGuestChannel({ kind: "stream-socket", path }, { vm: "blue" });
    const error = await failureOf(channel.ready({ timeoutMs: 50 }));
    expect(error.code).toBe("guest.not_ready");
    expect(error.cause).toBeUndefined();
    expect(channel.state).toBe("connecting");
    helper = startFakeHelper({}, path);
    await channel.ready({ timeoutMs: 2_000 });
  });
});
