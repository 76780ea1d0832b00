// `banger bundle …`: what the runtime bundle has, fetching what it lacks, and programs of the user's own; works without a daemon.
import { EXIT, fail } from "../spec/errors.ts";
import { formatMiB, formatSeconds } from "./format.ts";
import { watchInterrupt } from "./interrupt.ts";
import { paintFor } from "./paint.ts";
import { printJson } from "./run-method.ts";
import type { BundleEvent, BundleFile, Invocation, Session } from "./session.ts";
import { renderTable } from "./table.ts";

type Runner = (session: Session, invocation: Invocation) => Promise<number>;

const formatBytes = (bytes: number): string => formatMiB(bytes / (1024 * 1024));

const isBad = ({ state, isOptional }: BundleFile): boolean => state !== "ok" && !(state === "missing" && isOptional);

const stateOf = (file: BundleFile, own: string | null): string =>
  own !== null ? `your own ${own}` : file.state === "missing" && file.isOptional ? "not there (optional)" : file.state;

const renderFiles = async (session: Session, files: readonly BundleFile[]): Promise<string> => {
  const bundle = await session.openBundle();
  const rows = await Promise.all(
    files.map(async (file) => {
      const own = await bundle.own(file.name);
      const size = file.sizeBytes === null ? "-" : formatBytes(file.sizeBytes);
      return [file.name, own?.version ?? file.version ?? "-", stateOf(file, own?.path ?? null), size, file.summary];
    }),
  );
  const paint = paintFor(session.terminal.hasOutColor);
  return renderTable({ header: ["NAME", "VERSION", "STATE", "SIZE", "WHAT IT IS"], rows, paint });
};

export const runBundleList: Runner = async (session, { isJson }) => {
  const bundle = await session.openBundle();
  const files = await bundle.list({ isDeep: false });
  if (isJson) {
    const own = await Promise.all(files.map(({ name }) => bundle.own(name)));
    printJson(session, {
      ...bundle.place,
      artifacts: files.map((file, index) => ({ ...file, own: own[index] ?? null })),
    });
  } else session.terminal.out(await renderFiles(session, files));
  return EXIT.ok;
};

/** Files that are wrong each with its own reason, those that are not there in one sentence. What makes most of them is told first. */
const incomplete = (directory: string, bad: readonly BundleFile[]): Error => {
  const missing = bad.filter(({ state }) => state === "missing").map(({ name }) => name);
  const wrong = bad.filter(({ state }) => state !== "missing").map(({ name, detail }) => `${name}: ${detail}.`);
  const count = (wanted: string) => bad.filter(({ repair }) => repair === wanted).length;
  const [repair = ""] = bad.map((file) => file.repair).sort((one, other) => count(other) - count(one));
  const details = [...wrong, ...(missing.length > 0 ? [`Not there: ${missing.join(", ")}.`] : [])];
  return fail("bundle.incomplete", {
    directory,
    failed: details.map((detail) => ({ artifact: bad[0]?.name ?? "", detail, repair })),
  });
};

export const runBundleVerify: Runner = async (session, { input, isJson }) => {
  const bundle = await session.openBundle();
  const files = await bundle.list({ isDeep: input.deep === true });
  const bad = files.filter(isBad);
  if (isJson) printJson(session, { ...bundle.place, ok: bad.length === 0, artifacts: files });
  if (bad.length > 0 && isJson) return EXIT.host;
  if (bad.length > 0) throw incomplete(bundle.place.directory, bad);
  if (!isJson) session.terminal.out(`The bundle in ${bundle.place.directory} is whole.\n`);
  return EXIT.ok;
};

export const runBundlePath: Runner = async (session, { isJson }) => {
  const { place } = await session.openBundle();
  if (isJson) printJson(session, place);
  else {
    session.terminal.out(`${place.directory}\n`);
    session.terminal.err(`${paintFor(session.terminal.hasErrColor).faint(place.reason)}\n`);
  }
  return EXIT.ok;
};

/** How much is there, how quickly it comes and how long it still takes. */
export const describeDownload = (event: Extract<BundleEvent, { kind: "progress" }>): string => {
  const { doneBytes, totalBytes, bytesPerSecond } = event.progress;
  const rate = `${formatBytes(bytesPerSecond)}/s`;
  if (totalBytes === null) return `${event.artifact}: ${formatBytes(doneBytes)}, ${rate}`;
  const left = bytesPerSecond > 0 ? formatSeconds((totalBytes - doneBytes) / bytesPerSecond) : "?";
  return `${event.artifact}: ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}, ${rate}, ${left} left`;
};

const REDRAW_MS = 120;
const LINE_MS = 5000;

/** On a terminal one line that is redrawn, elsewhere a line every few seconds. */
const tellFetch = ({ terminal }: Session) => {
  let lastMs = Number.NEGATIVE_INFINITY;
  const clear = terminal.canRedraw ? "\r\x1b[K" : "";
  return (event: BundleEvent): void => {
    if (event.kind === "waiting") terminal.err(`${clear}another banger fetches already: waiting for it\n`);
    else if (event.kind === "done") {
      const words = event.outcome === "present" ? "is there already" : `fetched from ${event.from}`;
      terminal.err(`${clear}${event.artifact}: ${words}\n`);
    } else if (performance.now() - lastMs >= (terminal.canRedraw ? REDRAW_MS : LINE_MS)) {
      lastMs = performance.now();
      terminal.err(`${clear}${describeDownload(event)}${terminal.canRedraw ? "" : "\n"}`);
    }
  };
};

/** A directory as an absolute path, an address as it is. */
const placeOf = (from: unknown, cwd: string): string | null => {
  if (typeof from !== "string" || from === "") return null;
  if (/^https?:\/\//.test(from)) return from;
  return from.startsWith("/") ? from : `${cwd}/${from}`;
};

export const runBundleFetch: Runner = async (session, { input, rest, isJson }) => {
  const bundle = await session.openBundle();
  const tell = tellFetch(session);
  const interrupt = watchInterrupt(() => {}, { isCancellable: true });
  try {
    const files = await bundle.fetch(rest, {
      from: placeOf(input.from, session.cwd),
      signal: interrupt.signal,
      onEvent: (event) => {
        if (!isJson) tell(event);
      },
    });
    if (isJson) printJson(session, { ...bundle.place, artifacts: files });
    return EXIT.ok;
  } catch (error) {
    if (interrupt.isInterrupted()) return EXIT.interrupted;
    throw error;
  } finally {
    interrupt.end();
  }
};

export const runBundlePackage: Runner = async (session, { input, isJson }) => {
  const bundle = await session.openBundle();
  const files = await bundle.list({ isDeep: false });
  if (files.every(({ state }) => state === "missing")) throw incomplete(bundle.place.directory, files.filter(isBad));
  const packed = await bundle.pack(String(input.file));
  if (isJson) printJson(session, packed);
  else session.terminal.out(`${packed.sha256}  ${packed.path}\n`);
  return EXIT.ok;
};

export const runBundleUse: Runner = async (session, { input, isJson }) => {
  const bundle = await session.openBundle();
  const name = String(input.program);
  const own = await bundle.use(name, typeof input.path === "string" ? input.path : null);
  if (isJson) printJson(session, { program: name, own });
  else if (own) session.terminal.out(`${name}: your own ${own.path}, version ${own.version}, SHA-256 ${own.sha256}\n`);
  else session.terminal.out(`${name}: the bundle's again\n`);
  return EXIT.ok;
};
