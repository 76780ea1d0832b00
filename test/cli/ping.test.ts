// `vm ping --watch`: a line for each answer and for each silence, until Ctrl-C, and a summary.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { addRoundTrip, noRoundTrips, summarizePings } from "../../src/cli/run-ping.ts";
import { fail } from "../../src/spec/errors.ts";
import { type FakeDaemon, startFakeDaemon } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";

let daemon: FakeDaemon;
beforeAll(() => {
  daemon = startFakeDaemon();
});
afterAll(() => daemon.close());

test("it goes on past a silence, ends with Ctrl-C, and the last answer decides the exit code", async () => {
  let asked = 0;
  daemon.handlers["vm.ping"] = () => {
    asked += 1;
    if (asked === 1) throw fail("guest.silent", { vm: "web", waitedMs: 3000 });
    if (asked === 3) {
      process.emit("SIGINT");
      return new Promise<never>(() => {});
    }
    return { name: "web", roundTripMs: 0.4, helperVersion: "1", uptimeSeconds: 61, clockSkewMs: -5300 };
  };
  const { exitCode, out, err } = await runLine(daemon, ["vm", "ping", "--watch", "web"]);
  expect(out.split("\n")).toEqual([
    "web runs and takes connections, but its guest helper did not answer within 3.0 s.",
    "web answered in 0.4 ms; up 1m1s, clock 5.3 s behind, helper 1",
    "",
  ]);
  expect([exitCode, err]).toEqual([0, "asked 2 times, answered 1: least 0.4 ms, mean 0.4 ms, most 0.4 ms\n"]);
});

test("a VM that is not there ends it at once", async () => {
  daemon.handlers["vm.ping"] = () => {
    throw fail("vm.not_found", { vm: "nope" });
  };
  expect((await runLine(daemon, ["ping", "-w", "nope"])).exitCode).toBe(3);
});

test("a summary of nothing but silence says so", () => {
  expect(summarizePings(3, noRoundTrips)).toBe("asked 3 times, never answered");
  expect(summarizePings(3, [2, 40].reduce(addRoundTrip, noRoundTrips))).toBe(
    "asked 3 times, answered 2: least 2.0 ms, mean 21 ms, most 40 ms",
  );
});

test("weeks of answers are summed up too", () => {
  let roundTrips = noRoundTrips;
  for (let second = 0; second < 1_500_000; second += 1) roundTrips = addRoundTrip(roundTrips, 1 + (second % 3));
  expect(summarizePings(1_500_000, roundTrips)).toBe(
    "asked 1500000 times, answered 1500000: least 1.0 ms, mean 2.0 ms, most 3.0 ms",
  );
});
