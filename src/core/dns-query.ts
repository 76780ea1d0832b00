// Reads a query as far as a server must, and decides which queries get no answer or an error before any name is looked up.
import { readName, skipName } from "./dns-name.ts";
import { type DnsQuestion, RCODE, RRTYPE } from "./dns-zone.ts";

/*
 * The names and the OPT record are read here and not by the wire library, which joins labels to text (so that the label `a.b` and the labels
 * `a`, `b` would be one name), takes octets for UTF-8, and throws at EDNS options that it knows but finds odd; RFC 6891 §6.1.2 has options
 * that we do not act on ignored.
 */

export const HEADER_BYTES = 12;
/** Bits of the second header word, RFC 1035 §4.1.1. */
export const FLAG = { QR: 0x8000, AA: 0x0400, TC: 0x0200, RD: 0x0100, RA: 0x0080 } as const;
const OPCODE_SHIFT = 11;
export const OPCODE_MASK = 0x7800;

export type Edns = {
  /** What the client can take by UDP, bytes; never under 512. */
  payloadBytes: number;
  version: number;
  isDnssecOk: boolean;
};

/** What an answer repeats of its query. */
export type QueryFrame = {
  id: number;
  /** The second header word as it came. */
  flags: number;
  /** Where the question section ends; HEADER_BYTES when it is not repeated. */
  questionEnd: number;
  edns: Edns | null;
};

export type ParsedQuery =
  | { kind: "silence" }
  | { kind: "error"; rcode: number; frame: QueryFrame }
  | { kind: "query"; question: DnsQuestion; frame: QueryFrame };

const silence: ParsedQuery = { kind: "silence" };

/** Reads a query message; work and memory are bounded by its length. */
export const parseQuery = (bytes: Uint8Array): ParsedQuery => {
  // Without a header there is no id to answer to; and RFC 1035 §4.1.1's QR=1 is a response: answering responses makes loops.
  if (bytes.length < HEADER_BYTES) return silence;
  const flags = word(bytes, 2);
  if (flags & FLAG.QR) return silence;
  const frame: QueryFrame = { id: word(bytes, 0), flags, questionEnd: HEADER_BYTES, edns: null };
  // RFC 8906 §3.1.4: an unknown opcode gets NOTIMP, whatever the rest of the message looks like; it need not have questions as we know them.
  if ((flags & OPCODE_MASK) >> OPCODE_SHIFT !== 0) return { kind: "error", rcode: RCODE.NOTIMP, frame };
  // RFC 9619 §4: a message with OPCODE 0 and QDCOUNT over 1 MUST be answered with FORMERR; and with 0 there is nothing to answer.
  if (word(bytes, 4) !== 1) return { kind: "error", rcode: RCODE.FORMERR, frame };
  const read = readName(bytes, HEADER_BYTES);
  if (!read || read.end + 4 > bytes.length) return { kind: "error", rcode: RCODE.FORMERR, frame };
  frame.questionEnd = read.end + 4;
  const rest = readRecords(bytes, frame.questionEnd);
  if (rest === "malformed") return { kind: "error", rcode: RCODE.FORMERR, frame };
  frame.edns = rest.edns;
  if (rest.isBroken) return { kind: "error", rcode: RCODE.FORMERR, frame };
  // RFC 6891 §6.1.3: "If a responder does not implement the VERSION level of the request, then it MUST respond with RCODE=BADVERS."
  if (rest.edns && rest.edns.version > 0) return { kind: "error", rcode: RCODE.BADVERS, frame };
  const question = { name: read.name, type: word(bytes, read.end), class: word(bytes, read.end + 2) };
  return { kind: "query", question, frame };
};

type Rest = { edns: Edns | null; isBroken: boolean };

/** Walks the records after the question: they must be whole, and the only one that means something in a query is OPT. */
const readRecords = (bytes: Uint8Array, start: number): Rest | "malformed" => {
  const before = word(bytes, 6) + word(bytes, 8);
  const total = before + word(bytes, 10);
  const rest: Rest = { edns: null, isBroken: false };
  let at = start;
  for (let index = 0; index < total; index++) {
    const nameEnd = skipName(bytes, at);
    if (nameEnd === null || nameEnd + 10 > bytes.length) return "malformed";
    const dataStart = nameEnd + 10;
    const dataEnd = dataStart + word(bytes, nameEnd + 8);
    if (dataEnd > bytes.length) return "malformed";
    if (word(bytes, nameEnd) === RRTYPE.OPT) {
      // RFC 6891 §6.1.1: "If a query message with more than one OPT RR is received, a FORMERR MUST be returned"; its place is the additional
      // section, and §6.1.2 has its owner the root and its options whole.
      const isWell = !rest.edns && index >= before && bytes[at] === 0 && areOptionsWhole(bytes, dataStart, dataEnd);
      if (!isWell) rest.isBroken = true;
      rest.edns ??= {
        // RFC 6891 §6.2.3: "Values lower than 512 MUST be treated as equal to 512."
        payloadBytes: Math.max(512, word(bytes, nameEnd + 2)),
        version: bytes[nameEnd + 5] ?? 0,
        // The other flag bits are MBZ: read by nobody, and never sent back (RFC 6891 §6.1.4).
        isDnssecOk: ((bytes[nameEnd + 6] ?? 0) & 0x80) !== 0,
      };
    }
    at = dataEnd;
  }
  return at === bytes.length ? rest : "malformed";
};

const areOptionsWhole = (bytes: Uint8Array, start: number, end: number): boolean => {
  let at = start;
  while (at + 4 <= end) at += 4 + word(bytes, at + 2);
  return at === end;
};

const word = (bytes: Uint8Array, offset: number): number => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
