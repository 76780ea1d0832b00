// The commands that are the CLI's own: they run ssh, attach a console, or speak of this machine rather than of one method.
import { bundleCommands } from "./bundle-commands.ts";
import type { CommandData, FlagData, PositionalData } from "./command-data.ts";
import { hostCommands } from "./host-commands.ts";
import { wayInCommands } from "./way-in-commands.ts";

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

const forceStop: FlagData = {
  field: "force",
  kind: "boolean",
  description: "do not wait for operations under way",
  isRequired: false,
  letter: "f",
};

export const localCommands = [
  {
    ...base,
    name: "cli.ssh",
    path: ["vm", "ssh"],
    aliases: [["ssh"], ["vm", "shell"], ["shell"]],
    summary: "Open a shell in a VM, or run a command in it",
    description:
      "Runs the ssh of this host on your terminal, with banger's own key and the host key that was pinned when the VM was made. " +
      "Everything after the VM belongs to the guest: one word is a shell line, several are a command with its arguments, " +
      "passed on exactly. With only one VM its name may be left out. Your ~/.ssh/config is read; what matters for reaching the VM is set over it. " +
      "The exit code is the command's; 255 comes from ssh itself. With --json it prints what an ssh client needs, and connects to nothing.",
    examples: [
      { command: "banger ssh web", shows: "a shell in web" },
      { command: "banger ssh web ls -la /etc", shows: "run a command; flags after the name are the command's" },
      { command: "banger ssh web -- sh -c 'exit 7'", shows: "its exit code is banger's" },
    ],
    flags: [
      {
        field: "tty",
        kind: "boolean",
        description: "give the command a terminal, as programs like top need it",
        isRequired: false,
        letter: "t",
      },
      {
        field: "forwardAgent",
        kind: "boolean",
        description: "lend the guest your ssh agent for the time of the connection",
        isRequired: false,
        letter: "A",
      },
      {
        field: "quiet",
        kind: "boolean",
        description: "do not say afterwards that the VM still runs",
        isRequired: false,
        letter: "q",
      },
    ],
    positionals: [vm(false)],
    takesRest: { placeholder: "COMMAND", description: "what to run in the guest, instead of a shell" },
  },
  {
    ...base,
    name: "cli.exec",
    path: ["vm", "exec"],
    aliases: [["exec"]],
    summary: "Run a command in a VM, or in several, without ssh and without network",
    description:
      "Goes over the guest channel: it works with the guest's network and sshd down. Everything after the VM is the command with its " +
      "arguments, passed on exactly and to no shell; without one it is a login shell. Input, output, signals and the exit code are the command's: " +
      "128+n after signal n, 127 when there is no such command. It ends when the command does, even if something it started still runs; " +
      "when banger goes away, all of it is ended. With --all or -l it runs in every running VM at once, without input, each line behind the VM's name.",
    examples: [
      { command: "banger exec web -- systemctl is-system-running", shows: "its output, its exit code" },
      { command: "banger exec -t web", shows: "a login shell on your terminal" },
      { command: "banger exec web -- sh -c 'cat >notes'", shows: "its input is banger's, from a pipe or a file" },
      { command: "banger exec --all -- uptime", shows: "in every running VM" },
    ],
    flags: [
      { field: "tty", kind: "boolean", description: "give the command a terminal", isRequired: false, letter: "t" },
      {
        field: "env",
        kind: "list",
        description: "set a variable, as KEY=value; KEY alone takes its value from here",
        isRequired: false,
        letter: "e",
        placeholder: "KEY=VALUE",
      },
      {
        field: "workdir",
        kind: "text",
        description: "where to run it, from the user's home on",
        isRequired: false,
        letter: "w",
        placeholder: "DIR",
      },
      {
        field: "user",
        kind: "text",
        description: "name or number of who runs it; the user of the VM when left out",
        isRequired: false,
        letter: "u",
        placeholder: "USER",
      },
      { field: "all", kind: "boolean", description: "in every VM that runs", isRequired: false },
      {
        field: "selector",
        kind: "pairs",
        description: "in every VM that runs and has this label, as key=value",
        isRequired: false,
        letter: "l",
        placeholder: "KEY=VALUE",
      },
    ],
    positionals: [vm(false)],
    takesRest: { placeholder: "COMMAND", description: "what to run in the guest" },
  },
  {
    ...base,
    name: "cli.copy",
    path: ["vm", "cp"],
    aliases: [["cp"]],
    summary: "Copy files and directories into a VM, out of one, or from VM to VM",
    description:
      "Goes over the guest channel, without ssh and without network. Paths are scp's: NAME:PATH is in a VM and relative to its user's home, " +
      "all else is here; what is copied goes into a destination that is a directory, and otherwise gets its name; DIR/. is what is in DIR; " +
      "several sources need a directory. Directories are copied whole. Permissions, times, symbolic links and holes are kept; owners, set-uid bits, " +
      "hard links, devices and patterns (*) are not. A file appears under its name when it is complete. One of 1 MiB or more whose copy was cut " +
      "is gone on with by the same command, as long as its size and time have not changed; smaller ones begin anew.",
    examples: [
      { command: "banger cp notes.txt web:", shows: "into the home of the VM's user" },
      { command: "banger cp web:/var/log/syslog .", shows: "out of it" },
      { command: "banger cp src web:/srv", shows: "a directory, as /srv/src" },
      { command: "banger cp web:data db:data", shows: "from one VM to another" },
    ],
    flags: [
      {
        field: "recursive",
        kind: "boolean",
        description: "as scp needs it for directories; always so here",
        isRequired: false,
        letter: "r",
      },
      {
        field: "user",
        kind: "text",
        description: "whose files they are in the guest; the user of the VM when left out",
        isRequired: false,
        letter: "u",
        placeholder: "USER",
      },
      { field: "quiet", kind: "boolean", description: "show no progress", isRequired: false, letter: "q" },
    ],
    takesRest: { placeholder: "PATH", description: "what to copy, and last where to: PATH or NAME:PATH" },
  },
  ...wayInCommands,
  {
    ...base,
    name: "cli.console",
    path: ["vm", "console"],
    aliases: [["console"]],
    summary: "Attach to the serial console of a VM",
    description: "What you type goes to the guest until you press Ctrl-]. Needs no network and no ssh in the guest.",
    examples: [{ command: "banger vm console web", shows: "watch it boot, log in; Ctrl-] leaves" }],
    flags: [
      {
        field: "tail",
        kind: "integer",
        description: "show this many of the last bytes first, at most 65536",
        isRequired: false,
        letter: "n",
        default: 4096,
        placeholder: "BYTES",
      },
    ],
    positionals: [vm(false)],
  },
  {
    ...base,
    name: "cli.tui",
    path: ["tui"],
    summary: "Look after VMs on the whole terminal",
    description:
      "A live table of the VMs with what each is doing; `?` shows every key. banger alone on a terminal opens it too. Leaving it stops no VM.",
    examples: [{ command: "banger tui", shows: "browse, start, stop, create, open shells" }],
  },
  {
    ...base,
    name: "cli.daemon-restart",
    path: ["daemon", "restart"],
    summary: "Replace the daemon by a new one; VMs go on running",
    examples: [{ command: "banger daemon restart", shows: "for example after editing the configuration" }],
    flags: [forceStop],
  },
  {
    ...base,
    name: "cli.daemon-logs",
    path: ["daemon", "logs"],
    summary: "Print what the daemon wrote into its log",
    examples: [{ command: "banger daemon logs -f --tail 20", shows: "the last lines, and what follows" }],
    flags: [
      { field: "follow", kind: "boolean", description: "go on printing as it comes", isRequired: false, letter: "f" },
      {
        field: "tail",
        kind: "integer",
        description: "only the last lines, this many",
        isRequired: false,
        letter: "n",
        placeholder: "N",
      },
    ],
  },
  {
    ...base,
    name: "cli.config-path",
    path: ["config", "path"],
    summary: "Print where the configuration file is",
    examples: [{ command: "banger config path", shows: "the file to edit; it need not exist" }],
  },
  {
    ...base,
    name: "cli.version",
    path: ["version"],
    summary: "Print the versions of banger and of the running daemon",
    examples: [{ command: "banger version --json", shows: "both, for a program" }],
  },
  {
    ...base,
    name: "cli.completion",
    path: ["completion"],
    summary: "Print the completion script of a shell",
    description:
      "bash: source <(banger completion bash), in ~/.bashrc. zsh: source <(banger completion zsh), in ~/.zshrc after compinit. " +
      "fish: banger completion fish > ~/.config/fish/completions/banger.fish.",
    examples: [{ command: "banger completion bash", shows: "to be sourced by ~/.bashrc" }],
    positionals: [
      {
        field: "shell",
        kind: "text",
        description: "bash, zsh or fish",
        isRequired: true,
        placeholder: "SHELL",
        choices: ["bash", "zsh", "fish"],
      },
    ],
  },
  ...hostCommands,
  ...bundleCommands,
  {
    ...base,
    name: "cli.help",
    path: ["help"],
    summary: "Explain a command, or a topic: exit-codes, environment",
    examples: [
      { command: "banger help vm create", shows: "everything about one command" },
      { command: "banger help exit-codes", shows: "what each exit code means" },
    ],
    takesRest: { placeholder: "COMMAND", description: "a command or a topic" },
  },
] as const satisfies readonly CommandData[];

export type LocalCommand = (typeof localCommands)[number]["name"];
