// Every command there is: those of the contract, those of the CLI's own, and the flags that the CLI adds to them.
import type { CommandData, FlagData } from "./command-data.ts";
import { generatedCommands } from "./generated/commands.ts";
import { localCommands } from "./local-commands.ts";

const json: FlagData = {
  field: "json",
  kind: "boolean",
  description: "print JSON: the object, or one object a line for streams; errors too",
  isRequired: false,
};

const quiet: FlagData = {
  field: "quiet",
  kind: "boolean",
  description: "names only, one a line",
  isRequired: false,
  letter: "q",
};

const selection: readonly FlagData[] = [
  { field: "all", kind: "boolean", description: "every VM that this applies to", isRequired: false },
  {
    field: "selector",
    kind: "pairs",
    description: "every VM that has this label, as key=value",
    isRequired: false,
    letter: "l",
    placeholder: "KEY=VALUE",
  },
];

const plan: FlagData = {
  field: "plan",
  kind: "boolean",
  description: "print what a start would do, and do nothing",
  isRequired: false,
};

const watch: FlagData = {
  field: "watch",
  kind: "boolean",
  description: "ask once a second until Ctrl-C",
  isRequired: false,
  letter: "w",
};

const isAboutVms = (command: CommandData): boolean => command.positionals[0]?.names === "vm";

const addedFlags = (command: CommandData): readonly FlagData[] => [
  ...(command.isMulti && isAboutVms(command) ? selection : []),
  ...(command.name === "vm.start" ? [plan] : []),
  ...(command.name === "vm.ping" ? [watch] : []),
  ...(/\.list$/.test(command.name) ? [quiet] : []),
  json,
];

/** A command that takes several may be given none: then a selection or the list of what there is decides. */
const relax = (command: CommandData): CommandData["positionals"] =>
  command.isMulti
    ? command.positionals.map((positional, index) => (index === 0 ? { ...positional, isRequired: false } : positional))
    : command.positionals;

export const commands: readonly CommandData[] = [...generatedCommands, ...localCommands].map(
  (command: CommandData) => ({
    ...command,
    flags: [...command.flags, ...addedFlags(command)],
    positionals: relax(command),
  }),
);

/** What the groups are called in help. */
export const groups: Readonly<Record<string, string>> = {
  vm: "Make, run and look after VMs",
  image: "Images that VMs are made from",
  dns: "Names of VMs",
  "ssh-config": "Let ssh and what is built on it find VMs by name",
  daemon: "The background process bangerd",
  config: "Settings",
  bundle: "The runtime that VMs need besides banger itself",
  priv: "What was done with privilege",
};

export const findCommand = (name: string): CommandData | null =>
  commands.find((command) => command.name === name) ?? null;
