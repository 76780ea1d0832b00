// The commands about this host itself: setting it up, and checking what it has.
import type { CommandData } from "./command-data.ts";

const base = {
  aliases: [],
  flags: [],
  positionals: [],
  isMulti: false,
  hasEvents: false,
  isCancellable: false,
} as const;

export const hostCommands = [
  {
    ...base,
    name: "cli.setup",
    path: ["setup"],
    summary: "Set this host up for VMs: what needs root, shown first and asked once",
    examples: [
      { command: "banger setup --print", shows: "what it would do, without doing it" },
      { command: "banger setup", shows: "show it, ask, and do it" },
    ],
    flags: [
      { field: "print", kind: "boolean", description: "only print what it would do", isRequired: false },
      { field: "yes", kind: "boolean", description: "do not ask", isRequired: false, letter: "y" },
      { field: "undo", kind: "boolean", description: "take away what an earlier setup made", isRequired: false },
    ],
  },
  {
    ...base,
    name: "cli.doctor",
    path: ["doctor"],
    summary: "Check everything that banger needs of this host, and say how to mend it",
    description:
      "Works when no daemon can be started too. Each line is one need: ok, warning (things work, but worse, or only some), " +
      "error (VMs cannot be used before it is mended) or skipped. With --fix it runs the repairs that harm nothing, shows each, and checks again. " +
      "The exit code is 5 when there is an error, 1 with --strict when there is a warning, otherwise 0.",
    examples: [
      { command: "banger doctor", shows: "how this host stands, and what to type where it stands badly" },
      { command: "banger doctor --fix --root", shows: "mend what can be mended, by sudo too" },
      { command: "banger doctor --canary", shows: "whether a VM really boots, is reached, and leaves nothing" },
      { command: "banger doctor --json", shows: "the same for a program" },
    ],
    flags: [
      { field: "fix", kind: "boolean", description: "run the repairs that are safe, and show each", isRequired: false },
      {
        field: "root",
        kind: "boolean",
        description: "with --fix: those that need root too, by sudo",
        isRequired: false,
      },
      {
        field: "canary",
        kind: "boolean",
        description: "boot a VM that is thrown away, and prove every hop to it with its time",
        isRequired: false,
      },
      { field: "strict", kind: "boolean", description: "a warning makes the exit code 1", isRequired: false },
    ],
  },
  {
    ...base,
    name: "cli.dns-setup",
    path: ["dns", "setup"],
    summary: "Have this host's own resolver find VMs by name; shown first and asked once",
    description:
      "Tells systemd-resolved, NetworkManager's dnsmasq or dnsmasq where names below the zone are answered, and nothing else: " +
      "all other names go where they went. It needs root once, holds after reboots, and is taken back by banger dns undo.",
    examples: [
      { command: "banger dns setup --print", shows: "every file and command, without doing anything" },
      { command: "banger dns setup", shows: "show it, ask, and do it" },
    ],
    flags: [
      { field: "print", kind: "boolean", description: "only print what it would do", isRequired: false },
      { field: "yes", kind: "boolean", description: "do not ask", isRequired: false, letter: "y" },
      {
        field: "zone",
        kind: "text",
        description: "domain of the VMs, instead of the one of the settings",
        isRequired: false,
        placeholder: "ZONE",
      },
      {
        field: "server",
        kind: "text",
        description: "where it is answered, instead of the place of the settings",
        isRequired: false,
        placeholder: "ADDRESS:PORT",
      },
      {
        field: "resolver",
        kind: "choice",
        description: "the resolver to tell, instead of the one that is found",
        isRequired: false,
        choices: ["resolved-delegate", "resolved-link", "networkmanager", "dnsmasq"],
      },
    ],
  },
  {
    ...base,
    name: "cli.dns-undo",
    path: ["dns", "undo"],
    summary: "Take back what banger dns setup changed on this host",
    examples: [
      { command: "banger dns undo --print", shows: "what would be removed" },
      { command: "banger dns undo", shows: "show it, ask, and do it" },
    ],
    flags: [
      { field: "print", kind: "boolean", description: "only print what it would do", isRequired: false },
      { field: "yes", kind: "boolean", description: "do not ask", isRequired: false, letter: "y" },
    ],
  },
] as const satisfies readonly CommandData[];
