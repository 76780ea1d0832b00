// The daemon's log as it is printed: every line of it whole, over the places where it is read in pieces and where the daemon begins a new file.
import { afterEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { runDaemonLogs } from "../../src/cli/run-daemon.ts";
import type { Invocation, Session } from "../../src/cli/session.ts";
import { EXIT } from "../../src/spec/errors.ts";
import { until } from "../vm/processes.ts";

const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true });
});

const open = () => {
  const dir = mkdtempSync("/tmp/bgr-log-");
  dirs.push(dir);
  const path = `${dir}/bangerd.log`;
  let out = "";
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: () => {},
  };
  const session = { terminal, paths: () => ({ daemonLog: path }) } as unknown as Session;
  const print = (input: Record<string, unknown>) =>
    runDaemonLogs(session, { input, isJson: true } as unknown as Invocation);
  return {
    path,
    print,
    messages: () =>
      out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).message as string),
  };
};

const line = (message: string) => `${JSON.stringify({ level: "info", message })}\n`;

test("letters of several bytes come as they are, wherever the log is cut for reading", async () => {
  const { path, print, messages } = open();
  const written = Array.from({ length: 2000 }, (_, at) => `${"ä€😀".repeat(30)} ${at}`);
  writeFileSync(path, written.map(line).join(""));
  expect(await print({})).toBe(EXIT.ok);
  expect(messages()).toEqual(written);
});

test("whoever follows gets the last lines of a file that was moved aside, and then those of the new one", async () => {
  const { path, print, messages } = open();
  writeFileSync(path, line("one"));
  const following = print({ follow: true });
  appendFileSync(path, line("two"));
  renameSync(path, `${path}.1`);
  writeFileSync(path, line("three"));
  await until("the new file is printed", async () => messages().includes("three"));
  process.emit("SIGINT");
  expect(await following).toBe(EXIT.interrupted);
  expect(messages()).toEqual(["one", "two", "three"]);
});
