// The methods on VMs.
import { z } from "zod";
import { ProgressEvent } from "../events.ts";
import { ImageRef, LabelKey, Labels, VmName, VmRef } from "../names.ts";
import { StartPlan } from "../plan.ts";
import { sizeBetween } from "../size.ts";
import { KernelChoice, NetworkMode, Vm, VmmName } from "../vm.ts";
import { method } from "./method.ts";

const vm = VmRef.describe("VM name, id or unique prefix");
const exactVm = VmRef.describe("VM name or id, in full");
const timeout = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, "write a duration with its unit, for example 90s or 2m")
  .describe("how long to wait for the guest, for example 90s or 2m")
  .optional();
const vcpu = z.number().int().min(1, "a VM has at least 1 vCPU").max(32, "a VM has at most 32 vCPUs");
const memory = sizeBetween({ minMiB: 128, maxMiB: 1024 * 1024 });
const disk = sizeBetween({ minMiB: 1024, maxMiB: 16 * 1024 * 1024 });
const force = z.boolean().default(false);

/** The VM, and whether the call changed anything: starting a running VM succeeds and changes nothing. */
export const VmChange = Vm.extend({ changed: z.boolean() });

const startErrors = [
  "vm.not_found",
  "vm.ambiguous",
  "vm.wrong_state",
  "image.without_helper",
  "vmm.unavailable",
  "vmm.exited_early",
  "vm.ended_while_starting",
  "guest.not_ready",
  "root.unavailable",
  "root.sudo_missing",
  "host.tun_unusable",
  "bundle.missing",
  "namespace.unavailable",
  "host.command_failed",
  "host.no_space",
  "operation.timeout",
] as const;

