// The fleet behind a real socket: a daemon small enough to be told what happens.
import type { Event } from "../../src/spec/events.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { type FakeDaemon, hello, startFakeDaemon } from "../cli/fake-daemon.ts";
import { checks, fleet, images, statsOf, waterfall } from "./fleet.ts";

export type FleetDaemon = FakeDaemon & {
  vms: Map<string, Vm>;
  /** Changes a VM and tells everyone who listens. */
  change: (id: string, over: Partial<Vm>) => void;
  publish: (event: Event["event"]) => void;
};

export const startFleetDaemon = (given: readonly Vm[] = fleet): FleetDaemon => {
  const vms = new Map(given.map((vm) => [vm.id, vm]));
  const listeners = new Set<(event: Event) => void>();
  const past: Event[] = [];
  let cursor = 100;

  const publish = (event: Event["event"]): void => {
    cursor++;
    const told = { cursor, at: new Date().toISOString(), event };
    past.push(told);
    for (const listener of listeners) listener(told);
  };
  const change = (id: string, over: Partial<Vm>): void => {
    const vm = vms.get(id);
    if (!vm) return;
    vms.set(id, { ...vm, ...over });
    publish({ type: "vm.state", vm: vm.name, id, state: over.state ?? vm.state, cause: null });
  };
  const find = (ref: string): Vm => {
    const found = [...vms.values()].find(({ id, name }) => id === ref || name === ref);
    if (!found) throw new TypeError(`no VM ${ref}`);
    return found;
  };
  const to = (ref: string, state: Vm["state"]) => {
    const { id } = find(ref);
    change(id, { state, startedAt: state === "running" ? new Date().toISOString() : null });
    return { ...find(id), changed: true };
  };

  const daemon = startFakeDaemon({
    "system.hello": () => hello,
    "system.status": () => ({ dataDir: "/tmp" }) as never,
    "vm.list": () => [...vms.values()],
    "vm.show": ({ vm }) => find(vm),
    "system.doctor": () => ({ checks: [...checks] }),
    "image.list": () => [...images],
    "vm.stats": ({ vm }) => statsOf(find(vm), 40),
    "vm.why-slow": () => waterfall,
    "vm.start": ({ vm }) => to(vm, "running"),
    "vm.stop": ({ vm }) => to(vm, "stopped"),
    "vm.delete": ({ vm }) => {
      const { id, name } = find(vm);
      vms.delete(id);
      publish({ type: "vm.deleted", vm: name, id });
      return { id, name, deleted: true };
    },
    "vm.create": ({ name = "made-up" }) => {
      const made: Vm = { ...find("web"), id: "00000000c0de", name, startedAt: new Date().toISOString() };
      vms.set(made.id, made);
      publish({ type: "vm.state", vm: name, id: made.id, state: "running", cause: null });
      return made;
    },
    "vm.logs": async ({ follow }, { emit, signal }) => {
      for (let line = 1; line <= 40; line++) emit({ kind: "log", text: `[${line}.0] boot line ${line}` });
      if (follow) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      return { lines: 40 };
    },
    "events.subscribe": async ({ since = cursor, follow = true }, { emit, signal }) => {
      for (const told of past) if (told.cursor > since) emit(told);
      if (!follow) return { cursor };
      listeners.add(emit);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      listeners.delete(emit);
      return { cursor };
    },
  });
  return Object.assign(daemon, { vms, change, publish });
};
