// What a hostile helper can do to the daemon: nothing but lose its own connection.
import { describe, expect, test } from "bun:test";
import { openGuestChannel } from "../../src/guest/channel.ts";
import { renderFrame, renderSync } from "../../src/spec/guest/frames.ts";
import { FRAME, STREAM_CREDIT_BYTES } from "../../src/spec/guest/protocol.ts";
import { creditOf, greet, OVER_CREDIT_FRAMES, sayHello, sayReady, socketPath, startFakeHelper } from "./fake-helper.ts";
import { failureOf, firstFault, flood, meet, rssMiB } from "./meet.ts";

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
    // A busy machine makes pauses longer, never shorter: 100 ms at first, doubled each time.
    for (const [index, pauseMs] of pauses.entries()) expect(pauseMs).toBeGreaterThan(95 * 2 ** index);
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
    const channel = openGuestChannel({ kind: "stream-socket", path }, { vm: "blue" });
    const error = await failureOf(channel.ready({ timeoutMs: 50 }));
    expect(error.code).toBe("guest.not_ready");
    expect(error.cause).toBeUndefined();
    expect(channel.state).toBe("connecting");
    const helper = startFakeHelper({}, path);
    await channel.ready({ timeoutMs: 2_000 });
    channel.close();
    helper.stop();
  });
});
