// The serial console through a shim: both ways, bounded, and never held up by a client.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { connect } from "node:net";
import { type Bench, memoryKiB, openBench, REBOOT, readUntil, textOf, until } from "./shim-bench.ts";

/** A busy machine takes its time for 100 MB; what is bounded here is memory. */
const FLOOD_MS = 45_000;

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

describe("console and logs", () => {
  test("what is typed reaches the guest and its answer every client", async () => {
    const { control } = await bench.start('while read line; do echo "got $line"; done');
    const [one, two] = [await control.attach(), await control.attach()];
    await one.write(Buffer.from("ping\n"));
    expect(await readUntil(one, "got ping")).toBe("got ping\n");
    expect(await readUntil(two, "got ping")).toBe("got ping\n");
    const late = await control.attach({ tailBytes: 5 });
    expect(await readUntil(late, "ping")).toBe("ping\n");
    for (const console of [one, two, late]) console.close();
  });

  test(
    "100 MB of console are drained, the logs stay bounded, the last word is heard, and the shim stays small",
    async () => {
      const { control, identity, plan } = await bench.start(
        "read go; head -c 100000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' e >&2; echo; echo flooded; read go; echo 'reboot: Power down'",
      );
      const exit = control.untilExit({ timeoutMs: 5000 });
      const first = await control.attach();
      await first.write(Buffer.from("\n"));
      await until("flooded", async () => (await textOf(plan.console)).endsWith("flooded\n"), FLOOD_MS);
      const memory = await memoryKiB(identity.shimPid);
      expect(memory.rss).toBeLessThanOrEqual(1024);
      const second = await control.attach();
      await second.write(Buffer.from("\n"));
      expect(await exit).toMatchObject({ cause: "poweroff" });
      for (const log of [plan.console, plan.vmmLog]) {
        const [now, older] = [(await stat(log)).size, (await stat(`${log}.1`)).size];
        expect(older).toBeLessThanOrEqual(32_768);
        expect(now).toBeLessThanOrEqual(32_768);
        expect(now + older).toBeGreaterThan(32_767);
      }
      expect(await textOf(plan.console)).toEndWith("flooded\nreboot: Power down\n");
    },
    2 * FLOOD_MS,
  );

  test("the times of what was written lie beside the log, and move with it", async () => {
    const beganMs = Date.now();
    const { control, plan } = await bench.start(
      "echo first; read go; head -c 40000 /dev/zero | tr '\\0' x; echo last; read go",
    );
    const console = await control.attach({ tailBytes: 10 });
    await readUntil(console, "first");
    const [atMs, offset] = (await textOf(`${plan.console}.times`)).trim().split(" ").map(Number);
    expect(offset).toBe(0);
    expect(atMs).toBeGreaterThanOrEqual(beganMs);
    expect(atMs).toBeLessThanOrEqual(Date.now());
    await console.write(Buffer.from("\n"));
    await until("last", async () => (await textOf(plan.console)).endsWith("last\n"));
    expect(await textOf(`${plan.console}.1.times`)).toStartWith(`${atMs} 0\n`);
    expect(await textOf(`${plan.console}.times`)).toMatch(/^\d+ 0\n/);
  });

  test("each start has a console log of its own, and the one before it is kept", async () => {
    const again = await bench.plan("echo second; exec sleep 1000");
    const { control, plan } = await bench.start(
      `head -c 50000 /dev/zero | tr '\\0' x; echo first; read go; ${REBOOT}`,
      {
        consolePrevious: bench.path("previous.log"),
        restartArgv: again.argv,
      },
    );
    const console = await control.attach({ tailBytes: 10 });
    await readUntil(console, "first");
    const second = await control.attach();
    await second.write(Buffer.from("\n"));
    await readUntil(second, "second");
    expect(await textOf(plan.console)).toBe("second\n");
    expect(await textOf(`${plan.console}.1`)).toBe("");
    expect(await textOf(bench.path("previous.log"))).toContain("first\n[   33.1] reboot: Restarting system");
    expect(await textOf(bench.path("previous.log.1"))).toBe("x".repeat(32_768));
  });

  test("a client that never reads is dropped and holds up neither guest nor other clients", async () => {
    const { control, plan } = await bench.start(
      "read go; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo flooded; exec sleep 1000",
    );
    const slow = connect(plan.control);
    slow.pause();
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    slow.write("attach\n");
    await until("attached", () => slow.bytesWritten === 7);
    await control.hello();
    const typist = await control.attach();
    await typist.write(Buffer.from("\n"));
    await until("flooded", async () => (await textOf(plan.console)).endsWith("flooded\n"));
    slow.on("close", () => resolve());
    slow.resume();
    await closed;
    expect(slow.bytesRead).toBeLessThan(3_000_000);
    expect((await control.hello()).starts).toBe(1);
  });

  test("a guest that reads nothing blocks nobody: input waits, output and requests go on", async () => {
    const { control, plan } = await bench.start("echo up; exec sleep 1000");
    const typist = connect(plan.control);
    typist.on("error", () => {});
    typist.write("attach\n");
    typist.write(Buffer.alloc(2_000_000, "k"));
    for (let i = 0; i < 20; i++) expect((await control.hello()).starts).toBe(1);
    expect(await readUntil(await control.attach({ tailBytes: 100 }), "up")).toBe("up\n");
    typist.destroy();
    await until("still answers", async () => (await control.hello()).starts === 1);
  });
});