export const vmMethods = {
  "vm.create": method({
    summary: "Create a VM and start it",
    description:
      "Makes a root disk from the image, starts the VM and returns when it can be reached. Without a name one is made up. " +
      "The guest's user has the name and uid of yours, with sudo and your public keys.",
    input: z.object({
      name: VmName.optional().describe("name of the VM; it becomes the hostname"),
      image: ImageRef.optional().describe("image to clone (default: the one of the configuration, debian)"),
      vcpu: vcpu.optional().describe("virtual CPUs (default: up to 4)"),
      memory: memory
        .optional()
        .describe("memory with its unit, for example 2G (default: up to 4G, a quarter of the host's)"),
      disk: disk.optional().describe("size of the root disk with its unit, for example 40G; sparse"),
      start: z.boolean().default(true).describe("start it after creating it"),
      wait: z.boolean().default(true).describe("wait until the guest can be reached"),
      timeout,
      sshKey: z
        .array(z.string().max(16384))
        .default([])
        .describe("public key, or file with public keys, that may log in besides your own")
        .meta({ path: "if-exists" }),
      label: Labels.default({}).describe("label, as key=value"),
      dnsWildcard: z.boolean().optional().describe("every name below the VM's own leads to it too: ANY.NAME.vm"),
      userData: z
        .string()
        .optional()
        .describe("script to run as root once, at the end of the first boot")
        .meta({ path: "file" }),
      vmm: z
        .enum(["auto", ...VmmName.options])
        .optional()
        .describe("virtual machine monitor"),
      kernel: z
        .enum(["auto", ...KernelChoice.options])
        .optional()
        .describe("kernel: banger's own, without initramfs and modules, or the image's, which has all modules"),
      network: z
        .enum(["auto", ...NetworkMode.options])
        .optional()
        .describe("how it is connected: a bridge on this host, or a namespace without root"),
    }),
    output: Vm,
    events: ProgressEvent,
    errors: [
      "vm.name_taken",
      "image.not_found",
      "image.broken",
      "ssh.private_key",
      "ssh.bad_key",
      "host.memory_short",
      "bundle.stale",
      ...startErrors,
    ],
    positional: ["name"],
    onDisconnect: "cancel",
    command: {
      path: ["vm", "create"],
      aliases: [["create"], ["vm", "new"]],
      flagAliases: { vcpu: ["cpus", "vcpus"], label: ["labels"], memory: ["mem"], name: ["name"] },
      letters: { label: "l", memory: "m", vcpu: "c", image: "i" },
      examples: [
        { command: "banger create web", shows: "create and start a VM named web" },
        {
          command: "banger create --vcpu 2 --memory 2G --disk 20G --label team=blue db",
          shows: "choose its size and label it",
        },
        { command: "banger create --network namespace web", shows: "connect it without root" },
        { command: "banger create --no-start --json spare", shows: "only make it, and print it as JSON" },
      ],
    },
  }),
  "vm.start": method({
    summary: "Start VMs",
    input: z.object({ vm, wait: z.boolean().default(true).describe("wait until the guest can be reached"), timeout }),
    output: VmChange,
    events: ProgressEvent,
    errors: startErrors,
    positional: ["vm"],
    onDisconnect: "cancel",
    command: {
      path: ["vm", "start"],
      aliases: [["start"]],
      isMulti: true,
      examples: [
        { command: "banger start web db", shows: "start two VMs side by side" },
        { command: "banger start -l team=blue", shows: "start all with a label" },
        { command: "banger vm start --plan web", shows: "print what a start would do, and do nothing" },
      ],
    },
  }),
  "vm.plan": method({
    summary: "Show what a start would do",
    input: z.object({ vm }),
    output: StartPlan,
    errors: ["vm.not_found", "vm.ambiguous", "vmm.unavailable"],
    positional: ["vm"],
  }),
  "vm.stop": method({
    summary: "Stop VMs",
    description:
      "Asks the guest to power off, then presses its power button, then ends the process, each with a deadline.",
    input: z.object({ vm, force: force.describe("do not ask the guest: end it at once"), timeout }),
    output: VmChange,
    events: ProgressEvent,
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state", "operation.undo_incomplete", "operation.step_unknown"],
    positional: ["vm"],
    command: {
      path: ["vm", "stop"],
      aliases: [["stop"]],
      letters: { force: "f" },
      isMulti: true,
      examples: [
        { command: "banger stop web", shows: "shut one VM down" },
        { command: "banger stop --all", shows: "shut all of them down" },
      ],
    },
  }),
  "vm.restart": method({
    summary: "Stop VMs and start them again",
    input: z.object({ vm, force: force.describe("do not ask the guest: end it at once"), timeout }),
    output: VmChange,
    events: ProgressEvent,
    errors: [...startErrors, "operation.undo_incomplete", "operation.step_unknown"],
    positional: ["vm"],
    command: {
      path: ["vm", "restart"],
      aliases: [["restart"]],
      letters: { force: "f" },
      isMulti: true,
      examples: [{ command: "banger restart web", shows: "reboot with changed settings" }],
    },
  }),
  "vm.kill": method({
    summary: "End VMs at once, without asking the guest",
    input: z.object({ vm: exactVm }),
    output: VmChange,
    events: ProgressEvent,
    errors: ["vm.not_found", "operation.undo_incomplete", "operation.step_unknown"],
    positional: ["vm"],
    command: {
      path: ["vm", "kill"],
      aliases: [["kill"]],
      isMulti: true,
      examples: [{ command: "banger kill web", shows: "pull the plug of web" }],
    },
  }),
  "vm.delete": method({
    summary: "Delete VMs with their disks",
    input: z.object({ vm: exactVm, force: force.describe("also when it runs: stop it first") }),
    output: z.object({ id: z.string(), name: z.string(), deleted: z.literal(true) }),
    events: ProgressEvent,
    errors: ["vm.not_found", "vm.running", "operation.undo_incomplete", "operation.step_unknown"],
    positional: ["vm"],
    command: {
      path: ["vm", "delete"],
      aliases: [["rm"], ["delete"], ["vm", "rm"]],
      letters: { force: "f" },
      isMulti: true,
      examples: [
        { command: "banger rm web", shows: "delete a stopped VM" },
        { command: "banger rm --force web db", shows: "stop and delete two" },
      ],
    },
  }),
  "vm.list": method({
    summary: "List the VMs",
    input: z.object({ label: Labels.default({}).describe("only those with this label, as key=value") }),
    output: z.array(Vm),
    errors: [],
    command: {
      path: ["vm", "list"],
      aliases: [["list"], ["ls"], ["vm", "ls"], ["ps"]],
      letters: { label: "l" },
      examples: [
        { command: "banger ls", shows: "all VMs, whatever their state" },
        { command: "banger ls -q", shows: "their names only" },
        { command: "banger ls --json", shows: "everything about them" },
      ],
    },
  }),
  "vm.show": method({
    summary: "Show a VM",
    input: z.object({ vm }),
    output: Vm,
    errors: ["vm.not_found", "vm.ambiguous"],
    positional: ["vm"],
    command: {
      path: ["vm", "show"],
      aliases: [["show"], ["inspect"], ["vm", "inspect"]],
      examples: [
        { command: "banger show web", shows: "what it is, where it is reached" },
        { command: "banger show web --json", shows: "the same for a program" },
      ],
    },
  }),
  "vm.set": method({
    summary: "Change the vCPUs, memory, disk size, names, network or kernel of a stopped VM",
    input: z.object({
      vm,
      vcpu: vcpu.optional().describe("virtual CPUs"),
      memory: memory.optional().describe("memory with its unit, for example 2G"),
      disk: disk.optional().describe("new size of the root disk with its unit; disks only grow"),
      dnsWildcard: z.boolean().optional().describe("whether every name below the VM's own leads to it too"),
      network: NetworkMode.optional().describe("how it is connected from its next start on: bridge or namespace"),
      kernel: KernelChoice.optional().describe(
        "kernel from its next start on: banger's own as it is now, or its image's",
      ),
    }),
    output: VmChange,
    errors: [
      "vm.not_found",
      "vm.ambiguous",
      "vm.wrong_state",
      "vm.disk_shrink",
      "host.memory_short",
      "host.no_space",
      "image.not_found",
      "bundle.missing",
      "bundle.stale",
    ],
    positional: ["vm"],
    command: {
      path: ["vm", "set"],
      flagAliases: { vcpu: ["cpus", "vcpus"], memory: ["mem"] },
      examples: [
        { command: "banger vm set web --memory 8G --disk 80G", shows: "give it more" },
        { command: "banger vm set web --network namespace", shows: "connect it without root from its next start on" },
      ],
    },
  }),
  "vm.rename": method({
    summary: "Give a stopped VM another name",
    input: z.object({ vm, name: VmName.describe("the new name") }),
    output: VmChange,
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state", "vm.name_taken"],
    positional: ["vm", "name"],
    command: {
      path: ["vm", "rename"],
      aliases: [["rename"]],
      examples: [{ command: "banger vm rename web web-old", shows: "the guest's hostname follows at its next start" }],
    },
  }),
  "vm.label": method({
    summary: "Set or remove labels of a VM",
    input: z.object({
      vm,
      set: Labels.default({}).describe("label to set, as key=value"),
      remove: z.array(LabelKey).default([]).describe("key of a label to remove"),
    }),
    output: VmChange,
    errors: ["vm.not_found", "vm.ambiguous"],
    positional: ["vm"],
    command: {
      path: ["vm", "label"],
      examples: [
        { command: "banger vm label web --set team=blue --remove old", shows: "set one label, remove another" },
      ],
    },
  }),
  "vm.logs": method({
    summary: "Print what a VM wrote on its console",
    input: z.object({
      vm,
      follow: z.boolean().default(false).describe("go on printing as it comes"),
      tail: z
        .number()
        .int()
        .min(0, "give 0 or more lines")
        .max(1_000_000, "give at most 1000000 lines")
        .optional()
        .describe("only the last lines, this many"),
      since: z
        .string()
        .regex(/^\d+(\.\d+)?(ms|s|m|h)$/, "write a duration with its unit, for example 10m")
        .optional()
        .describe("only what was written in this time, for example 10m"),
      previous: z.boolean().default(false).describe("the run before this one"),
      vmm: z.boolean().default(false).describe("what the VMM itself said, instead of the guest"),
    }),
    output: z.object({ lines: z.number().int() }),
    events: z.object({ kind: z.literal("log"), text: z.string() }),
    errors: ["vm.not_found", "vm.ambiguous"],
    positional: ["vm"],
    onDisconnect: "cancel",
    command: {
      path: ["vm", "logs"],
      aliases: [["logs"]],
      letters: { follow: "f", tail: "n" },
      examples: [
        { command: "banger logs web", shows: "its console since it started" },
        { command: "banger logs -f --tail 20 web", shows: "the last lines, and what follows" },
      ],
    },
  }),
  "vm.stats": method({
    summary: "Show what VMs use of this host",
    input: z.object({ vm }),
    output: z.object({
      name: z.string(),
      state: z.string(),
      cpuPercent: z.number().nullable().describe("of one host CPU, over a quarter of a second"),
      cpuSeconds: z.number().nullable(),
      memoryMiB: z.number().nullable().describe("what the VMM occupies of this host's memory, MiB"),
      memoryLimitMiB: z.number(),
      diskUsedMiB: z.number().nullable(),
      diskMiB: z.number(),
      uptimeSeconds: z.number().nullable(),
    }),
    errors: ["vm.not_found", "vm.ambiguous"],
    positional: ["vm"],
    command: {
      path: ["vm", "stats"],
      aliases: [["stats"]],
      isMulti: true,
      examples: [{ command: "banger stats", shows: "CPU, memory and disk of every running VM" }],
    },
  }),
  "vm.why-slow": method({
    summary: "Show where the time of the last start went",
    input: z.object({ vm }),
    output: z.object({
      name: z.string(),
      operation: z.string(),
      startedAt: z.string(),
      totalMs: z.number(),
      steps: z.array(
        z.object({ step: z.string(), ms: z.number().nullable(), share: z.number(), usualMs: z.number().nullable() }),
      ),
      remark: z.string(),
    }),
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state"],
    positional: ["vm"],
    command: {
      path: ["vm", "why-slow"],
      examples: [{ command: "banger vm why-slow web", shows: "a waterfall of its last start" }],
    },
  }),
  "vm.ping": method({
    summary: "Ask the helper in a VM whether it is alive",
    description:
      "Goes over the guest channel, so it needs no network in the guest. Without an answer it says what that means: " +
      "the VM is down, it still boots, its helper alone is silent, or all of it stands still.",
    input: z.object({ vm }),
    output: z.object({
      name: z.string(),
      roundTripMs: z.number(),
      helperVersion: z.string(),
      uptimeSeconds: z.number(),
      clockSkewMs: z.number(),
    }),
    errors: [
      "vm.not_found",
      "vm.ambiguous",
      "vm.wrong_state",
      "guest.booting",
      "guest.silent",
      "guest.frozen",
      "guest.protocol_error",
    ],
    positional: ["vm"],
    command: {
      path: ["vm", "ping"],
      aliases: [["ping"]],
      examples: [
        { command: "banger vm ping web", shows: "round trip, uptime and clock of the guest" },
        { command: "banger vm ping --watch web", shows: "once a second until Ctrl-C, with a summary" },
      ],
    },
  }),
  "vm.access": method({
    summary: "What an ssh client needs to reach a VM",
    input: z.object({ vm }),
    output: z.object({
      id: z.string(),
      name: z.string(),
      user: z.string(),
      address: z.string(),
      port: z.number().int(),
      proxyCommand: z
        .string()
        .optional()
        .describe("ssh's ProxyCommand, with ProxyUseFdpass, where the address is not to be reached from here"),
      carryArgv: z
        .array(z.string())
        .optional()
        .describe("carries stdin and stdout there instead; exit code 1 or 75 says that it did not come so far"),
      keyPath: z.string().describe("banger's own private key"),
      knownHostsPath: z.string(),
      hostKeyAlias: z.string(),
      home: z.string().describe("the home of that user in the guest"),
    }),
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state"],
    positional: ["vm"],
  }),
  "vm.console": method({
    summary: "Where the serial console of a VM is attached to",
    input: z.object({ vm }),
    output: z.object({ name: z.string(), socket: z.string() }),
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state"],
    positional: ["vm"],
  }),
  "vm.stream": method({
    summary: "Where a stream to the guest helper of a VM is opened, and whether it serves that kind",
    input: z.object({ vm, kind: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,31}$/) }),
    output: z.object({
      id: z.string(),
      name: z.string(),
      user: z.string().describe("the user of the VM, for kinds that run as somebody"),
      socket: z.string().describe("what is spoken there is in docs/guest.md"),
    }),
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state", "guest.not_ready", "guest.too_old"],
    positional: ["vm", "kind"],
  }),
};
