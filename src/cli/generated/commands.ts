// Generated from src/spec/rpc by scripts/generate.ts; do not edit. The commands that call a method, as data.
import type { CommandData } from "../command-data.ts";

/** The methods that are commands: each has a view. */
export type CommandMethod =
  | "system.status"
  | "system.stop"
  | "system.audit"
  | "system.priv-log"
  | "events.subscribe"
  | "config.show"
  | "config.get"
  | "config.set"
  | "config.unset"
  | "vm.create"
  | "vm.start"
  | "vm.stop"
  | "vm.restart"
  | "vm.kill"
  | "vm.delete"
  | "vm.list"
  | "vm.show"
  | "vm.set"
  | "vm.rename"
  | "vm.label"
  | "vm.logs"
  | "vm.stats"
  | "vm.why-slow"
  | "vm.ping"
  | "vm.activity"
  | "vm.clock"
  | "vm.ports"
  | "vm.forward"
  | "image.build"
  | "image.register"
  | "image.list"
  | "image.show"
  | "image.delete"
  | "image.prune"
  | "dns.status"
  | "dns.records"
  | "dns.query";

export const generatedCommands: readonly CommandData[] = [
  {
    name: "system.status",
    path: ["daemon", "status"],
    aliases: [],
    summary: "Show the daemon: process, version, directories, DNS",
    examples: [
      {
        command: "banger daemon status",
        shows: "whether bangerd runs and where it listens",
      },
    ],
    flags: [],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "system.stop",
    path: ["daemon", "stop"],
    aliases: [],
    summary: "Stop the daemon; VMs go on running",
    examples: [
      {
        command: "banger daemon stop",
        shows: "end bangerd and leave the VMs running",
      },
    ],
    flags: [
      {
        field: "force",
        kind: "boolean",
        description: "do not wait for operations under way",
        isRequired: false,
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "system.audit",
    path: ["audit"],
    aliases: [],
    summary: "Compare what exists on this host with what the records say",
    examples: [
      {
        command: "banger audit",
        shows: "anything left over or missing; exit code 1 when there is",
      },
    ],
    flags: [],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "system.priv-log",
    path: ["priv", "log"],
    aliases: [],
    summary: "Show every operation that was done with privilege",
    examples: [
      {
        command: "banger priv log --tail 20",
        shows: "what was asked of root, by which request",
      },
    ],
    flags: [
      {
        field: "tail",
        kind: "integer",
        description: "the newest, this many",
        isRequired: false,
        letter: "n",
        default: 50,
        placeholder: "N",
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "events.subscribe",
    path: ["events"],
    aliases: [],
    summary: "Stream every change as it happens",
    examples: [
      {
        command: "banger events --json",
        shows: "one JSON object a line, for scripts",
      },
    ],
    flags: [
      {
        field: "since",
        kind: "integer",
        description: "cursor to go on after; without it only what comes",
        isRequired: false,
        placeholder: "N",
      },
      {
        field: "follow",
        kind: "boolean",
        description: "stay and wait for more",
        isRequired: false,
        default: true,
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "config.show",
    path: ["config", "show"],
    aliases: [["config", "list"]],
    summary: "Show every setting, its value and where it comes from",
    examples: [
      {
        command: "banger config show",
        shows: "all settings and their sources",
      },
    ],
    flags: [
      {
        field: "defaults",
        kind: "boolean",
        description: "the defaults, with what each is for",
        isRequired: false,
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "config.get",
    path: ["config", "get"],
    aliases: [],
    summary: "Print one setting",
    examples: [
      {
        command: "banger config get vm.memory",
        shows: "its value alone",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "key",
        kind: "text",
        description: "section.key, for example vm.memory",
        isRequired: true,
        placeholder: "KEY",
        names: "setting",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "config.set",
    path: ["config", "set"],
    aliases: [],
    summary: "Change one setting in the configuration file",
    examples: [
      {
        command: "banger config set vm.memory 8G",
        shows: "the new default for VMs",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "key",
        kind: "text",
        description: "section.key",
        isRequired: true,
        placeholder: "KEY",
        names: "setting",
      },
      {
        field: "value",
        kind: "text",
        description: "the new value",
        isRequired: true,
        placeholder: "VALUE",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "config.unset",
    path: ["config", "unset"],
    aliases: [],
    summary: "Take one setting out of the configuration file",
    examples: [
      {
        command: "banger config unset network.subnet",
        shows: "let one be chosen again",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "key",
        kind: "text",
        description: "section.key",
        isRequired: true,
        placeholder: "KEY",
        names: "setting",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.create",
    path: ["vm", "create"],
    aliases: [["create"], ["vm", "new"]],
    summary: "Create a VM and start it",
    description:
      "Makes a root disk from the image, starts the VM and returns when it can be reached. Without a name one is made up. The guest's user has the name and uid of yours, with sudo and your public keys.",
    examples: [
      {
        command: "banger create web",
        shows: "create and start a VM named web",
      },
      {
        command: "banger create --vcpu 2 --memory 2G --disk 20G --label team=blue db",
        shows: "choose its size and label it",
      },
      {
        command: "banger create --network namespace web",
        shows: "connect it without root",
      },
      {
        command: "banger create --no-start --json spare",
        shows: "only make it, and print it as JSON",
      },
    ],
    flags: [
      {
        field: "image",
        kind: "text",
        description: "image to clone (default: the one of the configuration, debian)",
        isRequired: false,
        letter: "i",
        placeholder: "IMAGE",
      },
      {
        field: "vcpu",
        kind: "integer",
        description: "virtual CPUs (default: up to 4)",
        isRequired: false,
        letter: "c",
        aliases: ["cpus", "vcpus"],
        placeholder: "N",
      },
      {
        field: "memory",
        kind: "text",
        description: "memory with its unit, for example 2G (default: up to 4G, a quarter of the host's)",
        isRequired: false,
        letter: "m",
        aliases: ["mem"],
        placeholder: "SIZE",
      },
      {
        field: "disk",
        kind: "text",
        description: "size of the root disk with its unit, for example 40G; sparse",
        isRequired: false,
        placeholder: "SIZE",
      },
      {
        field: "start",
        kind: "boolean",
        description: "start it after creating it",
        isRequired: false,
        default: true,
      },
      {
        field: "wait",
        kind: "boolean",
        description: "wait until the guest can be reached",
        isRequired: false,
        default: true,
      },
      {
        field: "timeout",
        kind: "text",
        description: "how long to wait for the guest, for example 90s or 2m",
        isRequired: false,
        placeholder: "DURATION",
      },
      {
        field: "sshKey",
        kind: "list",
        description: "public key, or file with public keys, that may log in besides your own",
        isRequired: false,
        path: "if-exists",
        placeholder: "SSH-KEY",
      },
      {
        field: "label",
        kind: "pairs",
        description: "label, as key=value",
        isRequired: false,
        letter: "l",
        aliases: ["labels"],
        placeholder: "KEY=VALUE",
      },
      {
        field: "dnsWildcard",
        kind: "boolean",
        description: "every name below the VM's own leads to it too: ANY.NAME.vm",
        isRequired: false,
        canBeNegated: true,
      },
      {
        field: "userData",
        kind: "text",
        description: "script to run as root once, at the end of the first boot",
        isRequired: false,
        path: "file",
        placeholder: "FILE",
      },
      {
        field: "vmm",
        kind: "choice",
        description: "virtual machine monitor",
        isRequired: false,
        choices: ["auto", "firecracker", "qemu"],
      },
      {
        field: "kernel",
        kind: "choice",
        description: "kernel: banger's own, without initramfs and modules, or the image's, which has all modules",
        isRequired: false,
        choices: ["auto", "banger", "image"],
      },
      {
        field: "network",
        kind: "choice",
        description: "how it is connected: a bridge on this host, or a namespace without root",
        isRequired: false,
        choices: ["auto", "bridge", "namespace"],
      },
    ],
    positionals: [
      {
        field: "name",
        kind: "text",
        description: "name of the VM; it becomes the hostname",
        isRequired: false,
        placeholder: "NAME",
        flag: "name",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "vm.start",
    path: ["vm", "start"],
    aliases: [["start"]],
    summary: "Start VMs",
    examples: [
      {
        command: "banger start web db",
        shows: "start two VMs side by side",
      },
      {
        command: "banger start -l team=blue",
        shows: "start all with a label",
      },
      {
        command: "banger vm start --plan web",
        shows: "print what a start would do, and do nothing",
      },
    ],
    flags: [
      {
        field: "wait",
        kind: "boolean",
        description: "wait until the guest can be reached",
        isRequired: false,
        default: true,
      },
      {
        field: "timeout",
        kind: "text",
        description: "how long to wait for the guest, for example 90s or 2m",
        isRequired: false,
        placeholder: "DURATION",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "vm.stop",
    path: ["vm", "stop"],
    aliases: [["stop"]],
    summary: "Stop VMs",
    description:
      "Asks the guest to power off, then presses its power button, then ends the process, each with a deadline.",
    examples: [
      {
        command: "banger stop web",
        shows: "shut one VM down",
      },
      {
        command: "banger stop --all",
        shows: "shut all of them down",
      },
    ],
    flags: [
      {
        field: "force",
        kind: "boolean",
        description: "do not ask the guest: end it at once",
        isRequired: false,
        letter: "f",
      },
      {
        field: "timeout",
        kind: "text",
        description: "how long to wait for the guest, for example 90s or 2m",
        isRequired: false,
        placeholder: "DURATION",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: true,
    isCancellable: false,
  },
  {
    name: "vm.restart",
    path: ["vm", "restart"],
    aliases: [["restart"]],
    summary: "Stop VMs and start them again",
    examples: [
      {
        command: "banger restart web",
        shows: "reboot with changed settings",
      },
    ],
    flags: [
      {
        field: "force",
        kind: "boolean",
        description: "do not ask the guest: end it at once",
        isRequired: false,
        letter: "f",
      },
      {
        field: "timeout",
        kind: "text",
        description: "how long to wait for the guest, for example 90s or 2m",
        isRequired: false,
        placeholder: "DURATION",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: true,
    isCancellable: false,
  },
  {
    name: "vm.kill",
    path: ["vm", "kill"],
    aliases: [["kill"]],
    summary: "End VMs at once, without asking the guest",
    examples: [
      {
        command: "banger kill web",
        shows: "pull the plug of web",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name or id, in full",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: true,
    isCancellable: false,
  },
  {
    name: "vm.delete",
    path: ["vm", "delete"],
    aliases: [["rm"], ["delete"], ["vm", "rm"]],
    summary: "Delete VMs with their disks",
    examples: [
      {
        command: "banger rm web",
        shows: "delete a stopped VM",
      },
      {
        command: "banger rm --force web db",
        shows: "stop and delete two",
      },
    ],
    flags: [
      {
        field: "force",
        kind: "boolean",
        description: "also when it runs: stop it first",
        isRequired: false,
        letter: "f",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name or id, in full",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: true,
    isCancellable: false,
  },
  {
    name: "vm.list",
    path: ["vm", "list"],
    aliases: [["list"], ["ls"], ["vm", "ls"], ["ps"]],
    summary: "List the VMs",
    examples: [
      {
        command: "banger ls",
        shows: "all VMs, whatever their state",
      },
      {
        command: "banger ls -q",
        shows: "their names only",
      },
      {
        command: "banger ls --json",
        shows: "everything about them",
      },
    ],
    flags: [
      {
        field: "label",
        kind: "pairs",
        description: "only those with this label, as key=value",
        isRequired: false,
        letter: "l",
        placeholder: "KEY=VALUE",
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.show",
    path: ["vm", "show"],
    aliases: [["show"], ["inspect"], ["vm", "inspect"]],
    summary: "Show a VM",
    examples: [
      {
        command: "banger show web",
        shows: "what it is, where it is reached",
      },
      {
        command: "banger show web --json",
        shows: "the same for a program",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.set",
    path: ["vm", "set"],
    aliases: [],
    summary: "Change the vCPUs, memory, disk size, names, network or kernel of a stopped VM",
    examples: [
      {
        command: "banger vm set web --memory 8G --disk 80G",
        shows: "give it more",
      },
      {
        command: "banger vm set web --network namespace",
        shows: "connect it without root from its next start on",
      },
    ],
    flags: [
      {
        field: "vcpu",
        kind: "integer",
        description: "virtual CPUs",
        isRequired: false,
        aliases: ["cpus", "vcpus"],
        placeholder: "N",
      },
      {
        field: "memory",
        kind: "text",
        description: "memory with its unit, for example 2G",
        isRequired: false,
        aliases: ["mem"],
        placeholder: "SIZE",
      },
      {
        field: "disk",
        kind: "text",
        description: "new size of the root disk with its unit; disks only grow",
        isRequired: false,
        placeholder: "SIZE",
      },
      {
        field: "dnsWildcard",
        kind: "boolean",
        description: "whether every name below the VM's own leads to it too",
        isRequired: false,
        canBeNegated: true,
      },
      {
        field: "network",
        kind: "choice",
        description: "how it is connected from its next start on: bridge or namespace",
        isRequired: false,
        choices: ["bridge", "namespace"],
      },
      {
        field: "kernel",
        kind: "choice",
        description: "kernel from its next start on: banger's own as it is now, or its image's",
        isRequired: false,
        choices: ["banger", "image"],
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.rename",
    path: ["vm", "rename"],
    aliases: [["rename"]],
    summary: "Give a stopped VM another name",
    examples: [
      {
        command: "banger vm rename web web-old",
        shows: "the guest's hostname follows at its next start",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
      {
        field: "name",
        kind: "text",
        description: "the new name",
        isRequired: true,
        placeholder: "NAME",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.label",
    path: ["vm", "label"],
    aliases: [],
    summary: "Set or remove labels of a VM",
    examples: [
      {
        command: "banger vm label web --set team=blue --remove old",
        shows: "set one label, remove another",
      },
    ],
    flags: [
      {
        field: "set",
        kind: "pairs",
        description: "label to set, as key=value",
        isRequired: false,
        placeholder: "KEY=VALUE",
      },
      {
        field: "remove",
        kind: "list",
        description: "key of a label to remove",
        isRequired: false,
        placeholder: "REMOVE",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.logs",
    path: ["vm", "logs"],
    aliases: [["logs"]],
    summary: "Print what a VM wrote on its console",
    examples: [
      {
        command: "banger logs web",
        shows: "its console since it started",
      },
      {
        command: "banger logs -f --tail 20 web",
        shows: "the last lines, and what follows",
      },
    ],
    flags: [
      {
        field: "follow",
        kind: "boolean",
        description: "go on printing as it comes",
        isRequired: false,
        letter: "f",
      },
      {
        field: "tail",
        kind: "integer",
        description: "only the last lines, this many",
        isRequired: false,
        letter: "n",
        placeholder: "N",
      },
      {
        field: "since",
        kind: "text",
        description: "only what was written in this time, for example 10m",
        isRequired: false,
        placeholder: "DURATION",
      },
      {
        field: "previous",
        kind: "boolean",
        description: "the run before this one",
        isRequired: false,
      },
      {
        field: "vmm",
        kind: "boolean",
        description: "what the VMM itself said, instead of the guest",
        isRequired: false,
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "vm.stats",
    path: ["vm", "stats"],
    aliases: [["stats"]],
    summary: "Show what VMs use of this host",
    examples: [
      {
        command: "banger stats",
        shows: "CPU, memory and disk of every running VM",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.why-slow",
    path: ["vm", "why-slow"],
    aliases: [],
    summary: "Show where the time of the last start went",
    examples: [
      {
        command: "banger vm why-slow web",
        shows: "a waterfall of its last start",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.ping",
    path: ["vm", "ping"],
    aliases: [["ping"]],
    summary: "Ask the helper in a VM whether it is alive",
    description:
      "Goes over the guest channel, so it needs no network in the guest. Without an answer it says what that means: the VM is down, it still boots, its helper alone is silent, or all of it stands still.",
    examples: [
      {
        command: "banger vm ping web",
        shows: "round trip, uptime and clock of the guest",
      },
      {
        command: "banger vm ping --watch web",
        shows: "once a second until Ctrl-C, with a summary",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.activity",
    path: ["vm", "activity"],
    aliases: [],
    summary: "Show what goes on in a VM: logins, long-running processes, listening ports",
    description:
      "The guest's helper tells it, so it is as true as the guest is honest. Processes count that are no service of the guest's and are older than 10 seconds. What does not answer in time is left out.",
    examples: [
      {
        command: "banger vm activity web",
        shows: "who and what is in it",
      },
    ],
    flags: [
      {
        field: "within",
        kind: "integer",
        description: "how long to wait for the guest, in milliseconds",
        isRequired: false,
        default: 3000,
        placeholder: "N",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.clock",
    path: ["vm", "clock"],
    aliases: [],
    summary: "Set the clocks of VMs to that of this host",
    description:
      "The daemon does so by itself when this host has slept. How far a clock is off is measured at each ping and shown by `banger show`.",
    examples: [
      {
        command: "banger vm clock web",
        shows: "set it, and say how far it was off",
      },
      {
        command: "banger vm clock --all",
        shows: "for every VM that runs",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: true,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "vm.ports",
    path: ["vm", "ports"],
    aliases: [["ports"]],
    summary: "List what listens in a VM, and how it is reached",
    description:
      "The helper in the guest tells of TCP sockets with the process that holds them. What listens on the guest's loopback is reached from inside alone.",
    examples: [
      {
        command: "banger vm ports web",
        shows: "ports, processes, and what to type to reach them",
      },
      {
        command: "banger vm ports --watch web",
        shows: "the same whenever it changes, until Ctrl-C",
      },
    ],
    flags: [
      {
        field: "watch",
        kind: "boolean",
        description: "stay, and print the list again whenever it changes",
        isRequired: false,
        letter: "w",
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "vm.forward",
    path: ["vm", "forward"],
    aliases: [["forward"]],
    summary: "Publish a port of a VM on this host's loopback",
    description:
      "Writes [HOST_ADDRESS:]HOST_PORT:GUEST_PORT, or one port for both. It leads to the VM for as long as the command runs; with --keep it belongs to the VM and is there whenever that runs. What listens on the guest's own loopback is not reached. Without a port it lists what there is.",
    examples: [
      {
        command: "banger vm forward web 8080:80",
        shows: "http://localhost:8080 is port 80 of web, until Ctrl-C",
      },
      {
        command: "banger vm forward --keep web 8080:80",
        shows: "the same whenever web runs",
      },
      {
        command: "banger vm forward web",
        shows: "what is published",
      },
      {
        command: "banger vm forward --remove 8080 web",
        shows: "take it back",
      },
    ],
    flags: [
      {
        field: "bind",
        kind: "text",
        description: "address of this host to listen on; only what is asked for is open to other machines",
        isRequired: false,
        placeholder: "BIND",
      },
      {
        field: "keep",
        kind: "boolean",
        description: "make it a property of the VM",
        isRequired: false,
        letter: "k",
      },
      {
        field: "remove",
        kind: "list",
        description: "port of this host whose kept forward is to go",
        isRequired: false,
        placeholder: "REMOVE",
      },
      {
        field: "list",
        kind: "boolean",
        description: "only list",
        isRequired: false,
      },
    ],
    positionals: [
      {
        field: "vm",
        kind: "text",
        description: "VM name, id or unique prefix",
        isRequired: true,
        placeholder: "VM",
        names: "vm",
      },
      {
        field: "forward",
        kind: "text",
        description: "[HOST_ADDRESS:]HOST_PORT:GUEST_PORT, for example 8080:80",
        isRequired: false,
        placeholder: "FORWARD",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "image.build",
    path: ["image", "build"],
    aliases: [],
    summary: "Build an image of Debian with the guest helper in it",
    description:
      "Needs mmdebstrap, and no root where the host allows user namespaces; where the runtime bundle has the default image ready, that is unpacked instead. With --from it is made out of an image that is there: a temporary VM named banger-build-… boots from it, the scripts run in it as root, one after the other, and its disk is the new image. A build that fails or is interrupted leaves nothing.",
    examples: [
      {
        command: "banger image build",
        shows: "make the default image, debian-13",
      },
      {
        command: "banger image build --package git --package build-essential dev",
        shows: "one with more in it",
      },
      {
        command: "banger image build --from debian --script ./tools.sh --script ./team.sh dev",
        shows: "one out of another, by scripts that run in a temporary VM",
      },
    ],
    flags: [
      {
        field: "mirror",
        kind: "text",
        description: "Debian mirror to use",
        isRequired: false,
        placeholder: "MIRROR",
      },
      {
        field: "package",
        kind: "list",
        description: "package to put in besides the default ones",
        isRequired: false,
        placeholder: "PACKAGE",
      },
      {
        field: "from",
        kind: "text",
        description: "image to start from, in a temporary VM, instead of from packages",
        isRequired: false,
        placeholder: "FROM",
      },
      {
        field: "script",
        kind: "list",
        description: "script to run in it as root; the first that fails ends the build",
        isRequired: false,
        path: "file",
        placeholder: "FILE",
      },
      {
        field: "replace",
        kind: "boolean",
        description: "build it anew when it exists; VMs keep what they have",
        isRequired: false,
      },
      {
        field: "fresh",
        kind: "boolean",
        description: "build it from packages even where the bundle has it ready",
        isRequired: false,
      },
    ],
    positionals: [
      {
        field: "name",
        kind: "text",
        description: "name of the image",
        isRequired: false,
        placeholder: "NAME",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: true,
  },
  {
    name: "image.register",
    path: ["image", "register"],
    aliases: [["image", "import"]],
    summary: "Register a root file system as an image",
    examples: [
      {
        command: "banger image register mine ./rootfs.ext4",
        shows: "copy a file system in",
      },
    ],
    flags: [
      {
        field: "kernelOf",
        kind: "text",
        description: "image whose kernel it uses (default: the default image's)",
        isRequired: false,
        placeholder: "KERNEL-OF",
      },
    ],
    positionals: [
      {
        field: "name",
        kind: "text",
        description: "name of the image",
        isRequired: true,
        placeholder: "NAME",
      },
      {
        field: "path",
        kind: "text",
        description: "raw ext4 file without a partition table; it is copied",
        isRequired: true,
        placeholder: "PATH",
        path: "file",
      },
    ],
    isMulti: false,
    hasEvents: true,
    isCancellable: false,
  },
  {
    name: "image.list",
    path: ["image", "list"],
    aliases: [["image", "ls"], ["images"]],
    summary: "List the images",
    examples: [
      {
        command: "banger image list",
        shows: "images, their size on disk and who uses them",
      },
    ],
    flags: [],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "image.show",
    path: ["image", "show"],
    aliases: [["image", "inspect"]],
    summary: "Show an image and how it was made",
    examples: [
      {
        command: "banger image show debian",
        shows: "its kernel, packages and users",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "image",
        kind: "text",
        description: "image name, alias or id",
        isRequired: true,
        placeholder: "IMAGE",
        names: "image",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "image.delete",
    path: ["image", "delete"],
    aliases: [["image", "rm"]],
    summary: "Delete an image",
    examples: [
      {
        command: "banger image rm old",
        shows: "delete one that no VM uses",
      },
    ],
    flags: [],
    positionals: [
      {
        field: "image",
        kind: "text",
        description: "image name, alias or id",
        isRequired: true,
        placeholder: "IMAGE",
        names: "image",
      },
    ],
    isMulti: true,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "image.prune",
    path: ["image", "prune"],
    aliases: [],
    summary: "Delete kernels and leftovers of builds that nothing uses",
    examples: [
      {
        command: "banger image prune --dry-run",
        shows: "what would be freed",
      },
    ],
    flags: [
      {
        field: "dryRun",
        kind: "boolean",
        description: "only say what would go",
        isRequired: false,
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "dns.status",
    path: ["dns", "status"],
    aliases: [],
    summary: "Show where names are answered, and what was asked",
    examples: [
      {
        command: "banger dns status",
        shows: "address, port, records, queries, and what is amiss",
      },
    ],
    flags: [],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "dns.records",
    path: ["dns", "records"],
    aliases: [],
    summary: "List the records that the name server holds",
    examples: [
      {
        command: "banger dns records",
        shows: "the names of running VMs, and the zone's own",
      },
      {
        command: "banger dns records --guest",
        shows: "those that VMs see",
      },
    ],
    flags: [
      {
        field: "guest",
        kind: "boolean",
        description: "as guests are answered at their gateway",
        isRequired: false,
      },
    ],
    positionals: [],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
  {
    name: "dns.query",
    path: ["dns", "query"],
    aliases: [],
    summary: "Ask the name server, and this host's resolver, for a name",
    description:
      "The first lines are what banger's own name server answers; the last one is what programs of this host get, from the system's resolver. A name without a dot is a VM's; an address asks for its name.",
    examples: [
      {
        command: "banger dns query web",
        shows: "web's address, by banger and by this host's resolver",
      },
      {
        command: "banger dns query 10.77.5.2",
        shows: "which VM has it",
      },
      {
        command: "banger dns query --guest deb.debian.org",
        shows: "what a guest gets",
      },
    ],
    flags: [
      {
        field: "type",
        kind: "choice",
        description: "type of record (default: A, and PTR for an address)",
        isRequired: false,
        letter: "t",
        choices: ["A", "AAAA", "PTR", "SOA", "NS", "TXT", "MX", "ANY"],
      },
      {
        field: "guest",
        kind: "boolean",
        description: "as guests are answered at their gateway",
        isRequired: false,
      },
    ],
    positionals: [
      {
        field: "name",
        kind: "text",
        description: "name or address to ask for",
        isRequired: true,
        placeholder: "NAME",
      },
    ],
    isMulti: false,
    hasEvents: false,
    isCancellable: false,
  },
];
