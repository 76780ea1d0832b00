// How a guest on vsock tells the host that it is there, and what the host makes of it.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { VSOCK_ANNOUNCE_PORT, VSOCK_PORT } from "../../src/spec/guest/protocol.ts";
import { createFakeChannel, renderAnnouncement } from "../fakes/fake-vmm-channel.ts";

type Peer = { isLed: boolean } & Parameters<ReturnType<typeof createFakeChannel>["connection"]["open"]>[0]["data"];

let directory: string;
let path: string;
let undo: (() => void)[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "bgr-announce-"));
  path = join(directory, "vsock");
  undo = [];
});
afterEach(async () => {
  for (const step of undo.reverse()) step();
  await rm(directory, { recursive: true, force: true });
});

/** A vsock device of a VMM; `answers` says what becomes of each CONNECT, in order, and the last goes on for ever. */
const openDevice = (...answers: ("mute" | "helper" | "nonsense")[]) => {
  const helper = createFakeChannel({ onShutdown: () => {} });
  helper.ready();
  let asked = 0;
  const waiting: { count: number; resolve: () => void }[] = [];
  const listener = Bun.listen<Peer>({
    unix: path,
    socket: {
      open(socket) {
        socket.data = { isLed: false, pending: Buffer.alloc(0), isSynchronised: false };
      },
      data(socket, chunk) {
        if (socket.data.isLed) return helper.connection.data(socket, chunk);
        const answer = answers[Math.min(asked, answers.length - 1)];
        asked += 1;
        for (const { count, resolve } of waiting) if (asked >= count) resolve();
        if (answer === "nonsense") socket.write("NO\n");
        if (answer !== "helper") return;
        helper.connection.open(socket);
        socket.data.isLed = true;
        socket.write("OK 5\n");
      },
    },
  });
  undo.push(() => listener.stop(true));
  return {
    asked: () => asked,
    untilAsked: (count: number) =>
      new Promise<void>((resolve) => (asked >= count ? resolve() : waiting.push({ count, resolve }))),
  };
};

const open = (): GuestChannel => {
  const channel = openGuestChannel({ kind: "vsock-uds", path, port: VSOCK_PORT }, { vm: "hello" });
  undo.push(() => channel.close());
  return channel;
};

/** Says something on the announcement port, and returns when the host has hung up. */
const announce = async (bytes: Uint8Array): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  await Bun.connect({
    unix: `${path}_${VSOCK_ANNOUNCE_PORT}`,
    socket: {
      open: (socket) => void socket.write(bytes),
      data() {},
      close: () => resolve(),
      error: (_socket, error) => reject(error),
    },
  });
  await promise;
};

describe("a guest that announces its helper", () => {
  test("is dialled again even while an earlier call is left without an answer", async () => {
    const device = openDevice("mute", "helper");
    const channel = open();
    await device.untilAsked(1);
    const ready = channel.ready({ timeoutMs: 5000 });
    await announce(renderAnnouncement());
    expect((await ready).version).toBe("0.0.0-fake");
    expect(device.asked()).toBe(2);
  });

  test("may announce itself again without losing the connection that it has", async () => {
    const device = openDevice("helper");
    const channel = open();
    await channel.ready({ timeoutMs: 5000 });
    await announce(renderAnnouncement());
    await channel.ping({ timeoutMs: 5000 });
    expect(device.asked()).toBe(1);
  });

  test("has to say it in the channel's words", async () => {
    const device = openDevice("mute", "helper");
    const channel = open();
    await device.untilAsked(1);
    await announce(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    expect(device.asked()).toBe(1);
    expect(channel.state).toBe("connecting");
  });

  test("is not listened to while it waits for a fault of its own", async () => {
    const device = openDevice("nonsense", "nonsense", "nonsense", "mute");
    open();
    // The third fault is followed by a wait of 400 ms.
    await device.untilAsked(3);
    const beganMs = performance.now();
    await announce(renderAnnouncement());
    await device.untilAsked(4);
    expect(performance.now() - beganMs).toBeGreaterThan(200);
  });
});

describe("the socket for announcements", () => {
  test("takes the place of one that a killed daemon has left, and goes with the channel", async () => {
    const socket = `${path}_${VSOCK_ANNOUNCE_PORT}`;
    await writeFile(socket, "");
    const device = openDevice("mute", "helper");
    const channel = open();
    await device.untilAsked(1);
    await announce(renderAnnouncement());
    await channel.ready({ timeoutMs: 5000 });
    channel.close();
    expect(existsSync(socket)).toBe(false);
  });

  test("that cannot be made leaves a channel that finds the guest by trying", async () => {
    await mkdir(`${path}_${VSOCK_ANNOUNCE_PORT}`);
    openDevice("helper");
    expect((await open().ready({ timeoutMs: 5000 })).version).toBe("0.0.0-fake");
  });
});
