// `banger cp`: files and trees between this host and guests, and from guest to guest, over the guest channel; paths by the rules of scp.
import { resolve } from "node:path";
import { copyBetween } from "../client/copy-between.ts";
import { type CopyLine, type CopyReport, openCopyLine } from "../client/copy-line.ts";
import { findDestination, receiveTree } from "../client/copy-receive.ts";
import { sendTree } from "../client/copy-send.ts";
import { openClientStream } from "../client/stream.ts";
import { EXIT, fail } from "../spec/errors.ts";
import { sanitize } from "../spec/sanitize.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";

/** `vm` null: a path of this host. */
export type Place = { vm: string | null; path: string };

/** scp(1): a colon before any slash makes a word remote; `./a:b` is a file here. */
export const parsePlace = (word: string): Place => {
  const found = /^([^/:]+):(.*)$/s.exec(word);
  return found ? { vm: found[1] as string, path: found[2] as string } : { vm: null, path: word };
};

type Tally = { files: number; bytes: number; resumedBytes: number; problems: string[] };

const invalid = (message: string) => fail("input.invalid", { issues: [{ path: "", message }], method: "vm.cp" });

const REDRAW_MS = 150;
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

/** Counts, tells what goes wrong, and draws one line where lines can be redrawn. */
const openReport = (session: Session, tally: Tally, isQuiet: boolean): { report: CopyReport; end: () => void } => {
  const { terminal } = session;
  const startedMs = performance.now();
  let file = { path: "", size: 0, done: 0 };
  let drawnMs = startedMs;
  let isDrawn = false;
  const clear = () => {
    if (isDrawn) terminal.err("\r\x1b[K");
    isDrawn = false;
  };
  const draw = () => {
    const now = performance.now();
    if (isQuiet || !terminal.canRedraw || now - drawnMs < REDRAW_MS) return;
    drawnMs = now;
    const percent = file.size > 0 ? ` ${Math.floor((file.done / file.size) * 100)}%` : "";
    const rate = `${mib(tally.bytes)}  ${mib(tally.bytes / ((now - startedMs) / 1000))}/s`;
    const path = sanitize(file.path).slice(-40);
    terminal.err(`\r\x1b[K${path}${percent}  ${rate}`);
    isDrawn = true;
  };
  return {
    report: {
      onFile: (path, size, resumed) => {
        tally.files += 1;
        tally.resumedBytes += resumed;
        file = { path, size, done: resumed };
        draw();
      },
      onBytes: (bytes) => {
        tally.bytes += bytes;
        file.done += bytes;
        draw();
      },
      onProblem: (text) => {
        clear();
        tally.problems.push(text);
        terminal.err(`banger: ${sanitize(text)}\n`);
      },
    },
    end: clear,
  };
};

type Open = { line: CopyLine; vm: string; abort: () => void };

const openRemote = async (
  session: Session,
  given: { vm: string; kind: string; user: string | null; fields: Record<string, string> },
): Promise<Open> => {
  const { vm, kind, user, fields } = given;
  const access = await session.client.call("vm.stream", { vm, kind });
  const stream = await openClientStream({
    socket: access.socket,
    vm: access.id,
    name: access.name,
    kind,
    fields: { ...fields, user: user ?? access.user },
  });
  return { line: openCopyLine(stream, access.name), vm: access.name, abort: stream.abort };
};

type Job = { from: Place; to: Place; isMany: boolean; user: string | null; report: CopyReport };

const copyOne = async (session: Session, job: Job): Promise<void> => {
  const { from, to, isMany, user, report } = job;
  const many = isMany ? "1" : "0";
  const opened: Open[] = [];
  const open = async (place: Place, kind: string, fields: Record<string, string>): Promise<Open> => {
    const one = await openRemote(session, { vm: place.vm ?? "", kind, user, fields: { ...fields, path: place.path } });
    opened.push(one);
    return one;
  };
  /** A path of this host keeps its final slash: it has a meaning. */
  const here = (path: string): string => `${resolve(session.cwd, path || ".")}${/(^|[^/])\/+$/.test(path) ? "/" : ""}`;
  try {
    if (from.vm !== null && to.vm !== null) {
      const source = await open(from, "copy.send", {});
      return await copyBetween(source, await open(to, "copy.receive", { many }), report);
    }
    if (to.vm !== null) {
      const target = await open(to, "copy.receive", { many });
      // Words like `.` say that the content is meant, and must reach the sender as they are.
      const path = from.path.startsWith("/") ? from.path : `${session.cwd}/${from.path}`;
      return await sendTree(target.line, { path, vm: target.vm, report });
    }
    const path = here(to.path);
    const destination = findDestination(path, isMany);
    const source = await open(from, "copy.send", {});
    await receiveTree(source.line, { destination, path, vm: source.vm, report });
  } finally {
    for (const { abort } of opened) abort();
  }
};

export const runCopy = async (session: Session, invocation: Invocation): Promise<number> => {
  const { rest, input, isJson, isQuiet } = invocation;
  const places = rest.map(parsePlace);
  const to = places.pop();
  if (to === undefined || places.length === 0) throw invalid("give what to copy and where to");
  if (to.vm === null && places.some(({ vm }) => vm === null))
    throw invalid("one side must be a VM, written NAME:PATH; cp copies on this host");
  const tally: Tally = { files: 0, bytes: 0, resumedBytes: 0, problems: [] };
  const { report, end } = openReport(session, tally, isQuiet || isJson);
  const user = typeof input.user === "string" ? input.user : null;
  try {
    for (const from of places) await copyOne(session, { from, to, isMany: places.length > 1, user, report });
  } finally {
    end();
  }
  if (isJson) printJson(session, tally);
  return tally.problems.length === 0 ? EXIT.ok : EXIT.failed;
};
