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
] as const satisfies readonly CommandData[];
