// What the table of legal moves promises: no state is a trap, and nothing that could leave a process behind is a shortcut.
import { expect, test } from "bun:test";
import { isLegalMove, isTransitional, legalMoves } from "../../src/core/vm-state.ts";
import { VmState } from "../../src/spec/vm.ts";

const states = VmState.options;

test("every state but creating can be reached, and from every state a VM can come to be deleted", () => {
  const reachableFrom = (start: VmState): Set<VmState> => {
    const seen = new Set<VmState>([start]);
    for (const state of seen) for (const next of legalMoves(state)) seen.add(next);
    return seen;
  };
  expect([...reachableFrom("creating")].sort()).toEqual([...states].sort());
  for (const state of states) expect([state, reachableFrom(state).has("deleting")]).toEqual([state, true]);
});

test("a VM that may have a process is never deleted, started or created again directly", () => {
  for (const state of ["starting", "running", "stopping", "paused"] as const) {
    expect(isLegalMove(state, "deleting")).toBe(false);
    expect(isLegalMove(state, "creating")).toBe(false);
  }
  for (const state of ["running", "paused", "stopping"] as const) expect(isLegalMove(state, "starting")).toBe(false);
});

test("only a stopped or suspended VM starts, and every transition can end in error", () => {
  expect(states.filter((state) => state !== "starting" && isLegalMove(state, "starting"))).toEqual([
    "stopped",
    "suspended",
  ]);
  for (const state of states) expect([state, isLegalMove(state, "error")]).toEqual([state, true]);
  expect(states.filter(isTransitional)).toEqual(["creating", "starting", "stopping", "deleting"]);
});

test("staying is always legal", () => {
  for (const state of states) expect(isLegalMove(state, state)).toBe(true);
});
