// Runs a line in this process against a daemon, with a terminal that remembers: quick, and what is shown is a value.

import { runCli } from "../../src/cli/run-cli.ts";
import type { Session } from "../../src/cli/session.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { connect } from "../../src/client/connect.ts";
import { type FakeDaemon, NOW_MS } from "./fake-daemon.ts";

export type Shown = { exitCode: number; out: string; err: string };

export type LineOptions = { isTty?: boolean; hasColor?: boolean; cwd?: string };

/** `daemon` null: there is none, and none may be started. */
export const runLine = async (
  daemon: FakeDaemon | null,
  argv: readonly string[],
  options: LineOptions = {},
): Promise<Shown> => {
  const { isTty = false, hasColor = false, cwd = "/tmp" } = options;
  let out = "";
  let err = "";
  const terminal: Terminal = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    isInTty: false,
    isOutTty: isTty,
    isErrTty: isTty,
    hasOutColor: hasColor,
    hasErrColor: hasColor,
    canRedraw: false,
  };
  const self = { version: "0.0.0", build: "checkout", executable: "/nowhere/banger" };
  const session: Session = {
    terminal,
    env: { HOME: "/home/ada" },
    cwd,
    self,
    client: connect({
      self,
      socket: () => daemon?.socket ?? null,
      prepare: () => {
        throw new TypeError("a test wanted to start a daemon");
      },
      note: (text) => terminal.err(`${text}\n`),
    }),
    paths: () => ({ configFile: "/cfg/config.toml", daemonLog: "/nowhere/bangerd.log", socket: "/run/bangerd.sock" }),
    planSetup: null,
    planDns: null,
    openBundle: () => Promise.reject(new TypeError("a test wanted the runtime bundle")),
    checkHost: async () => [],
    openTui: null,
    now: () => NOW_MS,
  };
  return { exitCode: await runCli(session, argv), out, err };
};
