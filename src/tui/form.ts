// The form that makes or changes a VM: its fields, what is wrong with each as it stands, and the calls that it comes to.
import type { Input } from "../spec/rpc/contract.ts";
import { vmMethods } from "../spec/rpc/vm.ts";
import { parseSizeMiB, renderSizeMiB } from "../spec/size.ts";
import type { Vm } from "../spec/vm.ts";
import { formatMiB } from "./figures.ts";

export type FieldName = "name" | "image" | "vcpu" | "memory" | "disk" | "label" | "vmm" | "start";

export type Field = {
  readonly name: FieldName;
  readonly title: string;
  readonly value: string;
  /** Shown while the field is empty: what happens then. */
  readonly hint: string;
  /** The only values it takes; the cursor keys go through them. */
  readonly choices: readonly string[] | null;
};

export type Form = {
  readonly kind: "create" | "edit";
  /** The VM that is changed. */
  readonly vm: Vm | null;
  readonly fields: readonly Field[];
  readonly focus: number;
};

/** What a form is measured against. */
export type FormFacts = {
  readonly names: ReadonlySet<string>;
  readonly images: readonly string[];
  /** MiB and CPUs of this host; null when not known. */
  readonly host: { readonly cpus: number; readonly freeMemoryMiB: number; readonly freeDiskMiB: number | null } | null;
};

const create = vmMethods["vm.create"].input.shape;
const set = vmMethods["vm.set"].input.shape;

const field = (name: FieldName, title: string, more: Partial<Field>): Field => ({
  name,
  title,
  value: "",
  hint: "",
  choices: null,
  ...more,
});

export const createForm = (images: readonly { name: string; isDefault: boolean }[]): Form => {
  const chosen = images.find(({ isDefault }) => isDefault) ?? images[0];
  return {
    kind: "create",
    vm: null,
    focus: 0,
    fields: [
      field("name", "Name", { hint: "one is made up" }),
      field("image", "Image", {
        value: chosen?.name ?? "",
        hint: "the default image",
        choices: images.length > 0 ? images.map(({ name }) => name) : null,
      }),
      field("vcpu", "vCPUs", { hint: "the default" }),
      field("memory", "Memory", { hint: "the default; for example 2G" }),
      field("disk", "Disk", { hint: "the default; for example 40G" }),
      field("label", "Labels", { hint: "key=value key=value" }),
      field("vmm", "VMM", { value: create.vmm.unwrap().options[0] ?? "", choices: create.vmm.unwrap().options }),
      field("start", "Start it", { value: "yes", choices: ["yes", "no"] }),
    ],
  };
};

