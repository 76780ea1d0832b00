// After a shell on a real terminal: what is said, what one key does, and that the exit code stays the shell's.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type FakeDaemon, startFakeDaemon, vm } from "./fake-daemon.ts";

const main = resolve(import.meta.dir, "../../src/main.ts");
const TIMEOUT_MS = 60_000;
let daemon: FakeDaemon;
let reminder: unknown;

beforeAll(() => {
  daemon = startFakeDaemon({
    "vm.access": () => ({
      id: "0123456789ab",
      name: "web",
      user: "ada",
      address: "10.77.5.2",
      port: 22,
      keyPath: "/k",
      knownHostsPath: "/h",
      hostKeyAlias: "a",
      home: "/home/ada",
    }),
    "config.get": () => ({ key: "ssh.reminder", value: reminder, source: "file", description: "" }) as never,
    "vm.activity": () => ({
      id: "0123456789ab",
      name: "web",
      fqdn: "web.vm",
      state: "running",
      address: "10.77.5.2",
      sessions: [],
      jobs: [],
      listeners: [{ address: "0.0.0.0", port: 3000, name: "node" }],
      memoryMiB: 300,
      diskUsedMiB: 1331,
    }),
    "vm.stop": () => ({ ...vm({ state: "stopped" }), changed: true }),
  });
  mkdirSync(join(daemon.dir, "bin"));
  // A shell that is left at once.
  writeFileSync(join(daemon.dir, "bin/ssh"), "#!/bin/sh\nexit 3\n");
  chmodSync(join(daemon.dir, "bin/ssh"), 0o755);
});
afterAll(() => daemon.close());
beforeEach(() => {
  daemon.calls.length = 0;
});

const envOf = () => ({ ...daemon.env, PATH: `${daemon.dir}/bin:${process.env.PATH}` });

/** `banger ssh …` on a terminal; `key` is pressed at the question. */
const leave = async (words: readonly string[], key = ""): Promise<{ code: number; shown: string }> => {
  let shown = "";
  let isPressed = false;
  const child = Bun.spawn([process.execPath, main, "ssh", ...words], {
    env: envOf(),
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
    terminal: {
      cols: 120,
      rows: 40,
      data: (terminal, bytes) => {
        shown += Buffer.from(bytes).toString();
        if (isPressed || !shown.includes("stop it (s)?")) return;
        isPressed = true;
        terminal.write(key);
      },
    },
  });
  const code = await child.exited;
  child.terminal?.close();
  return { code, shown };
};

/** A machine too busy to ask within 300 ms says nothing; so it is tried again. */
const leaveUntilSaid = async (words: readonly string[], key = "") => {
  for (let count = 0; count < 20; count++) {
    const left = await leave(words, key);
    expect(left.code).toBe(3);
    if (left.shown !== "") return left.shown;
  }
  return "";
};

const methods = () => daemon.calls.map(({ method }) => method);

describe("a shell that is left", () => {
  test(
    "is followed by what is left in the VM",
    async () => {
      reminder = true;
      expect(await leaveUntilSaid(["web"])).toBe(
        [
          "web is still running with 1 port. It holds 300M of memory and 1.3G of disk.",
          "  Listening:  10.77.5.2:3000 (node)",
          "  Stop it:    banger stop web",
          "",
        ].join("\r\n"),
      );
    },
    TIMEOUT_MS,
  );

  test(
    "is followed by nothing where that is wanted, after a command, and where nobody sees it",
    async () => {
      reminder = true;
      expect(await leave(["-q", "web"])).toEqual({ code: 3, shown: "" });
      expect(await leave(["web", "true"])).toEqual({ code: 3, shown: "" });
      expect(methods()).not.toContain("vm.activity");
      const piped = Bun.spawn([process.execPath, main, "ssh", "web"], {
        env: envOf(),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const said = (await new Response(piped.stdout).text()) + (await new Response(piped.stderr).text());
      expect([await piped.exited, said]).toEqual([3, ""]);
      reminder = false;
      expect(await leave(["web"])).toEqual({ code: 3, shown: "" });
    },
    TIMEOUT_MS,
  );

  test(
    "is followed by a question where that is wanted: one key stops the VM, another keeps it",
    async () => {
      reminder = "ask";
      expect(await leaveUntilSaid(["web"], "s")).toContain("web is stopped.");
      expect(methods()).toContain("vm.stop");
      daemon.calls.length = 0;
      expect(await leaveUntilSaid(["web"], "\r")).not.toContain("stopped");
      expect(methods()).not.toContain("vm.stop");
    },
    TIMEOUT_MS,
  );
});
