// What every command is given: where to write, the daemon's client, and what is known of this program and its place.

import type { DaemonClient } from "../client/connect.ts";
import type { Build } from "../client/decide-replacement.ts";
import type { Output } from "../spec/rpc/contract.ts";
import type { CommandData } from "./command-data.ts";
import type { Terminal } from "./terminal.ts";

/** What `banger setup` would do on this host, and doing it. */
export type SetupPlan = {
  /** One sentence for each thing that would be done, and why. */
  lines: readonly string[];
  /** True when there is nothing to do. */
  isDone: boolean;
  run: () => Promise<number>;
};

/** A file of the runtime bundle. */
export type BundleFile = {
  name: string;
  summary: string;
  path: string;
  version: string | null;
  state: "ok" | "missing" | "stale";
  detail: string | null;
  isOptional: boolean;
  sizeBytes: number | null;
  sha256: string | null;
  from: string | null;
  repair: string;
};

/** What is told while the bundle is fetched. */
export type BundleEvent =
  | { kind: "waiting" }
  | {
      kind: "progress";
      artifact: string;
      progress: { doneBytes: number; totalBytes: number | null; bytesPerSecond: number };
    }
  | { kind: "done"; artifact: string; outcome: "present" | "fetched"; from: string | null };

/** A program of the user's own. */
export type OwnProgram = { path: string; sha256: string; version: string; at: string };

/** The runtime bundle, which main hands in. */
export type BundleSession = {
  place: { directory: string; kind: string; reason: string };
  list(options: { isDeep: boolean }): Promise<BundleFile[]>;
  fetch(
    names: readonly string[],
    options: { from: string | null; signal: AbortSignal; onEvent: (event: BundleEvent) => void },
  ): Promise<BundleFile[]>;
  pack(target: string): Promise<{ path: string; sha256: string; sizeBytes: number }>;
  own(name: string): Promise<OwnProgram | null>;
  use(name: string, path: string | null): Promise<OwnProgram | null>;
};

export type Session = {
  terminal: Terminal;
  env: Readonly<Record<string, string | undefined>>;
  /** Absolute directory that relative paths on the line are meant from. */
  cwd: string;
  self: Build;
  client: DaemonClient;
  paths: () => { configFile: string; daemonLog: string; socket: string };
  /** Null where this program was not built: root is given no source tree to run. */
  planSetup: ((options: { isUndo: boolean }) => Promise<SetupPlan>) | null;
  openBundle: () => Promise<BundleSession>;
  /** The checks of `banger doctor` without a daemon, and why there is none. */
  checkHost: (failure: unknown) => Promise<Output<"system.doctor">["checks"]>;
  /** The same for this host's resolver; `kind` is a resolver's name, null to find out. */
  planDns:
    | ((options: { isUndo: boolean; zone: string; server: string; kind: string | null }) => Promise<SetupPlan>)
    | null;
  /** The terminal UI; null where nobody handed one in. Resolves with the exit code once it was left. */
  openTui: (() => Promise<number>) | null;
  /** Milliseconds since the epoch. */
  now: () => number;
};

/** A line that was understood. */
export type Invocation = {
  command: CommandData;
  /** Input of the method as it was typed: only what was given. */
  input: Record<string, unknown>;
  /** The first positional of a command that takes several, as often as it was given. */
  refs: readonly string[];
  /** Words that belong to someone else. */
  rest: readonly string[];
  isJson: boolean;
  isQuiet: boolean;
  /** Flags that the CLI added and no method knows. */
  own: { all: boolean; selector: Record<string, string> | null; plan: boolean; watch: boolean };
};
