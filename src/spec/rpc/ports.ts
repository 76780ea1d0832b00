// The methods on ports: what listens in a VM.
import { z } from "zod";
import { VmRef } from "../names.ts";
import { PortRow } from "../ports.ts";
import { method } from "./method.ts";

const vm = VmRef.describe("VM name, id or unique prefix");

export const PortList = z.object({ name: z.string(), ports: z.array(PortRow) });

export const portMethods = {
  "vm.ports": method({
    summary: "List what listens in a VM, and how it is reached",
    description:
      "The helper in the guest tells of TCP sockets with the process that holds them. What listens on the guest's loopback is reached from inside alone.",
    input: z.object({
      vm,
      watch: z.boolean().default(false).describe("stay, and print the list again whenever it changes"),
    }),
    output: PortList,
    events: PortList.extend({ kind: z.literal("ports") }),
    errors: [
      "vm.not_found",
      "vm.ambiguous",
      "vm.wrong_state",
      "guest.not_ready",
      "guest.channel_lost",
      "guest.too_old",
      "operation.timeout",
    ],
    positional: ["vm"],
    onDisconnect: "cancel",
    command: {
      path: ["vm", "ports"],
      aliases: [["ports"]],
      letters: { watch: "w" },
      examples: [
        { command: "banger vm ports web", shows: "ports, processes, and what to type to reach them" },
        { command: "banger vm ports --watch web", shows: "the same whenever it changes, until Ctrl-C" },
      ],
    },
  }),
};
