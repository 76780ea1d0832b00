// Which VMs a verb is for: those that were named, or all of a selection that the verb has something to do for.
import { fail } from "../spec/errors.ts";
import type { Vm, VmState } from "../spec/vm.ts";
import { type CommandData, spellPath } from "./command-data.ts";
import type { Invocation, Session } from "./session.ts";

const isDown = (state: VmState): boolean => state === "stopped" || state === "suspended";

/** States in which a verb has something to do; a verb that is not here is for every VM. */
const concerns: Readonly<Record<string, (state: VmState) => boolean>> = {
  "vm.start": isDown,
  "vm.stop": (state) => !isDown(state),
  "vm.restart": (state) => !isDown(state),
  "vm.kill": (state) => !isDown(state),
  "vm.clock": (state) => state === "running",
  "vm.stats": (state) => !isDown(state),
};

const verbOf = (method: string): string => method.split(".")[1] ?? method;

/** Asks which one, with the shortest spelling of the command as an example. */
const whichOf = ({ name, path, aliases }: CommandData, vms: readonly Vm[]): Error => {
  const shortest = aliases.find(({ length }) => length < path.length) ?? path;
  return fail("vm.name_needed", { verb: verbOf(name), command: spellPath(shortest), known: vms.map((vm) => vm.name) });
};

/** The VMs of a selection that `method` has something to do for. */
export const decideConcerned = (method: string, vms: readonly Vm[]): Vm[] =>
  vms.filter(({ state }) => concerns[method]?.(state) ?? true);

/**
 * The references a command runs for; empty when a selection is for nobody. Named ones are taken as they are.
 * Errors: vm.none, vm.name_needed, input.invalid.
 */
export const selectRefs = async (session: Session, invocation: Invocation): Promise<readonly string[]> => {
  const { command, refs, own } = invocation;
  const verb = verbOf(command.name);
  const isSelection = own.all || own.selector !== null;
  if (refs.length > 0) {
    if (!isSelection) return [...new Set(refs)];
    const message = "give names, or --all, or -l KEY=VALUE, not several of them";
    throw fail("input.invalid", { issues: [{ path: "", message }], method: command.name });
  }
  if (command.positionals[0]?.names !== "vm") {
    const message = `${command.positionals[0]?.placeholder ?? "NAME"} is missing.`;
    throw fail("input.invalid", { issues: [{ path: "", message }], method: command.name });
  }
  const vms = await session.client.call("vm.list", { label: own.selector ?? {} });
  const isLook = command.name === "vm.stats";
  const labels = Object.entries(own.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  if (vms.length === 0 && !own.all && !isLook) throw fail("vm.none", { verb, labels });
  if (!isSelection && !isLook) throw whichOf(command, vms);
  return decideConcerned(command.name, vms).map(({ name }) => name);
};

/** The VM of a command that is for one: the named one, or the only one there is. */
export const selectOne = async (session: Session, invocation: Invocation): Promise<string> => {
  const { vm } = invocation.input;
  if (typeof vm === "string") return vm;
  const [only, ...others] = await session.client.call("vm.list", {});
  if (!only) throw fail("vm.none", { verb: verbOf(invocation.command.name) });
  if (others.length > 0) throw whichOf(invocation.command, [only, ...others]);
  return only.name;
};
