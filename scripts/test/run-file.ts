// Runs one test file in a process group of its own, within its bound, and counts what it did.
import { readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Group } from "./groups.ts";
import { type FileCounts, parseJunit } from "./junit.ts";

export type FileResult = FileCounts & { file: string; seconds: number; output: string; problem: string | null };

export type RunOptions = {
  root: string;
  group: Group;
  env: Readonly<Record<string, string | undefined>>;
  /** Where reports go for the moment. */
  directory: string;
};

const running = new Set<number>();

const killGroup = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-pid, signal);
  } catch {}
};

/** For the moment when the whole suite is told to stop. */
export const killRunningFiles = (): void => {
  for (const pid of running) killGroup(pid, "SIGKILL");
};

const readCounts = (report: string): FileCounts | null => {
  try {
    return parseJunit(readFileSync(report, "utf8"));
  } catch {
    return null;
  } finally {
    rmSync(report, { force: true });
  }
};

export const runTestFile = async (file: string, options: RunOptions): Promise<FileResult> => {
  const { root, group, env, directory } = options;
  const report = join(directory, `${file.replaceAll("/", "-")}.xml`);
  const started = performance.now();
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      `./${file}`,
      `--timeout=${group.testTimeoutMs}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ],
    {
      cwd: root,
      env: { ...env },
      stdin: "ignore",
      stdout: group.isStreamed ? "inherit" : "pipe",
      stderr: group.isStreamed ? "inherit" : "pipe",
      detached: true,
    },
  );
  running.add(child.pid);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    killGroup(child.pid, "SIGKILL");
  }, group.fileTimeoutMs);
  const said: string[] = [];
  const read = async (stream: ReadableStream<Uint8Array> | undefined) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream ?? []) said.push(decoder.decode(chunk, { stream: true }));
  };
  // A process that the file left behind may hold the pipes open for ever, so the end of the file is what counts.
  const whole = Promise.all([read(child.stdout as never), read(child.stderr as never)]);
  await child.exited;
  clearTimeout(timer);
  await Promise.race([whole, Bun.sleep(2000)]);
  const output = said.join("");
  killGroup(child.pid, "SIGKILL");
  running.delete(child.pid);
  const reported = readCounts(report);
  const counts = reported ?? { passed: 0, failed: 0, skipped: [] };
  const problem = isLate
    ? `${basename(file)} did not end within ${group.fileTimeoutMs / 1000} s`
    : child.exitCode !== 0 && counts.failed === 0
      ? `${basename(file)} ended with ${child.signalCode ?? `exit code ${child.exitCode}`} outside of its tests`
      : // The report comes last: without it some test, or what it called, ended the process.
        reported === null
        ? `${basename(file)} ended before its tests had, with exit code ${child.exitCode}`
        : null;
  return {
    ...counts,
    failed: counts.failed + (problem ? 1 : 0),
    file,
    seconds: (performance.now() - started) / 1000,
    output,
    problem,
  };
};
