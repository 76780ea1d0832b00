// What a helper may say before it is synchronised and which frames it may not send at all: each costs it its connection and nothing else.
import { describe, expect, test } from "bun:test";
import { renderFrame, renderSync } from "../../src/spec/guest/frames.ts";
import { FRAME } from "../../src/spec/guest/protocol.ts";
import { greet, type Peer, sayHello, sayReady } from "./fake-helper.ts";
import { failureOf, firstFault, flood, meet, rssMiB } from "./meet.ts";

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
