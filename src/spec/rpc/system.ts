// The methods on the daemon itself: greeting, status, audit, events, configuration.
import { z } from "zod";
import { ConfigSource } from "../config.ts";
import { Event, ProgressEvent } from "../events.ts";
import { PrivLogEntry } from "../host-op.ts";
import { DnsStatus } from "./dns.ts";
import { method } from "./method.ts";

export const DaemonStatus = z.object({
  pid: z.number().int(),
  version: z.string(),
  build: z.string(),
  instance: z.string(),
  startedAt: z.string(),
  socket: z.string(),
  dataDir: z.string(),
  stateDir: z.string(),
  runtimeDir: z.string(),
  configPath: z.string(),
  logPath: z.string(),
  privilege: z.string().describe("how operations that need root are run"),
  vms: z.object({ total: z.number().int(), running: z.number().int() }),
  images: z.number().int(),
  dns: DnsStatus,
  memoryMiB: z.number(),
  openOperations: z.array(z.string()),
});

/** One difference between what exists on the host and what the records say. */
export const AuditFinding = z.object({
  kind: z.enum(["leaked", "missing", "unfinished", "damaged"]),
  what: z.string(),
  detail: z.string(),
  fix: z.string(),
});

/** One need of the host: how it stands, why it matters, and what to type where it stands badly. */
export const HostCheck = z.object({
  id: z.string().describe("name of the need, for example kvm; stable"),
  status: z.enum(["ok", "warning", "error", "skipped"]),
  summary: z.string().describe("how it stands, a sentence"),
  why: z.string().describe("what needs it"),
  fix: z.string().nullable().describe("what to type, or one edit; null where nothing is to be done"),
  code: z.string().nullable().describe("the failure that an operation meets because of it"),
  repairs: z
    .array(z.array(z.string()))
    .describe("what --fix runs: commands that mend it without harm, as argument lists; for root they begin with sudo"),
});

/** One hop on the way into a guest and back, as it was proved. */
export const CanaryHop = z.object({
  id: z.string().describe("boot, channel, clock, name, resolver, ssh, nat, teardown or audit"),
  status: z.enum(["ok", "error", "skipped"]),
  ms: z.number().nullable().describe("how long it took, milliseconds; null where it was skipped"),
  summary: z.string(),
  fix: z.string().nullable(),
});

