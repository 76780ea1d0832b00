// Reads from the model what the views and the update both need: which rows there are, in which order, and which VM is meant.
import type { Vm, VmState } from "../spec/vm.ts";
import type { Model, SortKey } from "./model.ts";

/** What people here reach the VM by; null while nobody can. */
export const addressOf = (vm: Vm): string | null =>
  (vm.addresses.find(({ side }) => side === "host") ?? vm.addresses[0])?.address ?? null;

const moving = new Set<VmState>(["creating", "starting", "stopping", "deleting"]);
export const isMoving = (vm: Vm): boolean => moving.has(vm.state);

export const uptimeSecondsOf = (vm: Vm, nowMs: number): number | null =>
  vm.startedAt === null || vm.state === "stopped" || vm.state === "error"
    ? null
    : (nowMs - Date.parse(vm.startedAt)) / 1000;

const labelsOf = (vm: Vm): string =>
  Object.entries(vm.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

/** Every word of the filter is somewhere in a row: in its name, id, state, image, VMM, address or labels. */
const isMatch = (vm: Vm, words: readonly string[]): boolean => {
  if (words.length === 0) return true;
  const text = [vm.name, vm.id, vm.state, vm.image, vm.vmm, addressOf(vm) ?? "", labelsOf(vm)].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
};

const addressNumber = (vm: Vm): number =>
  (addressOf(vm) ?? "").split(".").reduce((total, octet) => total * 256 + (Number(octet) || 0), 0);

type Measure = (vm: Vm, model: Model) => string | number;
const measures: Record<SortKey, Measure> = {
  name: (vm) => vm.name,
  state: (vm) => vm.state,
  image: (vm) => vm.image,
  address: addressNumber,
  vcpus: (vm) => vm.vcpus,
  memory: (vm) => vm.memoryMiB,
  disk: (vm) => vm.diskUsedMiB ?? 0,
  // Whoever started first is up longest, whatever the time is.
  uptime: (vm) => uptimeSecondsOf(vm, 0) ?? Number.MIN_SAFE_INTEGER,
  cpu: (vm, { usage }) => usage.get(vm.id)?.cpuPercent ?? -1,
};

const compare = (one: string | number, other: string | number): number =>
  typeof one === "number" && typeof other === "number" ? one - other : one < other ? -1 : one > other ? 1 : 0;

/** The last answer: most messages change neither VMs nor order, and 500 rows are sorted once. */
let remembered: { model: Model; rows: readonly Vm[] } | null = null;

const isSameSelection = (one: Model, other: Model): boolean =>
  one.vms === other.vms &&
  one.filter === other.filter &&
  one.sort === other.sort &&
  (one.sort.key !== "cpu" || one.usage === other.usage);

/** The rows of the table, filtered and in order; equal ones go by name. */
export const rowsOf = (model: Model): readonly Vm[] => {
  if (remembered !== null && isSameSelection(remembered.model, model)) return remembered.rows;
  const words = model.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const measure = measures[model.sort.key];
  const sign = model.sort.isDescending ? -1 : 1;
  const rows = [...(model.vms?.values() ?? [])]
    .filter((vm) => isMatch(vm, words))
    .map((vm) => ({ vm, by: measure(vm, model) }))
    .sort((one, other) => sign * compare(one.by, other.by) || compare(one.vm.name, other.vm.name))
    .map(({ vm }) => vm);
  remembered = { model, rows };
  return rows;
};

/** The row that the cursor is on: the first one when it is on none that is shown. */
export const cursorIndex = (model: Model): number => {
  const index = rowsOf(model).findIndex(({ id }) => id === model.cursor);
  return Math.max(index, 0);
};

export const currentVm = (model: Model): Vm | null => rowsOf(model)[cursorIndex(model)] ?? null;

/** The VMs that an operation is about: the marked ones, else the one under the cursor. */
export const targetsOf = (model: Model): readonly Vm[] => {
  const marked = [...(model.vms?.values() ?? [])].filter(({ id }) => model.marked.has(id));
  if (marked.length > 0) return marked;
  const current = currentVm(model);
  return current ? [current] : [];
};

/** What running VMs were promised of this host. */
export const reservedOf = (model: Model): { vcpus: number; memoryMiB: number; diskMiB: number } => {
  const sum = { vcpus: 0, memoryMiB: 0, diskMiB: 0 };
  for (const vm of model.vms?.values() ?? []) {
    sum.diskMiB += vm.diskMiB;
    if (vm.state !== "running" && vm.state !== "starting" && vm.state !== "paused") continue;
    sum.vcpus += vm.vcpus;
    sum.memoryMiB += vm.memoryMiB;
  }
  return sum;
};
