// What it means that a guest's helper does not answer, and what is said of guests' clocks.
import { describe, expect, test } from "bun:test";
import { clockReadings } from "../../src/core/clock-readings.ts";
import { decideSilence, type SilenceFacts } from "../../src/core/decide-silence.ts";

const facts = (over: Partial<SilenceFacts>): SilenceFacts => ({
  isStarting: false,
  hasSpoken: true,
  upMs: 600_000,
  readyMs: 120_000,
  isReached: true,
  isVmmStopped: false,
  ...over,
});

describe("a helper that does not answer", () => {
  test("boots as long as it never spoke and a boot may take so long", () => {
    expect(decideSilence(facts({ hasSpoken: false, isStarting: true, isReached: false }))).toBe("booting");
    // An early sshd takes connections before the helper speaks.
    expect(decideSilence(facts({ hasSpoken: false, upMs: 5_000 }))).toBe("booting");
    expect(decideSilence(facts({ hasSpoken: false, upMs: null, isReached: false }))).toBe("booting");
  });

  test("is silent alone where the guest's kernel takes a connection", () => {
    expect(decideSilence(facts({}))).toBe("silent");
    expect(decideSilence(facts({ hasSpoken: false }))).toBe("silent");
  });

  test("is frozen with its guest where nothing answers, and where its VMM is stopped", () => {
    expect(decideSilence(facts({ isReached: false }))).toBe("frozen");
    expect(decideSilence(facts({ hasSpoken: false, isReached: false }))).toBe("frozen");
    expect(decideSilence(facts({ isVmmStopped: true, isStarting: true }))).toBe("frozen");
  });
});

test("clocks are judged where they were measured, and one that is off has a fix", () => {
  const clock = (skewMs: number) => ({ skewMs, measuredAt: "2026-11-22T10:00:00.000Z", correctedAt: null });
  const found = clockReadings([
    { name: "web", state: "running", clock: clock(-5_300) },
    { name: "db", state: "running", clock: clock(12) },
    { name: "new", state: "running", clock: null },
    { name: "old", state: "stopped", clock: clock(-9_000_000) },
  ]);
  expect(found.map(({ sentence, isOff, fix }) => [sentence, isOff, fix])).toEqual([
    ["the clock of web is 5.3 s behind", true, "banger vm clock web"],
    ["the clock of db is 12 ms ahead", false, null],
  ]);
});
