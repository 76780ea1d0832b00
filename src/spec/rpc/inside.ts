// The methods on what goes on inside a running VM and on the way in: what is left in it, its clock, what ssh is told.
import { z } from "zod";
import { VmRef } from "../names.ts";
import { method } from "./method.ts";

const vm = VmRef.describe("VM name, id or unique prefix");

const Session = z.object({
  user: z.string(),
  terminal: z.string(),
  remote: z.string(),
  service: z.string(),
  sinceSeconds: z.number().nullable(),
});

const Job = z.object({
  pid: z.number(),
  user: z.string(),
  name: z.string(),
  command: z.string(),
  ageSeconds: z.number(),
});

const Listener = z.object({
  address: z.string(),
  port: z.number(),
  name: z.string().nullable().describe("the process that listens; null where none was found"),
});

export const insideMethods = {
  "vm.activity": method({
    summary: "Show what goes on in a VM: logins, long-running processes, listening ports",
    description:
      "The guest's helper tells it, so it is as true as the guest is honest. Processes count that are no service of the guest's and " +
      "are older than 10 seconds. What does not answer in time is left out.",
    input: z.object({
      vm,
      within: z
        .number()
        .int()
        .min(1)
        .max(60_000)
        .default(3000)
        .describe("how long to wait for the guest, in milliseconds"),
    }),
    output: z.object({
      id: z.string(),
      name: z.string(),
      fqdn: z.string(),
      state: z.string(),
      address: z.string().nullable().describe("what people here reach it by"),
      sessions: z.array(Session).nullable().describe("null: the guest did not say in time"),
      jobs: z.array(Job).nullable(),
      listeners: z.array(Listener).nullable(),
      memoryMiB: z.number().nullable().describe("what the VMM occupies of this host's memory, MiB"),
      diskUsedMiB: z.number().nullable().describe("what the root disk occupies on this host, MiB"),
    }),
    errors: ["vm.not_found", "vm.ambiguous"],
    positional: ["vm"],
    command: {
      path: ["vm", "activity"],
      examples: [{ command: "banger vm activity web", shows: "who and what is in it" }],
    },
  }),
  "ssh.config": method({
    summary: "What ssh is told about VMs, and the file it lies in",
    input: z.object({}),
    output: z.object({ path: z.string(), zone: z.string(), text: z.string() }),
    errors: [],
  }),
  "vm.clock": method({
    summary: "Set the clocks of VMs to that of this host",
    description:
      "The daemon does so by itself when this host has slept. How far a clock is off is measured at each ping and shown by `banger show`.",
    input: z.object({ vm }),
    output: z.object({
      name: z.string(),
      wasMs: z.number().describe("how far it was off: the guest's clock minus the host's, milliseconds"),
      skewMs: z.number().describe("how far it is off now"),
    }),
    errors: ["vm.not_found", "vm.ambiguous", "vm.wrong_state", "guest.refused", "guest.not_ready", "operation.timeout"],
    positional: ["vm"],
    command: {
      path: ["vm", "clock"],
      isMulti: true,
      examples: [
        { command: "banger vm clock web", shows: "set it, and say how far it was off" },
        { command: "banger vm clock --all", shows: "for every VM that runs" },
      ],
    },
  }),
};
