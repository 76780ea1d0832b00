// The methods on ports: what listens in a VM, and what is published of it on this host.
import { z } from "zod";
import { VmRef } from "../names.ts";
import { ForwardRow, PortRow } from "../ports.ts";
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
  "vm.forward": method({
    summary: "Publish a port of a VM on this host's loopback",
    description:
      "Writes [HOST_ADDRESS:]HOST_PORT:GUEST_PORT, or one port for both. It leads to the VM for as long as the command runs; with --keep it belongs " +
      "to the VM and is there whenever that runs. What listens on the guest's own loopback is not reached. Without a port it lists what there is.",
    input: z.object({
      vm,
      forward: z.string().max(64).optional().describe("[HOST_ADDRESS:]HOST_PORT:GUEST_PORT, for example 8080:80"),
      bind: z
        .union([z.ipv4(), z.ipv6()])
        .optional()
        .describe("address of this host to listen on; only what is asked for is open to other machines"),
      keep: z.boolean().default(false).describe("make it a property of the VM"),
      remove: z
        .array(z.string().regex(/^(.+:)?\d{1,5}$/, "write the port of this host, for example 8080"))
        .default([])
        .describe("port of this host whose kept forward is to go"),
      list: z.boolean().default(false).describe("only list"),
    }),
    output: z.object({ name: z.string(), changed: z.boolean(), forwards: z.array(ForwardRow) }),
    events: z.object({ kind: z.literal("forward"), name: z.string(), forward: ForwardRow }),
    errors: [
      "vm.not_found",
      "vm.ambiguous",
      "vm.wrong_state",
      "port.taken",
      "port.privileged",
      "port.no_address",
      "port.failed",
      "forward.not_loopback",
      "forward.not_found",
      "bundle.missing",
      "host.command_failed",
    ],
    positional: ["vm", "forward"],
    onDisconnect: "cancel",
    command: {
      path: ["vm", "forward"],
      aliases: [["forward"]],
      letters: { keep: "k" },
      examples: [
        { command: "banger vm forward web 8080:80", shows: "http://localhost:8080 is port 80 of web, until Ctrl-C" },
        { command: "banger vm forward --keep web 8080:80", shows: "the same whenever web runs" },
        { command: "banger vm forward web", shows: "what is published" },
        { command: "banger vm forward --remove 8080 web", shows: "take it back" },
      ],
    },
  }),
};
