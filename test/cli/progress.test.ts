// What a long command shows: notes wait until it takes long, a line that the user's own program printed is shown whole and at once.
import { expect, test } from "bun:test";
import { openProgress } from "../../src/cli/progress.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import type { ProgressEvent } from "../../src/spec/events.ts";

const events: readonly ProgressEvent[] = [
  { kind: "step", operation: "image.build", step: "vm.provision", phase: "begin", ms: null },
  { kind: "note", text: "of no weight yet" },
  { kind: "note", text: `${"long ".repeat(40)}end\u001b[31m\r`, isOutput: true },
  { kind: "note", text: "  second", isOutput: true },
];

const show = (options: { canRedraw: boolean; isSilent?: boolean }): string => {
  const said: string[] = [];
  const terminal = { canRedraw: options.canRedraw, err: (text: string) => void said.push(text) } as Terminal;
  const progress = openProgress({ terminal, isSilent: options.isSilent ?? false, clock: () => 0 });
  for (const event of events) progress.on("", event);
  progress.end();
  return said.join("");
};

test.each([true, false])(
  "output is shown line by line, without what could harm a terminal (redrawn: %p)",
  (canRedraw) => {
    const shown = show({ canRedraw });
    expect(shown.split("\n")).toEqual([expect.stringMatching(/^(long ){40}end/), "  second", ""]);
    expect(shown).not.toContain("\u001b");
    expect(shown).not.toContain("of no weight");
  },
);

test("where JSON is wanted nothing is shown", () => {
  expect(show({ canRedraw: false, isSilent: true })).toBe("");
});
