// The methods on names: what the name server says of itself, what it holds, and what it answers.
import { z } from "zod";
import { method } from "./method.ts";

/** One of the name server's two faces, with what passed since the daemon started. */
export const DnsListener = z.object({
  view: z
    .enum(["loopback", "guest"])
    .describe("loopback: for this host, nothing is forwarded; guest: at the gateway, for VMs"),
  address: z.string(),
  port: z.number().int().nullable().describe("null while it listens on none"),
  isPreferredPort: z.boolean(),
  udpError: z.string().nullable().describe("why there is no UDP socket; it is tried again by itself"),
  tcpError: z.string().nullable(),
  records: z.number().int(),
  udpQueries: z.number().int(),
  tcpQueries: z.number().int(),
  answers: z.record(z.string(), z.number().int()).describe("answers by response code: NOERROR, NXDOMAIN, REFUSED, ..."),
  failed: z
    .number()
    .int()
    .describe("queries that could not be read, or to which no resolver of the host had an answer"),
  forwarded: z.number().int().describe("queries handed to the host's resolvers"),
  dropped: z.number().int().describe("UDP answers that the kernel had no room for"),
  tcpConnections: z.number().int(),
});

/** The loopback face in short, as `daemon status` shows it. */
export const DnsStatus = z.object({
  zone: z.string(),
  address: z.string(),
  port: z.number().int().nullable(),
  isPreferredPort: z.boolean(),
  udpError: z.string().nullable(),
  tcpError: z.string().nullable(),
  records: z.number().int(),
  queries: z.number().int(),
  failed: z.number().int(),
});

export const DnsRecord = z.object({
  name: z.string().describe("owner, with the final dot"),
  type: z.string(),
  ttlS: z.number().int(),
  data: z.string(),
});

const guest = z.boolean().default(false).describe("as guests are answered at their gateway");

export const dnsMethods = {
  "dns.status": method({
    summary: "Show where names are answered, and what was asked",
    input: z.object({}),
    output: z.object({
      zone: z.string(),
      serial: z.number().int().describe("of the zone's SOA; grows with every change"),
      listeners: z.array(DnsListener),
      upstreams: z.array(z.string()).describe("the host's resolvers, to which guests' other questions go"),
    }),
    errors: [],
    command: {
      path: ["dns", "status"],
      examples: [{ command: "banger dns status", shows: "address, port, records, queries, and what is amiss" }],
    },
  }),
  "dns.records": method({
    summary: "List the records that the name server holds",
    input: z.object({ guest }),
    output: z.array(DnsRecord),
    errors: [],
    command: {
      path: ["dns", "records"],
      examples: [
        { command: "banger dns records", shows: "the names of running VMs, and the zone's own" },
        { command: "banger dns records --guest", shows: "those that VMs see" },
      ],
    },
  }),
  "dns.query": method({
    summary: "Ask the name server, and this host's resolver, for a name",
    description:
      "The first lines are what banger's own name server answers; the last one is what programs of this host get, " +
      "from the system's resolver. A name without a dot is a VM's; an address asks for its name.",
    input: z.object({
      name: z.string().min(1).max(255).describe("name or address to ask for"),
      type: z
        .enum(["A", "AAAA", "PTR", "SOA", "NS", "TXT", "MX", "ANY"])
        .optional()
        .describe("type of record (default: A, and PTR for an address)"),
      guest,
    }),
    output: z.object({
      name: z.string(),
      type: z.string(),
      rcode: z.string(),
      isAuthoritative: z.boolean(),
      records: z.array(DnsRecord),
      system: z
        .object({ addresses: z.array(z.string()), error: z.string().nullable() })
        .nullable()
        .describe("what this host's own resolver answers; null where it was not asked"),
    }),
    errors: ["dns.bad_name", "dns.no_such_name", "dns.refused", "dns.no_answer"],
    positional: ["name"],
    command: {
      path: ["dns", "query"],
      letters: { type: "t" },
      examples: [
        { command: "banger dns query web", shows: "web's address, by banger and by this host's resolver" },
        { command: "banger dns query 10.77.5.2", shows: "which VM has it" },
        { command: "banger dns query --guest deb.debian.org", shows: "what a guest gets" },
      ],
    },
  }),
};
