// Turns a query's bytes into the answer's bytes: the decision is core's, the records' data are written by dns-packet.
import { type Answer, encode } from "dns-packet";
import { readCompressedName, skipName } from "../core/dns-name.ts";
import { FLAG, HEADER_BYTES, OPCODE_MASK, type ParsedQuery, parseQuery, type QueryFrame } from "../core/dns-query.ts";
import { type DnsRecordSet, isLocalName, planAnswer, RCODE, RRTYPE, type Zone } from "../core/dns-zone.ts";

export type Transport = "udp" | "tcp";

export type Reply =
  | { kind: "reply"; bytes: Uint8Array; rcode: number }
  | { kind: "silence" }
  /** Somebody else knows; `frame` is what an error or a shortened answer repeats of the query. */
  | { kind: "forward"; frame: QueryFrame };

/** RFC 6891 §6.2.5 asks for a size that no path fragments; 1232 is what servers agreed on (DNS flag day 2020). */
export const OWN_PAYLOAD_BYTES = 1232;
/** RFC 1035 §4.2.1: what a client without EDNS can take by UDP. */
const PLAIN_PAYLOAD_BYTES = 512;
const MAX_MESSAGE_BYTES = 65535;
const OPT_BYTES = 11;

/** Answers one query message. Never throws, and does work in proportion to the message's length only. */
export const answerQuery = (zone: Zone, query: Uint8Array, transport: Transport): Reply => {
  const parsed: ParsedQuery = parseQuery(query);
  if (parsed.kind === "silence") return parsed;
  if (parsed.kind === "error") return { kind: "reply", bytes: renderError(zone, query, parsed), rcode: parsed.rcode };
  const { frame, question } = parsed;
  const plan = planAnswer(zone, question);
  if (plan.kind === "forward") return { kind: "forward", frame };
  if (plan.kind === "refused") {
    const bytes = renderError(zone, query, { frame, rcode: RCODE.REFUSED });
    return { kind: "reply", bytes, rcode: RCODE.REFUSED };
  }
  const rcode = plan.kind === "nxdomain" ? RCODE.NXDOMAIN : RCODE.NOERROR;
  const limit = payloadLimit(frame, transport);
  if (plan.kind === "records") {
    const records = encodedSet(plan.set);
    // The owner of each record is the question's name: a pointer to it keeps the client's own spelling (RFC 4343 §4.1).
    const bytes = render(query, {
      zone,
      frame,
      rcode,
      isAuthoritative: true,
      answers: records,
      ownerOffset: HEADER_BYTES,
    });
    if (bytes.length <= limit) return { kind: "reply", bytes, rcode };
    return { kind: "reply", bytes: renderTruncated(zone, query, frame), rcode };
  }
  // RFC 2308 §3: "Name servers authoritative for a zone MUST include the SOA record of the zone in the authority section". The zone's name is
  // the end of the question's name, so a pointer into it spells the owner.
  const bytes = render(query, {
    zone,
    frame,
    rcode,
    isAuthoritative: true,
    authorities: encodedSet(plan.soa),
    ownerOffset: HEADER_BYTES + question.name.length - plan.apex.length,
  });
  return { kind: "reply", bytes, rcode };
};

/** What the client can take, bytes: RFC 6891 §6.2.4 has us go no higher than our own limit either. */
export const payloadLimit = (frame: QueryFrame, transport: Transport): number => {
  if (transport === "tcp") return MAX_MESSAGE_BYTES;
  return frame.edns ? Math.min(OWN_PAYLOAD_BYTES, frame.edns.payloadBytes) : PLAIN_PAYLOAD_BYTES;
};

/** An answer without records. AA is clear: nothing in it speaks for the zone (RFC 1035 §4.1.1). */
export const renderError = (zone: Zone, query: Uint8Array, error: { frame: QueryFrame; rcode: number }): Uint8Array =>
  render(query, { zone, ...error, isAuthoritative: false });

/** RFC 2181 §9: TC only when something required does not fit; the client then drops it all and asks by TCP, so nothing of it is sent. */
export const renderTruncated = (zone: Zone, query: Uint8Array, frame: QueryFrame, isAuthoritative = true): Uint8Array =>
  render(query, { zone, frame, rcode: RCODE.NOERROR, isAuthoritative, isTruncated: true });

type Rendering = {
  zone: Zone;
  frame: QueryFrame;
  rcode: number;
  isAuthoritative: boolean;
  isTruncated?: boolean;
  answers?: readonly Uint8Array[];
  authorities?: readonly Uint8Array[];
  /** Where in the message the owner of all its records is spelt. */
  ownerOffset?: number;
};

const none: readonly Uint8Array[] = [];

