// Lets settings of this terminal's environment count for a new VM: the daemon has only the environment it was started with.
import type { Invocation } from "./session.ts";

/** Input field of `vm.create` → the variable of the setting that it overrides. */
const variables: readonly (readonly [field: string, variable: string, kind: "text" | "number"])[] = [
  ["image", "BANGER_VM_IMAGE", "text"],
  ["vcpu", "BANGER_VM_VCPU", "number"],
  ["memory", "BANGER_VM_MEMORY", "text"],
  ["disk", "BANGER_VM_DISK", "text"],
  ["vmm", "BANGER_VMM_PREFER", "text"],
];

/** The invocation with what the environment says where no flag does. A value that cannot be right is refused by the daemon, as a flag's is. */
export const withEnvironment = (
  invocation: Invocation,
  env: Readonly<Record<string, string | undefined>>,
): Invocation => {
  if (invocation.command.name !== "vm.create") return invocation;
  const input = { ...invocation.input };
  for (const [field, variable, kind] of variables) {
    const value = env[variable];
    // "auto" is the default, in so many words.
    if (input[field] !== undefined || value === undefined || value === "" || value === "auto") continue;
    input[field] = kind === "number" ? Number(value) : value;
  }
  return { ...invocation, input };
};