const spellLabels = (vm: Vm): string =>
  Object.entries(vm.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

/** Labels can always be changed, the rest while the VM is stopped. */
export const editForm = (vm: Vm): Form => ({
  kind: "edit",
  vm,
  focus: 0,
  fields: [
    ...(vm.state === "stopped" || vm.state === "error"
      ? [
          field("name", "Name", { value: vm.name }),
          field("vcpu", "vCPUs", { value: String(vm.vcpus) }),
          field("memory", "Memory", { value: renderSizeMiB(vm.memoryMiB) }),
          field("disk", "Disk", { value: renderSizeMiB(vm.diskMiB) }),
        ]
      : []),
    field("label", "Labels", { value: spellLabels(vm), hint: "key=value key=value" }),
  ],
});

/** `a=b c=d` as labels; a word without `=` is a label with an empty value. */
export const parseLabels = (text: string): Record<string, string> =>
  Object.fromEntries(
    text
      .split(/\s+/)
      .filter(Boolean)
      .map((word) => {
        const at = word.indexOf("=");
        return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
      }),
  );

/** What a schema finds wrong; of a key of a record it says so one level further in. */
type Issue = { readonly message: string; readonly issues?: readonly Issue[] };

const schemas: Readonly<
  Partial<Record<FieldName, (value: string) => { error?: { issues: readonly Issue[] } | undefined }>>
> = {
  name: (value) => create.name.unwrap().safeParse(value),
  image: (value) => create.image.unwrap().safeParse(value),
  vcpu: (value) => set.vcpu.unwrap().safeParse(Number(value)),
  memory: (value) => set.memory.unwrap().safeParse(value),
  disk: (value) => set.disk.unwrap().safeParse(value),
  label: (value) => create.label.safeParse(parseLabels(value)),
};

/** What is wrong with a field as it stands; null when nothing is. An empty one stands for the default, except in a change. */
export const problemOf = (form: Form, { name, value, title }: Field, facts: FormFacts): string | null => {
  if (value === "") return form.kind === "edit" && name !== "label" ? `${title} cannot be empty` : null;
  if (name === "vcpu" && !/^\d+$/.test(value)) return "write a number, for example 2";
  const issue = schemas[name]?.(value).error?.issues[0];
  if (issue) return (issue.issues?.[0] ?? issue).message;
  if (name === "name" && value !== form.vm?.name && facts.names.has(value)) return `a VM named ${value} exists already`;
  if (name === "disk" && form.vm && (parseSizeMiB(value) ?? 0) < form.vm.diskMiB) return "a disk only grows";
  return null;
};

/** What may be done but is worth knowing: how a field compares with this host. */
export const remarkOf = ({ name, value }: Field, { host }: FormFacts): string | null => {
  if (!host) return null;
  if (name === "vcpu") {
    const isMore = Number(value) > host.cpus;
    return isMore ? `more than the ${host.cpus} CPUs of this host` : `this host has ${host.cpus} CPUs`;
  }
  if (name === "memory") {
    const free = formatMiB(host.freeMemoryMiB);
    return (parseSizeMiB(value) ?? 0) > host.freeMemoryMiB ? `more than the ${free} that are free` : `${free} are free`;
  }
  if (name === "disk" && host.freeDiskMiB !== null) {
    const free = formatMiB(host.freeDiskMiB);
    const isMore = (parseSizeMiB(value) ?? 0) > host.freeDiskMiB;
    return isMore ? `more than the ${free} that are free; it grows as it is used` : `${free} are free`;
  }
  return null;
};

export const isRight = (form: Form, facts: FormFacts): boolean =>
  form.fields.every((each) => problemOf(form, each, facts) === null);

/** The form after the value of its field was changed. */
export const withValue = (form: Form, change: (value: string) => string): Form => ({
  ...form,
  fields: form.fields.map((each, index) => (index === form.focus ? { ...each, value: change(each.value) } : each)),
});

/** The choice `by` further on, round and round. */
export const choose = (form: Form, by: number): Form => {
  const { choices, value } = form.fields[form.focus] ?? {};
  if (!choices) return form;
  const index = Math.max(choices.indexOf(value ?? ""), 0);
  return withValue(form, () => choices[(index + by + choices.length) % choices.length] ?? "");
};

export type FormCall =
  | { readonly method: "vm.create"; readonly input: Input<"vm.create"> }
  | { readonly method: "vm.set"; readonly input: Input<"vm.set"> }
  | { readonly method: "vm.rename"; readonly input: Input<"vm.rename"> }
  | { readonly method: "vm.label"; readonly input: Input<"vm.label"> };

const valuesOf = (form: Form): Partial<Record<FieldName, string>> =>
  Object.fromEntries(form.fields.filter(({ value }) => value !== "").map(({ name, value }) => [name, value]));

const createCall = (form: Form): FormCall => {
  const { name, image, vcpu, memory, disk, label, vmm, start } = valuesOf(form);
  return {
    method: "vm.create",
    input: {
      ...(name ? { name } : {}),
      ...(image ? { image } : {}),
      ...(vcpu ? { vcpu: Number(vcpu) } : {}),
      ...(memory ? { memory } : {}),
      ...(disk ? { disk } : {}),
      ...(label ? { label: parseLabels(label) } : {}),
      ...(vmm ? { vmm: create.vmm.parse(vmm) } : {}),
      start: start !== "no",
    },
  };
};

/** Only what differs from the VM as it is; the new name last, so that the calls before it find the old one. */
const editCalls = (form: Form, vm: Vm): FormCall[] => {
  const { name, vcpu, memory, disk, label } = valuesOf(form);
  const sizes = {
    ...(vcpu && Number(vcpu) !== vm.vcpus ? { vcpu: Number(vcpu) } : {}),
    ...(memory && parseSizeMiB(memory) !== vm.memoryMiB ? { memory } : {}),
    ...(disk && parseSizeMiB(disk) !== vm.diskMiB ? { disk } : {}),
  };
  const labels = parseLabels(label ?? "");
  const remove = Object.keys(vm.labels).filter((key) => !(key in labels));
  const added = Object.fromEntries(Object.entries(labels).filter(([key, value]) => vm.labels[key] !== value));
  const calls: FormCall[] = [];
  if (Object.keys(sizes).length > 0) calls.push({ method: "vm.set", input: { vm: vm.id, ...sizes } });
  if (remove.length > 0 || Object.keys(added).length > 0) {
    calls.push({ method: "vm.label", input: { vm: vm.id, set: added, remove } });
  }
  if (name && name !== vm.name) calls.push({ method: "vm.rename", input: { vm: vm.id, name } });
  return calls;
};

/** What the form comes to, in order; nothing when nothing was changed. */
export const callsOf = (form: Form): readonly FormCall[] => (form.vm ? editCalls(form, form.vm) : [createCall(form)]);