const render = (query: Uint8Array, rendering: Rendering): Uint8Array => {
  const { frame, rcode, answers = none, authorities = none, ownerOffset = HEADER_BYTES } = rendering;
  let size = frame.questionEnd + (frame.edns ? OPT_BYTES : 0);
  for (const record of answers) size += 2 + record.length;
  for (const record of authorities) size += 2 + record.length;
  const message = new Uint8Array(size);
  // The question goes back byte for byte: clients put entropy into its case (0x20) and compare; RFC 1035 §4.1.2 has it echoed, and what
  // follows the name is echoed too, unknown types and classes included.
  message.set(
    frame.questionEnd > HEADER_BYTES ? query.subarray(0, frame.questionEnd) : query.subarray(0, HEADER_BYTES),
  );
  setWord(message, 2, headerFlags(rendering));
  setWord(message, 4, frame.questionEnd > HEADER_BYTES ? 1 : 0);
  setWord(message, 6, answers.length);
  setWord(message, 8, authorities.length);
  setWord(message, 10, frame.edns ? 1 : 0);
  let at = frame.questionEnd;
  for (const records of [answers, authorities]) {
    for (const record of records) {
      setWord(message, at, 0xc000 | ownerOffset);
      message.set(record, at + 2);
      at += 2 + record.length;
    }
  }
  // RFC 6891 §6.1.1 and §7: an OPT in answer to an OPT, and to nothing else; version 0, flags clear but for DO, which RFC 3225 §3 has copied.
  if (frame.edns) {
    message[at] = 0;
    setWord(message, at + 1, RRTYPE.OPT);
    setWord(message, at + 3, OWN_PAYLOAD_BYTES);
    // RFC 6891 §6.1.3: the upper eight bits of the extended RCODE, then the version.
    setWord(message, at + 5, (rcode >> 4) << 8);
    setWord(message, at + 7, frame.edns.isDnssecOk ? 0x8000 : 0);
    setWord(message, at + 9, 0);
  }
  return message;
};

/**
 * QR, the opcode, and of the client's flags RD alone, which RFC 1035 §4.1.1 has copied; Z "must be zero", AD and CD mean nothing without
 * DNSSEC. An opcode that we do not know gives the other bits a meaning that we do not know: none is copied.
 */
const headerFlags = ({ zone, frame, rcode, isAuthoritative, isTruncated }: Rendering): number => {
  let flags = FLAG.QR | (frame.flags & OPCODE_MASK) | (rcode & 0xf);
  if (frame.flags & OPCODE_MASK) return flags;
  flags |= frame.flags & FLAG.RD;
  if (isAuthoritative) flags |= FLAG.AA;
  if (isTruncated) flags |= FLAG.TC;
  // RFC 1035 §4.1.1: RA "denotes whether recursive query support is available in the name server".
  if (zone.view === "guest") flags |= FLAG.RA;
  return flags;
};

const setWord = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >> 8;
  bytes[offset + 1] = value & 0xff;
};

/** Record sets never change, so each is written once: from the type to the end of its data, without the owner. */
const encodedSets = new WeakMap<DnsRecordSet, readonly Uint8Array[]>();

const encodedSet = (set: DnsRecordSet): readonly Uint8Array[] => {
  const known = encodedSets.get(set);
  if (known) return known;
  const records = answersOf(set).map((answer) => {
    // Written for the root, whose name is one octet, so that header and owner are cut off at a known place.
    const message = encode({ type: "response", answers: [answer] });
    return new Uint8Array(message.subarray(HEADER_BYTES + 1));
  });
  encodedSets.set(set, records);
  return records;
};

const answersOf = (set: DnsRecordSet): Answer[] =>
  set.type === "SOA"
    ? set.data.map((data) => ({ name: ".", type: set.type, class: "IN", ttl: set.ttlS, data }))
    : set.data.map((data) => ({ name: ".", type: set.type, class: "IN", ttl: set.ttlS, data }));

/**
 * Fits an upstream's answer to the client that asked: its id and its own spelling of the question; shortened when it cannot take so much. Null when the
 * answer speaks of names that only this server may speak of, so that nobody outside can plant an address for one of our VMs.
 */
export const acceptForwarded = (request: ForwardedQuery, answer: Uint8Array): Uint8Array | null => {
  const { zone, query, frame, transport } = request;
  if (answer.length < frame.questionEnd) return null;
  // A truncated answer may end anywhere; the client is to drop it and ask by TCP (RFC 2181 §9), so nothing but the flag is passed on.
  const isTruncated = (wordAt(answer, 2) & FLAG.TC) !== 0 || answer.length > payloadLimit(frame, transport);
  if (isTruncated) return transport === "tcp" ? null : renderTruncated(zone, query, frame, false);
  if (!isForeign(zone, answer, frame.questionEnd)) return null;
  const message = answer.slice();
  message.set(query.subarray(0, 2));
  message.set(query.subarray(HEADER_BYTES, frame.questionEnd), HEADER_BYTES);
  return message;
};

export type ForwardedQuery = { zone: Zone; query: Uint8Array; frame: QueryFrame; transport: Transport };

const isForeign = (zone: Zone, answer: Uint8Array, questionEnd: number): boolean => {
  const records = wordAt(answer, 6) + wordAt(answer, 8) + wordAt(answer, 10);
  let at = questionEnd;
  for (let index = 0; index < records; index++) {
    const owner = readCompressedName(answer, at);
    const ownerEnd = skipName(answer, at);
    if (owner === null || ownerEnd === null || ownerEnd + 10 > answer.length) return false;
    if (isLocalName(zone, owner)) return false;
    at = ownerEnd + 10 + wordAt(answer, ownerEnd + 8);
    if (at > answer.length) return false;
  }
  return true;
};

const wordAt = (bytes: Uint8Array, offset: number): number => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
