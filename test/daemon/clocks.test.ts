// Guests' clocks: set after the host has slept, and only then; what cannot be set is said and keeps no other from it.
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClockKeeper } from "../../src/daemon/clocks.ts";
import { MOVE_CLOCK } from "../../src/guest/clock.ts";
import { readAsleepMs } from "../../src/host/sleep.ts";
import { EXEC } from "../../src/spec/guest/exec.ts";
import { renderMessage } from "../../src/spec/guest/messages.ts";

/** A guest of which only the clock is there; setting it takes `lagMs`. */
const guest = (given: { skewMs: number; lagMs?: number; canSet?: boolean }) => {
  const state = { skewMs: given.skewMs, sets: 0 };
  const channel = {
    ping: async () => ({ clockSkewMs: state.skewMs, roundTripMs: 1, uptimeMs: 1 }),
    open: async (_: string, fields: Record<string, string>) => {
      state.sets += 1;
      const isDone = given.canSet !== false;
      if (isDone) state.skewMs += Number(fields["arg.4"]) / 1e6 - (given.lagMs ?? 0);
      const exit = renderMessage(EXEC.exit, Uint8Array.of(isDone ? 0 : 1));
      const said = renderMessage(EXEC.stderr, Buffer.from("date: \x1b[31mno\n"));
      return {
        readable: new ReadableStream<Uint8Array>({
          start: (controller) => {
            controller.enqueue(said);
            controller.enqueue(exit);
            controller.close();
          },
        }),
        abort: () => {},
      };
    },
  };
  return { state, live: { channel } };
};

const keep = (guests: Record<string, ReturnType<typeof guest>>) => {
  const host = { asleepMs: 5_000 };
  const notes: string[] = [];
  const warnings: unknown[] = [];
  const context = {
    live: new Map(Object.entries(guests).map(([id, { live }]) => [id, live])),
    store: { vms: { get: (id: string) => ({ spec: { name: id } }) } },
    log: { info: () => {}, warn: (_: string, fields: unknown) => void warnings.push(fields), error: () => {} },
    bus: { publish: (event: { text: string }) => void notes.push(event.text) },
    now: () => new Date(0),
  };
  const keeper = createClockKeeper({ asleepMs: () => host.asleepMs, context: () => context as never });
  return { keeper, host, notes, warnings };
};

describe("guests' clocks", () => {
  test("are left alone while the host is awake, however far they are off", async () => {
    const web = guest({ skewMs: -90_000 });
    const { keeper, host } = keep({ web });
    host.asleepMs += 400;
    await keeper.look();
    expect([web.state.sets, keeper.reading("web")]).toEqual([0, null]);
  });

  test("are set after the host has slept, but those that are right already", async () => {
    const guests = { web: guest({ skewMs: -7_200_000, lagMs: 60 }), db: guest({ skewMs: 3 }) };
    const { keeper, host, notes } = keep(guests);
    host.asleepMs += 7_200_000;
    await keeper.look();
    expect(Math.abs(guests.web.state.skewMs)).toBeLessThanOrEqual(20);
    expect(guests.db.state.sets).toBe(0);
    expect(keeper.reading("web")).toMatchObject({ correctedAt: new Date(0).toISOString() });
    expect(keeper.reading("db")).toMatchObject({ skewMs: 3, correctedAt: null });
    expect(notes).toEqual(["the host slept for 7200 s; the clocks of web were set"]);
    // Once is enough.
    const { sets } = guests.web.state;
    await keeper.look();
    expect(guests.web.state.sets).toBe(sets);
  });

  test("one that cannot be set is said, and the others are set", async () => {
    const guests = { web: guest({ skewMs: -7_200_000, canSet: false }), db: guest({ skewMs: -7_200_000 }) };
    const { keeper, host, warnings, notes } = keep(guests);
    host.asleepMs += 7_200_000;
    await keeper.look();
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(warnings)).not.toContain("\\u001b");
    expect(notes[0]).toContain("the clocks of db were set");
  });

  test("a host that did not sleep says so by two clocks that go alike", () => {
    const first = readAsleepMs();
    expect(first).toBeGreaterThanOrEqual(-1);
    expect(Math.abs(readAsleepMs() - first)).toBeLessThan(500);
  });

  test("the guest moves its clock by what it is told, to the nanosecond and past a second", () => {
    const dir = mkdtempSync(join(tmpdir(), "bgr-date-"));
    const path = join(dir, "date");
    writeFileSync(path, '#!/bin/sh\ncase $1 in +*) echo 1700000000999999999 ;; *) echo "$2" ;; esac\n');
    chmodSync(path, 0o755);
    const moved = (byNs: number) =>
      String(
        Bun.spawnSync(["/bin/sh", "-c", MOVE_CLOCK, "sh", String(byNs)], {
          env: { PATH: `${dir}:${process.env.PATH}` },
        }).stdout,
      ).trim();
    expect([moved(2), moved(-999_999_999), moved(-3_600_000_000_000)]).toEqual([
      "@1700000001.000000001",
      "@1700000000.000000000",
      "@1699996400.999999999",
    ]);
    rmSync(dir, { recursive: true });
  });
});
