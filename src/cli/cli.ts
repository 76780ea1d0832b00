// Opens the session of one command line: its terminal, and a client that finds, starts or replaces this instance's daemon.
import { mkdirSync } from "node:fs";
import { connect, type DaemonClient } from "../client/connect.ts";
import type { Build } from "../client/decide-replacement.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import { paintFor } from "./paint.ts";
import type { Session } from "./session.ts";
import { openTerminal } from "./terminal.ts";

export { runCli } from "./run-cli.ts";

/** Where things of an instance are, as far as the command line needs to know. */
export type Located = { socket: string; daemonLog: string; logDir: string; configFile: string };

export type Opening = {
  self: Build;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  /** The instance when there is one. */
  find: () => Located | null;
  /** The instance, made when there is none. */
  open: () => Located;
  /** How the daemon of this very program is started. */
  daemonCommand: { argv: readonly string[]; argv0?: string };
  planSetup: Session["planSetup"];
  planDns: Session["planDns"];
  openBundle: Session["openBundle"];
  checkHost: Session["checkHost"];
  /** Runs the terminal UI with clients that say what they have to say to it. */
  runTui: (given: { openClient: (note: (text: string) => void) => DaemonClient }) => Promise<number>;
};

/** What `compute` first gave that was not null. */
const remember = <Value>(compute: () => Value | null): (() => Value | null) => {
  let known: Value | null = null;
  return () => {
    known ??= compute();
    return known;
  };
};

const makeLogDir = (path: string): void => {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fail("instance.unusable", { path, detail: describeUnknown(error) }, error);
  }
};

export const openSession = (opening: Opening): Session => {
  const { self, env, cwd, planSetup, planDns, openBundle, checkHost } = opening;
  const terminal = openTerminal(env);
  const find = remember(opening.find);
  const open = (): Located => find() ?? opening.open();
  const openClient = (note: (text: string) => void): DaemonClient =>
    connect({
      self,
      socket: () => find()?.socket ?? null,
      prepare: () => {
        const located = opening.open();
        makeLogDir(located.logDir);
        return { socket: located.socket, launch: { ...opening.daemonCommand, env, logPath: located.daemonLog } };
      },
      note,
    });
  // A line of progress may stand there; it is drawn again below.
  const clear = terminal.canRedraw ? "\r\x1b[K" : "";
  const client = openClient((text) =>
    terminal.err(`${clear}${paintFor(terminal.hasErrColor).faint(`banger: ${text}`)}\n`),
  );
  const openTui = () => opening.runTui({ openClient });
  const given = { planSetup, planDns, openBundle, checkHost, openTui };
  return { terminal, env, cwd, self, client, paths: open, ...given, now: () => Date.now() };
};
