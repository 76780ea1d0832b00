// Remembers whole answers by the octets of their queries, for as long as the zone is the one they were made from.
import type { Zone } from "../core/dns-zone.ts";
import type { Reply, Transport } from "./answer.ts";

/** A client's query without its id: names with EDNS are 40 to 80 octets; what is longer is rare, and is worked out each time. */
const MAX_KEY_BYTES = 128;
/** Nor is a long answer kept, so that all of them together are a few MiB at most. */
const MAX_REPLY_BYTES = 512;
/** Spellings differ (0x20), and anybody may send what he likes: when it is full it begins anew. */
const MAX_ENTRIES = 4096;

type Compute = (zone: Zone, query: Uint8Array, transport: Transport) => Reply;

/** Answers as `compute` does, which must depend on nothing but its arguments, and copy nothing of a query's id but the id. */
export const cacheAnswers = (compute: Compute): Compute => {
  let zoneOfAll: Zone | null = null;
  const byTransport: Record<Transport, Map<string, Reply>> = { udp: new Map(), tcp: new Map() };

  return (zone, query, transport) => {
    if (query.length < 12 || query.length > MAX_KEY_BYTES) return compute(zone, query, transport);
    // Every change of the records is a zone of its own: no answer outlives what it was made from.
    if (zone !== zoneOfAll) {
      zoneOfAll = zone;
      byTransport.udp.clear();
      byTransport.tcp.clear();
    }
    const known = byTransport[transport];
    const key = latin1(query);
    const found = known.get(key);
    if (found === undefined) {
      const reply = compute(zone, query, transport);
      // Somebody else's word is not ours to keep, and silence costs nothing.
      if (reply.kind === "reply" && reply.bytes.length <= MAX_REPLY_BYTES) {
        if (known.size >= MAX_ENTRIES) known.clear();
        known.set(key, { ...reply, bytes: reply.bytes.slice() });
      }
      return reply;
    }
    if (found.kind !== "reply") return found;
    const bytes = found.bytes.slice();
    bytes[0] = query[0] ?? 0;
    bytes[1] = query[1] ?? 0;
    return { kind: "reply", bytes, rcode: found.rcode };
  };
};

/** All octets but the id's, one character each. */
const latin1 = (query: Uint8Array): string =>
  Buffer.from(query.buffer, query.byteOffset + 2, query.length - 2).toString("latin1");
