// The shim against clients that are hostile, idle or too many.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { ShimConsole } from "../../src/host/shim.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { type Bench, memoryKiB, openBench, STAY, until } from "./shim-bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

describe("hostile clients", () => {
  const openRaw = async (path: string) => {
    const socket = connect(path);
    const got: Buffer[] = [];
    let isClosed = false;
    socket.on("data", (bytes) => got.push(Buffer.from(bytes)));
    socket.on("error", () => {});
    socket.on("close", () => {
      isClosed = true;
    });
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    return { socket, text: () => Buffer.concat(got).toString("latin1"), isClosed: () => isClosed };
  };

  test("a line without end, a NUL and unknown words end or refuse that client alone", async () => {
    const { control, plan } = await bench.start(STAY);
    const long = await openRaw(plan.control);
    long.socket.write("x".repeat(300));
    await until("closed", long.isClosed);
    const nul = await openRaw(plan.control);
    nul.socket.write("hello\0\n");
    await until("closed", nul.isClosed);
    const odd = await openRaw(plan.control);
    odd.socket.write("sing\nsignal FOO\nattach tail=x\nhello\n");
    await until("answered", () => odd.text().split("\n").length === 5);
    expect(odd.text()).toStartWith("error unknown request\nerror unknown signal\nerror bad tail\nbanger-shim 1 ");
    odd.socket.destroy();
    expect((await control.hello()).starts).toBe(1);
  });

  test("a thousand requests in one connection are all answered, and one that never reads is not waited for", async () => {
    const { control, plan } = await bench.start(STAY);
    const many = await openRaw(plan.control);
    many.socket.write("hello\n".repeat(1000));
    await until("all answered", () => many.text().split("\n").length === 1001);
    many.socket.destroy();
    const deaf = connect(plan.control);
    deaf.pause();
    deaf.on("error", () => {});
    deaf.write("hello\n".repeat(100_000));
    for (let i = 0; i < 20; i++) expect((await control.hello()).starts).toBe(1);
    deaf.destroy();
  });

  test("at most 16 clients are served; those too many are told, and an idle one makes room after 2 s", async () => {
    const { control, plan, identity } = await bench.start(STAY);
    const idle = await Promise.all(Array.from({ length: 20 }, () => openRaw(plan.control)));
    // Five when the launch's own connection was still being hung up.
    const refused = () => idle.filter(({ isClosed }) => isClosed());
    await until("four are refused", () => refused().length >= 4);
    // Bun may lose what came with a hang-up: then nothing was read at all.
    for (const one of refused()) expect(["error busy\n", ""]).toContain(one.text());
    const refusals = refused().length;
    await until("room was made", async () => (await control.hello().catch(() => null)) !== null);
    await until("an idle one was dropped", () => refused().length > refusals);
    expect((await memoryKiB(identity.shimPid)).rss).toBeLessThanOrEqual(1024);
    for (const { socket } of idle) socket.destroy();
  });

  test("streams never take the last places", async () => {
    const { control } = await bench.start(STAY);
    const streams: ShimConsole[] = [];
    for (let i = 0; i < 12; i++) streams.push(await control.attach());
    const one = await control.attach({ timeoutMs: 100 }).catch((error) => error);
    expect(hasCode(one, "vmm.shim_timeout")).toBe(true);
    expect((await control.hello()).starts).toBe(1);
    for (const stream of streams) stream.close();
  });
});
