// What the real helper tells of listeners and processes: true of this machine, and told as it changes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { type GuestListener, readListeners, readStatus, watchListeners } from "../../src/guest/reports.ts";
import { buildProblem, type RealHelper, startRealHelper, until } from "./real-helper.ts";

const problem = buildProblem();

describe.skipIf(problem !== null)(`reports${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  let helper: RealHelper;
  let channel: GuestChannel;

  beforeAll(async () => {
    helper = await startRealHelper();
    channel = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: "web" });
    await channel.ready({ timeoutMs: 30_000 });
    // The helper is compiled first, and a machine may be busy.
  }, 60_000);
  afterAll(async () => {
    channel?.close();
    await helper?.stop();
  });

  test("a listener is told with its address, its process and its name", async () => {
    const four = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const six = Bun.listen({ hostname: "::1", port: 0, socket: { data: () => undefined } });
    const listeners = await readListeners(channel, { vm: "web", timeoutMs: 5_000 });
    expect(listeners.find(({ port }) => port === four.port)).toMatchObject({
      protocol: "tcp",
      address: "127.0.0.1",
      pid: process.pid,
      uid: process.getuid?.() ?? 0,
    });
    expect(listeners.find(({ port }) => port === six.port)).toMatchObject({
      protocol: "tcp6",
      address: "::1",
      pid: process.pid,
      name: readFileSync("/proc/self/comm", "utf8").trim(),
    });
    four.stop();
    six.stop();
  });

  test("who watches is told when one begins and when it ends", async () => {
    const watching = new AbortController();
    let seen: readonly GuestListener[] | null = null;
    const watch = watchListeners(channel, {
      vm: "web",
      signal: watching.signal,
      onChange: (listeners) => {
        seen = listeners;
      },
    });
    await until("the first word", () => seen !== null);
    const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const has = () => seen?.some(({ port }) => port === server.port) === true;
    await until("it is told", has);
    server.stop();
    await until("its end is told", () => !has());
    watching.abort();
    await watch;
  }, 15_000);

  test("memory, disk, load and what has long been running are told", async () => {
    const child = Bun.spawn(["sleep", "70"]);
    const status = await readStatus(channel, { vm: "web", timeoutMs: 5_000, minAgeSeconds: 0 });
    child.kill();
    expect(status.memoryMiB).toBeGreaterThan(100);
    expect(status.memoryAvailableMiB).toBeLessThanOrEqual(status.memoryMiB);
    expect(status.diskMiB).toBeGreaterThan(status.diskFreeMiB);
    expect(status.uptimeSeconds).toBeGreaterThan(0);
    expect(status.processes.length).toBeGreaterThan(0);
    expect(status.processes.length).toBeLessThanOrEqual(64);
  });
});
