// Asks one of our own views in memory, as a client on the wire would, and reads the answer; and asks the system's resolver.
import { lookup } from "node:dns/promises";
import { type Answer, decode, encode, type RecordType } from "dns-packet";
import type { ListedRecord } from "../core/dns-records.ts";
import { nameRcode } from "../core/dns-records.ts";
import type { Zone } from "../core/dns-zone.ts";
import { acceptForwarded, answerQuery } from "./answer.ts";
import type { Forwarder } from "./forwarder.ts";

export type Asked = { rcode: string; isAuthoritative: boolean; records: ListedRecord[] };

/** TCP's rules: what a person reads need not fit a packet. */
const transport = "tcp";
const RECURSION_DESIRED = 0x0100;

/** The answer to a question; null when it had to be forwarded and nobody answered. */
export const askZone = async (options: {
  zone: Zone;
  name: string;
  type: string;
  forwarder: Forwarder | null;
}): Promise<Asked | null> => {
  const { zone, name, type, forwarder } = options;
  const questions = [{ name, type: type as RecordType, class: "IN" as const }];
  const query = new Uint8Array(encode({ type: "query", id: 0, flags: RECURSION_DESIRED, questions }));
  const reply = answerQuery(zone, query, transport);
  if (reply.kind === "silence") return null;
  if (reply.kind === "reply") return read(reply.bytes);
  const { frame } = reply;
  const answer = await forwarder?.ask({ query, transport, client: "banger" });
  const accepted = answer && acceptForwarded({ zone, query, frame, transport }, answer);
  return accepted ? read(accepted) : null;
};

const read = (bytes: Uint8Array): Asked => {
  const packet = decode(Buffer.from(bytes));
  return {
    rcode: nameRcode((bytes[3] ?? 0) & 0xf),
    isAuthoritative: packet.flag_aa === true,
    records: (packet.answers ?? []).flatMap((answer) => ("ttl" in answer ? [listed(answer)] : [])),
  };
};

const listed = (answer: Exclude<Answer, { type: "OPT" }>): ListedRecord => ({
  name: answer.name.endsWith(".") ? answer.name : `${answer.name}.`,
  type: answer.type,
  ttlS: answer.ttl ?? 0,
  data: textOf(answer.type, answer.data),
});

const textOf = (type: string, data: unknown): string => {
  if (typeof data === "string") return type === "PTR" || type === "NS" || type === "CNAME" ? `${data}.` : data;
  if (Array.isArray(data)) return data.map((part) => JSON.stringify(Buffer.from(part).toString("latin1"))).join(" ");
  if (data instanceof Uint8Array) return JSON.stringify(Buffer.from(data).toString("latin1"));
  return Object.values(data as Record<string, unknown>).join(" ");
};

export type SystemAnswer = { addresses: string[]; error: string | null };

const SYSTEM_TIMEOUT_MS = 8000;

/** What programs of this host get for a name: by getaddrinfo(3), so that resolv.conf, nsswitch.conf and hosts count. */
export const askSystem = async (name: string): Promise<SystemAnswer> => {
  const tooLate = Promise.withResolvers<SystemAnswer>();
  const timer = setTimeout(() => tooLate.resolve({ addresses: [], error: "TIMEOUT" }), SYSTEM_TIMEOUT_MS);
  const asked = lookup(name, { all: true }).then(
    (found): SystemAnswer => ({ addresses: [...new Set(found.map(({ address }) => address))], error: null }),
    (error): SystemAnswer => ({ addresses: [], error: (error as { code?: string }).code ?? String(error) }),
  );
  return Promise.race([asked, tooLate.promise]).finally(() => clearTimeout(timer));
};
