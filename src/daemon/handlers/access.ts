// The methods that lead into a running VM or read from it: ssh's facts, console, logs, ping, stats, why-slow.

import { parseDurationMs } from "../../core/duration.ts";
import { planVmPaths } from "../../core/paths.ts";
import { parseUsage } from "../../core/proc-usage.ts";
import { renderWaterfall } from "../../core/waterfall.ts";
import { fail } from "../../spec/errors.ts";
import type { Handlers } from "../../spec/rpc/contract.ts";
import type { VmRecord } from "../../spec/vm.ts";
import type { Context, LiveVm } from "../context.ts";
import { hostKeyAlias } from "../create.ts";
import { followLog } from "../follow-log.ts";
import { bangerKeyPath } from "../prepare-create.ts";
import { guestAddressOf, hostAddressOf } from "../view.ts";
import { findVm } from "./vm.ts";

type AccessHandlers = Pick<Handlers, "vm.access" | "vm.console" | "vm.logs" | "vm.stats" | "vm.why-slow">;

const STATS_WINDOW_MS = 250;
const CONNECT_TIMEOUT_MS = 15_000;
/** A guest that has an sshd answers in a moment; where it does not, there is the guest channel. */
const CARRY_TIMEOUT_MS = 1500;

/** ssh gives the line to a shell, after expanding what follows a percent sign (ssh_config(5)). */
const renderProxyCommand = (argv: readonly string[]): string =>
  argv.map((word) => `'${word.replaceAll("'", "'\\''").replaceAll("%", "%%")}'`).join(" ");

const needRunning = (record: VmRecord, verb: string): void => {
  if (record.state === "running") return;
  throw fail("vm.wrong_state", { vm: record.spec.name, state: record.state, verb, needs: ["running"] });
};

export const accessHandlers = (context: Context): AccessHandlers => {
  const { store, live } = context;

  const liveOf = (record: VmRecord, verb: string): LiveVm => {
    needRunning(record, verb);
    const found = live.get(record.id);
    if (!found) throw fail("vmm.shim_lost", { vm: record.spec.name });
    return found;
  };

  return {
    "vm.access": async (input) => {
      const record = findVm(context, input.vm);
      needRunning(record, "reach");
      const isInside = record.spec.networks[0]?.mode === "namespace";
      const address = isInside ? guestAddressOf(context, record) : hostAddressOf(context, record);
      if (address === null) throw fail("vmm.shim_lost", { vm: record.spec.name });
      // The holder may have been killed a moment ago, and VMs outlive it.
      if (isInside) await context.namespace.find();
      const way = { address, port: 22, timeoutMs: CONNECT_TIMEOUT_MS };
      return {
        id: record.id,
        name: record.spec.name,
        user: record.spec.user.name,
        address,
        port: 22,
        ...(isInside
          ? {
              proxyCommand: renderProxyCommand(context.namespace.connectArgv(way)),
              carryArgv: context.namespace.carryArgv({ ...way, timeoutMs: CARRY_TIMEOUT_MS }),
            }
          : {}),
        keyPath: bangerKeyPath(context),
        knownHostsPath: planVmPaths(context.paths, record.id).knownHosts,
        hostKeyAlias: hostKeyAlias(record.id),
        home: record.spec.user.home,
      };
    },

    "vm.console": async (input) => {
      const record = findVm(context, input.vm);
      liveOf(record, "attach to");
      return { name: record.spec.name, socket: planVmPaths(context.paths, record.id).shimControl };
    },

    "vm.logs": async (input, call) => {
      const record = findVm(context, input.vm);
      const paths = planVmPaths(context.paths, record.id);
      const path = input.vmm ? paths.vmmLog : paths.console;
      const sinceMs = input.since === undefined ? null : parseDurationMs(input.since);
      const isFollowing = input.follow && !input.previous && !input.vmm;
      const lines = await followLog(
        {
          path,
          isPrevious: input.previous,
          tailLines: input.tail ?? null,
          sinceMs: sinceMs === null ? null : context.now().getTime() - sinceMs,
          shim: isFollowing ? (live.get(record.id)?.shim ?? null) : null,
          signal: call.signal,
          files: context.host.files,
        },
        { emit: (text) => call.emit({ kind: "log", text }), untilRoom: call.untilRoom },
      );
      return { lines };
    },

    "vm.stats": async (input) => {
      const record = findVm(context, input.vm);
      const { spec, runtime } = record;
      const diskUsedMiB = await context.host.files
        .diskUsedMiB(planVmPaths(context.paths, record.id).disk)
        .catch(() => null);
      const usage = await usageOf(context, record);
      return {
        name: spec.name,
        state: record.state,
        ...usage,
        memoryLimitMiB: spec.memoryMiB,
        diskUsedMiB,
        diskMiB: spec.disks[0]?.sizeMiB ?? 0,
        uptimeSeconds:
          runtime.startedAt === null
            ? null
            : Math.max(0, Math.floor((context.now().getTime() - Date.parse(runtime.startedAt)) / 1000)),
      };
    },

    "vm.why-slow": async (input) => {
      const record = findVm(context, input.vm);
      const starts = store.timings
        .history(record.id, { kind: "vm.start", limit: 10 })
        .filter(({ doneAt }) => doneAt !== null);
      const create = store.timings.history(record.id, { kind: "vm.create", limit: 1 });
      const last = starts[0];
      if (!last)
        throw fail("vm.wrong_state", {
          vm: record.spec.name,
          state: "never started",
          verb: "explain",
          needs: ["started once"],
        });
      return {
        name: record.spec.name,
        ...renderWaterfall({
          last,
          earlier: starts.slice(1),
          create: starts.length === 1 ? (create[0] ?? null) : null,
        }),
      };
    },
  };
};

/** What the VMM uses of this host, from /proc; nulls when it does not run, or is not the process we proved. */
const usageOf = async (context: Context, record: VmRecord) => {
  const proof = record.runtime.process;
  const none = { cpuPercent: null, cpuSeconds: null, memoryMiB: null };
  if (!proof || (await context.host.processes.prove(proof)) !== "same") return none;
  const first = await readUsage(context, proof.pid);
  const startedMs = context.clock();
  await Bun.sleep(STATS_WINDOW_MS);
  const second = await readUsage(context, proof.pid);
  if (!first || !second) return none;
  const elapsedMs = context.clock() - startedMs;
  return {
    cpuPercent: Math.round(((second.cpuMs - first.cpuMs) / elapsedMs) * 1000) / 10,
    cpuSeconds: Math.round(second.cpuMs / 100) / 10,
    memoryMiB: second.residentMiB,
  };
};

export const readUsage = async (context: Context, pid: number) => {
  const { files } = context.host;
  const [stat, status] = await Promise.all([files.read(`/proc/${pid}/stat`), files.read(`/proc/${pid}/status`)]);
  return stat === null || status === null ? null : parseUsage(stat, status);
};
