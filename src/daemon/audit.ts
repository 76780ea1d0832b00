// Compares what exists on this host and bears our name with what the records say: the proof that nothing is left over or lost.
import type { z } from "zod";
import { planVmPaths } from "../core/paths.ts";
import type { NetInventory } from "../spec/host-op.ts";
import type { AuditFinding } from "../spec/rpc/system.ts";
import { NetworkMode, type VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { placesOf } from "./stored-plan.ts";

type Finding = z.infer<typeof AuditFinding>;

/** Everything that differs; empty when records and host agree. */
export const audit = async (context: Context, requestedBy: string): Promise<Finding[]> => {
  const records = context.store.vms.all();
  const parts = await Promise.all([
    auditNetwork(context, records, requestedBy),
    auditDirectories(context, records),
    auditVms(context, records),
    auditOperations(context, records),
    auditStore(context),
  ]);
  return parts.flat();
};

const isUp = ({ state }: VmRecord) => state !== "stopped" && state !== "creating";

/** A VM whose record cannot be read may run as well as not: its start stands where it does. */
const upIn = ({ store }: Context, records: readonly VmRecord[]): string[] => [
  ...records.filter(isUp).map(({ id }) => id),
  ...store.vms.unreadable().flatMap(({ id }) => (store.journal.standing(id, "vm.start") ? [id] : [])),
];

const auditNetwork = async (
  context: Context,
  records: readonly VmRecord[],
  requestedBy: string,
): Promise<Finding[]> => {
  const up = upIn(context, records);
  const places = up.flatMap((id) => placesOf(context.store.journal.standing(id, "vm.start")));
  // An instance that never had a network cannot have left one, and asking would need privilege.
  if (context.subnet.known() === null) return [];
  const found = await context.network.lists(requestedBy);
  const running = new Set(up);
  const jails = (found.bridge?.jails ?? []).filter((vm) => !running.has(vm));
  return [
    ...jails.map((vm) => leaked(`jail of ${vm}`, "no running VM has it")),
    ...NetworkMode.options.flatMap((mode) =>
      compareNetwork(
        found[mode],
        places.filter((place) => place.mode === mode),
      ),
    ),
  ];
};

const compareNetwork = (found: NetInventory | null, places: readonly { tap: string }[]): Finding[] => {
  const { bridges, taps, tables } = found ?? { bridges: [], taps: [], tables: [], jails: [] };
  const expected = new Set(places.map(({ tap }) => tap));
  const hasVms = places.length > 0;
  return [
    ...taps.filter((tap) => !expected.has(tap)).map((tap) => leaked(`tap ${tap}`, "no running VM has it")),
    ...[...expected].filter((tap) => !taps.includes(tap)).map((tap) => missing(`tap ${tap}`, "a running VM needs it")),
    ...(hasVms ? [] : bridges.map((bridge) => leaked(`bridge ${bridge}`, "no VM is running"))),
    ...(hasVms ? [] : tables.map((table) => leaked(`nftables table ${table}`, "no VM is running"))),
    ...(hasVms && tables.length === 0 ? [missing("the nftables tables", "running VMs need them")] : []),
  ];
};

const auditDirectories = async (context: Context, records: readonly VmRecord[]): Promise<Finding[]> => {
  const { host, paths } = context;
  const known = new Set([...records, ...context.store.vms.unreadable()].map(({ id }) => id));
  const running = new Set(upIn(context, records));
  const places = [
    { directory: paths.vmsDir, allowed: known },
    { directory: paths.stateVmsDir, allowed: known },
    { directory: paths.runtimeVmsDir, allowed: running },
  ];
  const found = await Promise.all(
    places.map(async ({ directory, allowed }) =>
      (await host.files.list(directory))
        .filter(({ name }) => !allowed.has(name))
        .map(({ name }) => leaked(`${directory}/${name}`, "it belongs to no VM in the records")),
    ),
  );
  return found.flat();
};

const auditVms = async (context: Context, records: readonly VmRecord[]): Promise<Finding[]> => {
  const findings = await Promise.all(
    records.map(async (record): Promise<Finding[]> => {
      const { disk } = planVmPaths(context.paths, record.id);
      const found: Finding[] = [];
      if (record.state !== "creating" && !(await context.host.files.exists(disk)))
        found.push({
          kind: "missing",
          what: `disk of ${record.spec.name}`,
          detail: `${disk} is gone`,
          fix: `banger rm ${record.spec.name}`,
        });
      if (record.state === "running") {
        const proof = record.runtime.process;
        const answer = proof ? await context.host.processes.prove(proof) : "gone";
        if (answer !== "same") found.push(missing(`VMM of ${record.spec.name}`, "it is recorded as running"));
      }
      return found;
    }),
  );
  return findings.flat();
};

const auditOperations = async (context: Context, records: readonly VmRecord[]): Promise<Finding[]> => {
  const states = new Map<string, VmRecord["state"] | "unreadable">(records.map(({ id, state }) => [id, state]));
  for (const { id } of context.store.vms.unreadable()) states.set(id, "unreadable");
  return context.store.journal.open().flatMap((operation): Finding[] => {
    const state = states.get(operation.subject);
    const failed = operation.steps.filter(({ phase }) => phase === "undo_failed").map(({ name }) => name);
    if (failed.length > 0)
      return [
        {
          kind: "unfinished",
          what: `${operation.kind} of ${operation.subject}`,
          detail: `not undone: ${failed.join(", ")}`,
          fix: "banger daemon restart",
        },
      ];
    const isStanding =
      (operation.kind === "vm.create" && state !== undefined) ||
      (operation.kind === "vm.start" && state !== undefined && state !== "stopped") ||
      context.locks.isHeld(operation.subject);
    return isStanding || !operation.kind.startsWith("vm.")
      ? []
      : [
          {
            kind: "unfinished",
            what: `${operation.kind} of ${operation.subject}`,
            detail: "it is open without a VM",
            fix: "banger daemon restart",
          },
        ];
  });
};

const auditStore = async (context: Context): Promise<Finding[]> => [
  ...context.store.integrityCheck().map(
    (detail): Finding => ({
      kind: "damaged",
      what: "the database",
      detail,
      fix: `ls ${context.store.path}.backup-*`,
    }),
  ),
  ...context.store.vms.unreadable().map(
    ({ name, detail }): Finding => ({
      kind: "damaged",
      what: `record of ${name}`,
      detail,
      fix: "install the newest banger",
    }),
  ),
];

const leaked = (what: string, detail: string): Finding => ({
  kind: "leaked",
  what,
  detail,
  fix: "banger daemon restart",
});
const missing = (what: string, detail: string): Finding => ({
  kind: "missing",
  what,
  detail,
  fix: "banger daemon restart",
});
