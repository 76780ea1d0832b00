// `vm logs -f`: every line once and in its order, however slow the reader is and however the shim's replay comes.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { followLog } from "../../src/daemon/follow-log.ts";
import { createFiles } from "../../src/host/files.ts";
import type { ShimControl } from "../../src/host/shim.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync("/tmp/bgr-log-");
  path = `${dir}/console.log`;
});
afterEach(() => rmSync(dir, { recursive: true }));

const lineOf = (number: number): string => `line ${String(number).padStart(6, "0")} of what a guest says`;
const linesOf = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => lineOf(from + index));
const textOf = (from: number, to: number): string =>
  linesOf(from, to)
    .map((line) => `${line}\n`)
    .join("");

/** A console of which the last 64 KiB are replayed as it is attached, in parts, and which then says some lines more. */
const shimOf = (written: () => string, live: string, partBytes: number): ShimControl =>
  ({
    attach: async ({ tailBytes = 0 } = {}) => {
      const replay = Buffer.from(written()).subarray(-tailBytes);
      async function* output() {
        for (let at = 0; at < replay.length; at += partBytes) yield replay.subarray(at, at + partBytes);
        yield Buffer.from(live);
      }
      return { output: output(), write: async () => {}, close: () => {} };
    },
  }) as Partial<ShimControl> as ShimControl;

const follow = async (
  shim: ShimControl,
  {
    onRoom = (_turn: number): unknown => null,
    onLine = (_line: string): unknown => null,
    signal = new AbortController().signal,
    tailLines = null as number | null,
  } = {},
) => {
  const said: string[] = [];
  let turn = 0;
  const request = {
    path,
    isPrevious: false,
    tailLines,
    sinceMs: null,
    shim,
    signal,
    files: createFiles({ roots: [] }),
  };
  const count = await followLog(request, {
    emit: (text) => {
      said.push(text);
      onLine(text);
    },
    untilRoom: async () => {
      onRoom(turn);
      turn += 1;
    },
  });
  expect(count).toBe(said.length);
  return said;
};

/** All that the guest has said, the half that was moved aside too. */
const whole = (): string => readFileSync(path, "utf8");

for (const partBytes of [100_000, 40_000, 4096, 999])
  test(`a replay in parts of ${partBytes} bytes repeats nothing of the file`, async () => {
    writeFileSync(path, textOf(0, 3000));
    const shim = shimOf(() => whole() + textOf(3000, 3010), textOf(3010, 3020), partBytes);
    expect(await follow(shim)).toEqual(linesOf(0, 3020));
    expect(await follow(shim, { tailLines: 5 })).toEqual(linesOf(2995, 3020));
  });

test("what is written while a slow reader takes the file is told too, though the shim can replay none of its beginning", async () => {
  writeFileSync(path, textOf(0, 3000));
  const shim = shimOf(() => whole() + textOf(20_000, 20_005), textOf(20_005, 20_010), 4096);
  const onRoom = (turn: number) => {
    if (turn === 2) appendFileSync(path, `${textOf(3000, 13_000)}${lineOf(13_000).slice(0, 9)}`);
    if (turn === 8) appendFileSync(path, `${lineOf(13_000).slice(9)}\n${textOf(13_001, 20_000)}`);
  };
  expect(await follow(shim, { onRoom })).toEqual(linesOf(0, 20_010));
});

test("a file that is moved aside meanwhile is followed", async () => {
  writeFileSync(path, textOf(0, 3000));
  const shim = shimOf(() => whole(), textOf(9000, 9005), 4096);
  const onRoom = (turn: number) => {
    if (turn !== 1) return;
    appendFileSync(path, textOf(3000, 6000));
    renameSync(path, `${path}.1`);
    writeFileSync(path, textOf(6000, 9000));
  };
  expect(await follow(shim, { onRoom })).toEqual(linesOf(0, 9005));
});

test("a console that replays less than the file has is shown after a moment", async () => {
  writeFileSync(path, textOf(0, 10));
  const isClosed = Promise.withResolvers<void>();
  async function* output() {
    yield Buffer.from(textOf(10, 11));
    await isClosed.promise;
  }
  const attach = async () => ({ output: output(), write: async () => {}, close: () => isClosed.resolve() });
  const leave = new AbortController();
  const onLine = (line: string) => line === lineOf(10) && leave.abort();
  const shim = { attach } as Partial<ShimControl> as ShimControl;
  expect(await follow(shim, { onLine, signal: leave.signal })).toEqual(linesOf(0, 11));
});

test("a reader who goes away while the file is told ends it", async () => {
  const leave = new AbortController();
  writeFileSync(path, textOf(0, 3000));
  const onRoom = (turn: number) => turn === 1 && leave.abort();
  expect(
    await follow(
      shimOf(() => whole(), "", 4096),
      { onRoom, signal: leave.signal },
    ),
  ).toEqual(linesOf(0, 1000));
});
