// The methods on the daemon itself: greeting, status, audit, events, configuration.
import { z } from "zod";
import { resolveConfig } from "../../core/config.ts";
import { contract, type Handlers, PROTOCOL } from "../../spec/rpc/contract.ts";
import type { Method } from "../../spec/rpc/method.ts";
import { audit } from "../audit.ts";
import { type CanaryPorts, runCanary } from "../canary.ts";
import type { ConfigFileKeeper } from "../config-file.ts";
import type { Context } from "../context.ts";

type SystemHandlers = Pick<
  Handlers,
  | "system.hello"
  | "system.status"
  | "system.stop"
  | "system.audit"
  | "system.doctor"
  | "system.canary"
  | "system.priv-log"
  | "events.subscribe"
  | "config.show"
  | "config.get"
  | "config.set"
  | "config.unset"
  | "rpc.discover"
>;

export type SystemPorts = {
  config: ConfigFileKeeper;
  /** Methods under way that the daemon should not be replaced in the middle of. */
  busy: () => readonly string[];
  /** Begins to stop; the call that asked for it is still answered. */
  stop: (options: { isForced: boolean }) => void;
  /** What the canary does to its VM. */
  vms: Omit<CanaryPorts, "system.audit">;
  /** How root operations are run here, in words. */
  privilege: () => string;
};

const EVENT_PAGE = 500;

export const systemHandlers = (context: Context, ports: SystemPorts): SystemHandlers => {
  const { store, paths } = context;
  const auditNow = async (requestedBy: string) => {
    const findings = await audit(context, requestedBy);
    return { clean: findings.length === 0, findings };
  };
  const versions = { version: context.version, build: context.build };

  return {
    "system.hello": async () => ({
      ...versions,
      executable: context.executable,
      protocol: { ...PROTOCOL },
      pid: process.pid,
      instance: paths.instance,
      isBusy: ports.busy().length > 0,
    }),

    "system.status": async () => {
      const records = store.vms.all();
      return {
        ...versions,
        pid: process.pid,
        instance: paths.instance,
        startedAt: context.startedAt.toISOString(),
        socket: paths.socket,
        dataDir: paths.dataDir,
        stateDir: paths.stateDir,
        runtimeDir: paths.runtimeDir,
        configPath: paths.configFile,
        logPath: paths.daemonLog,
        privilege: ports.privilege(),
        vms: { total: records.length, running: records.filter(({ state }) => state === "running").length },
        images: store.images.all().length,
        dns: context.names.status(),
        memoryMiB: Math.round(process.memoryUsage.rss() / 1024 / 1024),
        openOperations: [...ports.busy()],
      };
    },

    "system.stop": async (input) => {
      ports.stop({ isForced: input.force });
      return { pid: process.pid };
    },

    "system.audit": (_input, call) => auditNow(call.requestedBy),

    "system.doctor": async () => ({ checks: await context.doctor.check() }),

    "system.canary": (_input, call) =>
      runCanary(context, { ...ports.vms, "system.audit": (_, inner) => auditNow(inner.requestedBy) }, call),

    "system.priv-log": async (input) => [...store.privLog.tail(input.tail)],

    "events.subscribe": async (input, call) => {
      let cursor = input.since ?? store.events.range().newest;
      const nextPage = () => store.events.since(cursor, EVENT_PAGE);
      // What was stored first, page by page.
      for (let page = nextPage(); page.length > 0 && !call.signal.aborted; page = nextPage()) {
        for (const event of page) call.emit(event);
        cursor = page.at(-1)?.cursor ?? cursor;
        await call.untilRoom();
      }
      // Nothing can be published between the last look and the subscription, since there is nothing to wait for.
      if (input.follow && !call.signal.aborted)
        await new Promise<void>((resolve) => {
          const end = context.bus.subscribe((event) => {
            cursor = event.cursor;
            call.emit(event);
          });
          const finish = () => {
            end();
            resolve();
          };
          call.signal.addEventListener("abort", finish, { once: true });
        });
      return { cursor };
    },

    "config.show": async (input) =>
      ports.config
        .settings()
        .map((setting) =>
          input.defaults ? { ...setting, source: "default" as const, value: defaultOf(setting.key) } : setting,
        ),

    "config.get": async (input) => {
      const { key, value, source } = ports.config.find(input.key);
      return { key, value: value ?? null, source };
    },

    "config.set": async (input) => {
      const { key, value } = await ports.config.set(input.key, input.value);
      return { key, value: value ?? null, path: paths.configFile };
    },

    "config.unset": async (input) => {
      const { key, value, source, wasSet } = await ports.config.unset(input.key);
      return { key, value: value ?? null, source, wasSet, path: paths.configFile };
    },

    "rpc.discover": async () => discover(context.version),
  };
};

const defaults = new Map(resolveConfig({}).settings.map(({ key, value }) => [key, value]));
const defaultOf = (key: string): unknown => defaults.get(key) ?? null;

/** The contract as an OpenRPC document (open-rpc.org, 1.3.2), so that other languages can make a client of it. */
export const discover = (version: string): Record<string, unknown> => ({
  openrpc: "1.3.2",
  info: { title: "bangerd", version },
  methods: Object.entries(contract).map(([name, definition]) => describeMethod(name, definition as Method)),
});

const describeMethod = (name: string, definition: Method) => {
  const input = z.toJSONSchema(definition.input, { io: "input", unrepresentable: "any" }) as {
    properties?: Record<string, unknown>;
    required?: string[];
  };
  return {
    name,
    summary: definition.summary,
    ...(definition.description ? { description: definition.description } : {}),
    paramStructure: "by-name",
    params: Object.entries(input.properties ?? {}).map(([field, schema]) => ({
      name: field,
      required: input.required?.includes(field) ?? false,
      schema,
    })),
    result: { name: "result", schema: z.toJSONSchema(definition.output, { unrepresentable: "any" }) },
    "x-events": definition.events ? z.toJSONSchema(definition.events, { unrepresentable: "any" }) : null,
    errors: definition.errors.map((code) => ({ code: -32000, message: code })),
  };
};
