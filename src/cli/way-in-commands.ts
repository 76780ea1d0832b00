// The commands that let ssh, and what is built on it, find VMs.
import type { CommandData, PositionalData } from "./command-data.ts";

const base = {
  aliases: [],
  flags: [],
  positionals: [],
  isMulti: false,
  hasEvents: false,
  isCancellable: false,
} as const;

const vm = (isRequired: boolean): PositionalData => ({
  field: "vm",
  kind: "text",
  description: isRequired ? "VM name, id or unique prefix" : "VM name, id or unique prefix; the only VM when left out",
  isRequired,
  placeholder: "VM",
  names: "vm",
});

export const wayInCommands = [
  {
    ...base,
    name: "cli.proxy",
    path: ["vm", "proxy"],
    summary: "Carry one ssh connection to a VM, for ssh's ProxyCommand",
    description:
      "What `banger ssh-config install` has ssh run: input and output are the connection. It goes to the VM's address, " +
      "and over the guest channel where nothing answers there. A stopped VM is started when ssh.autostart is true.",
    examples: [{ command: "banger vm proxy web", shows: "what ssh runs by itself" }],
    positionals: [vm(true)],
  },
  {
    ...base,
    name: "cli.code",
    path: ["vm", "code"],
    summary: "Open a folder of a VM in Visual Studio Code",
    description:
      "Runs `code` of this host with the VM as a remote of ssh, which finds it by `banger ssh-config install`. A stopped VM is started " +
      "when ssh.autostart is true, or when you agree.",
    examples: [
      { command: "banger vm code web", shows: "the home of its user" },
      { command: "banger vm code web /srv/app", shows: "another folder" },
    ],
    positionals: [
      vm(true),
      {
        field: "path",
        kind: "text",
        description: "folder in the VM, from its user's home on",
        isRequired: false,
        placeholder: "PATH",
      },
    ],
  },
  {
    ...base,
    name: "cli.ssh-config-install",
    path: ["ssh-config", "install"],
    summary: "Let ssh, scp, rsync, git and editors find VMs as NAME.vm",
    description:
      "Puts one Include at the top of ~/.ssh/config; everything else in it stays as it is. What is included is written by bangerd: " +
      "each VM with its user, its pinned host key, banger's identity and the way there, also when the guest's network is down.",
    examples: [{ command: "banger ssh-config install", shows: "ssh web.vm works from then on" }],
  },
  {
    ...base,
    name: "cli.ssh-config-uninstall",
    path: ["ssh-config", "uninstall"],
    summary: "Take the Include out of ~/.ssh/config again",
    examples: [{ command: "banger ssh-config uninstall", shows: "the file is as it was" }],
  },
  {
    ...base,
    name: "cli.ssh-config-print",
    path: ["ssh-config", "print"],
    summary: "Print what ssh is told about VMs",
    examples: [{ command: "banger ssh-config print", shows: "a section for each VM; nothing is changed" }],
  },
] as const satisfies readonly CommandData[];
