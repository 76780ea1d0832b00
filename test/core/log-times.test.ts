// Claims about finding a moment in a console log.
import { expect, test } from "bun:test";
import { offsetSince } from "../../src/core/log-times.ts";

const times = "1000000 0\n1001000 500\n1005000 900\n2000000 4000\n";

test("a log without times is shown whole", () => {
  expect(offsetSince("", 5)).toBe(0);
  expect(offsetSince("garbage\n12 x\n", 5)).toBe(0);
});

test("a moment before the first byte shows everything", () => {
  expect(offsetSince(times, 999_999)).toBe(0);
});

test("a moment between two entries shows what may be as young", () => {
  expect(offsetSince(times, 1_001_500)).toBe(500);
  expect(offsetSince(times, 1_005_000)).toBe(500);
});

test("what is surely older than the moment is left out", () => {
  expect(offsetSince(times, 1_500_000)).toBe(4000);
});

test("a log that has long been silent shows nothing", () => {
  expect(offsetSince(times, 3_000_000)).toBe(Number.POSITIVE_INFINITY);
});