export const systemMethods = {
  "system.hello": method({
    summary: "Greet: versions of both sides",
    input: z.object({
      version: z.string().max(64),
      build: z.string().max(128),
      protocol: z.object({ min: z.number().int(), max: z.number().int() }),
    }),
    output: z.object({
      version: z.string(),
      build: z.string(),
      executable: z.string(),
      protocol: z.object({ min: z.number().int(), max: z.number().int() }),
      pid: z.number().int(),
      instance: z.string(),
      isBusy: z.boolean().describe("an operation is under way, so the daemon should not be replaced now"),
    }),
    errors: [],
  }),
  "system.status": method({
    summary: "Show the daemon: process, version, directories, DNS",
    input: z.object({}),
    output: DaemonStatus,
    errors: [],
    command: {
      path: ["daemon", "status"],
      examples: [{ command: "banger daemon status", shows: "whether bangerd runs and where it listens" }],
    },
  }),
  "system.stop": method({
    summary: "Stop the daemon; VMs go on running",
    input: z.object({ force: z.boolean().default(false).describe("do not wait for operations under way") }),
    output: z.object({ pid: z.number().int() }),
    errors: [],
    command: {
      path: ["daemon", "stop"],
      examples: [{ command: "banger daemon stop", shows: "end bangerd and leave the VMs running" }],
    },
  }),
  "system.audit": method({
    summary: "Compare what exists on this host with what the records say",
    input: z.object({}),
    output: z.object({ clean: z.boolean(), findings: z.array(AuditFinding) }),
    errors: ["root.unavailable"],
    command: {
      path: ["audit"],
      examples: [{ command: "banger audit", shows: "anything left over or missing; exit code 1 when there is" }],
    },
  }),
  "system.doctor": method({
    summary: "Check everything that banger needs of this host",
    description: "`banger doctor` asks this, and makes the same checks itself where no daemon can be started.",
    input: z.object({}),
    output: z.object({ checks: z.array(HostCheck) }),
    errors: [],
  }),
  "system.canary": method({
    summary: "Boot a VM that is thrown away, and prove every hop to it with its time",
    input: z.object({}),
    output: z.object({ hops: z.array(CanaryHop) }),
    events: ProgressEvent,
    errors: ["operation.cancelled"],
    onDisconnect: "cancel",
  }),
  "system.priv-log": method({
    summary: "Show every operation that was done with privilege",
    input: z.object({
      tail: z
        .number()
        .int()
        .min(1, "give at least 1")
        .max(5000, "give at most 5000")
        .default(50)
        .describe("the newest, this many"),
    }),
    output: z.array(PrivLogEntry),
    errors: [],
    command: {
      path: ["priv", "log"],
      letters: { tail: "n" },
      examples: [{ command: "banger priv log --tail 20", shows: "what was asked of root, by which request" }],
    },
  }),
  "events.subscribe": method({
    summary: "Stream every change as it happens",
    input: z.object({
      since: z.number().int().min(0).optional().describe("cursor to go on after; without it only what comes"),
      follow: z.boolean().default(true).describe("stay and wait for more"),
    }),
    output: z.object({ cursor: z.number().int() }),
    events: Event,
    errors: [],
    onDisconnect: "cancel",
    command: {
      path: ["events"],
      examples: [{ command: "banger events --json", shows: "one JSON object a line, for scripts" }],
    },
  }),
  "config.show": method({
    summary: "Show every setting, its value and where it comes from",
    input: z.object({ defaults: z.boolean().default(false).describe("the defaults, with what each is for") }),
    output: z.array(
      z.object({
        key: z.string(),
        value: z.unknown(),
        source: ConfigSource,
        description: z.string(),
      }),
    ),
    errors: ["config.invalid"],
    command: {
      path: ["config", "show"],
      aliases: [["config", "list"]],
      examples: [{ command: "banger config show", shows: "all settings and their sources" }],
    },
  }),
  "config.get": method({
    summary: "Print one setting",
    input: z.object({ key: z.string().max(64).describe("section.key, for example vm.memory") }),
    output: z.object({
      key: z.string(),
      value: z.unknown(),
      source: ConfigSource,
    }),
    errors: ["config.invalid", "config.unknown_key"],
    positional: ["key"],
    command: {
      path: ["config", "get"],
      examples: [{ command: "banger config get vm.memory", shows: "its value alone" }],
    },
  }),
  "config.set": method({
    summary: "Change one setting in the configuration file",
    input: z.object({
      key: z.string().max(64).describe("section.key"),
      value: z.string().max(4096).describe("the new value"),
    }),
    output: z.object({ key: z.string(), value: z.unknown(), path: z.string() }),
    errors: ["config.invalid", "config.unknown_key"],
    positional: ["key", "value"],
    command: {
      path: ["config", "set"],
      examples: [{ command: "banger config set vm.memory 8G", shows: "the new default for VMs" }],
    },
  }),
  "config.unset": method({
    summary: "Take one setting out of the configuration file",
    input: z.object({ key: z.string().max(64).describe("section.key") }),
    output: z.object({
      key: z.string(),
      value: z.unknown().describe("what holds from now on"),
      source: ConfigSource,
      wasSet: z.boolean().describe("whether the file had it"),
      path: z.string(),
    }),
    errors: ["config.invalid", "config.unknown_key"],
    positional: ["key"],
    command: {
      path: ["config", "unset"],
      examples: [{ command: "banger config unset network.subnet", shows: "let one be chosen again" }],
    },
  }),
  "rpc.discover": method({
    summary: "The whole contract as an OpenRPC document",
    input: z.object({}),
    output: z.record(z.string(), z.unknown()),
    errors: [],
  }),
};
