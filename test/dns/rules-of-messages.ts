// What headers, broken messages and EDNS get.
import { expect } from "bun:test";
import { ask, opt, rawQuery, TYPE, u16, wireName } from "./asking.ts";
import {
  AA,
  address,
  denied,
  formerr,
  formerrEchoed,
  NOTIMP,
  optOf,
  plainOpt,
  QR,
  q,
  RD,
  type Rule,
  refused,
} from "./rules.ts";

export const messageRules: Rule[] = [
  // Header
  {
    clause: "RFC 8906 §3.1.4",
    claim: "another opcode is NOTIMP with that opcode and no flag",
    query: rawQuery({ flags: 0x7ff0, questions: [q("hello.vm")] }),
    expected: { flags: QR | 0x7800, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.4",
    claim: "another opcode needs no question",
    query: rawQuery({ flags: 0x1000, counts: [0, 0, 0, 0] }),
    expected: { flags: QR | 0x1000, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.4",
    claim: "NOTIFY and UPDATE are other opcodes",
    query: rawQuery({ flags: 0x2800, questions: [q("vm", TYPE.SOA)] }),
    expected: { flags: QR | 0x2800, rcode: NOTIMP, counts: [0, 0, 0, 0] },
  },
  {
    clause: "RFC 8906 §3.1.3",
    claim: "Z, AD and CD are not echoed",
    query: rawQuery({ flags: 0x0070, questions: [q("hello.vm")] }),
    expected: { ...address, flags: QR | AA },
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "AA, TC, RA and RCODE of a query mean nothing",
    query: rawQuery({ flags: 0x068f, questions: [q("hello.vm")] }),
    expected: { ...address, flags: QR | AA },
  },
  {
    clause: "RFC 9619 §4",
    claim: "two questions are FORMERR",
    query: rawQuery({ questions: [q("hello.vm"), q("wild.vm")] }),
    expected: formerr,
  },
  { clause: "RFC 9619 §4", claim: "no question is FORMERR", query: rawQuery({}), expected: formerr },
  {
    clause: "RFC 9619 §4",
    claim: "65535 questions are FORMERR",
    query: rawQuery({ counts: [65535, 0, 0, 0], tail: q("hello.vm") }),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "a question that is not there is FORMERR",
    query: rawQuery({ counts: [1, 0, 0, 0] }),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.2",
    claim: "a question cut short is FORMERR",
    query: ask("hello.vm").slice(0, -1),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "a record that is not there is FORMERR",
    query: rawQuery({ counts: [1, 0, 0, 1], questions: [q("hello.vm")] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "a record longer than the message is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [[0, ...u16(16), ...u16(1), 0, 0, 0, 0, ...u16(500)]] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1",
    claim: "octets after the last record are FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], tail: [1, 2, 3] }),
    expected: formerrEchoed,
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "a response is met with silence",
    query: rawQuery({ flags: 0x8100, questions: [q("hello.vm")] }),
    expected: "silence",
  },
  {
    clause: "RFC 1035 §4.1.1",
    claim: "eleven octets are met with silence",
    query: ask("hello.vm").slice(0, 11),
    expected: "silence",
  },
  { clause: "RFC 1035 §4.1.1", claim: "one octet is met with silence", query: Uint8Array.of(0), expected: "silence" },
  // EDNS
  {
    clause: "RFC 6891 §7",
    claim: "an OPT is answered with an OPT, of our size and nothing else",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt()] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §7",
    claim: "a denial has the OPT too",
    query: rawQuery({ questions: [q("nobody.vm")], additionals: [opt()] }),
    expected: { ...denied, counts: [1, 0, 1, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §7",
    claim: "a refusal has the OPT too",
    query: rawQuery({ questions: [q("example.com")], additionals: [opt()] }),
    expected: { ...refused, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.3",
    claim: "a version above 0 is BADVERS with version 0 and nothing else",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ version: 1 })] }),
    expected: {
      flags: QR | RD,
      rcode: 0,
      counts: [1, 0, 0, 1],
      also: (answer) => expect(optOf(answer)).toEqual([0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0]),
    },
  },
  {
    clause: "RFC 6891 §6.1.3",
    claim: "version 255 outside the zone is BADVERS too",
    query: rawQuery({ questions: [q("example.com")], additionals: [opt({ version: 255 })] }),
    expected: { flags: QR | RD, rcode: 0, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "unknown options are ignored and not echoed",
    query: rawQuery({
      questions: [q("hello.vm")],
      additionals: [opt({ options: [...u16(65001), ...u16(3), 1, 2, 3, ...u16(8), ...u16(4), 0, 0, 0, 0] })],
    }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 6891 §6.1.4",
    claim: "MBZ flags are not echoed",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ flags: 0x7fff })] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)).toEqual(plainOpt) },
  },
  {
    clause: "RFC 3225 §3",
    claim: "DO is copied",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ flags: 0x8000 })] }),
    expected: { ...address, counts: [1, 1, 0, 1], also: (answer) => expect(optOf(answer)[7]).toBe(0x80) },
  },
  {
    clause: "RFC 6891 §6.1.1",
    claim: "two OPTs are FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt(), opt()] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "an OPT of another owner than the root is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ owner: wireName("vm") })] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.1",
    claim: "an OPT outside the additional section is FORMERR",
    query: rawQuery({ counts: [1, 1, 0, 0], questions: [q("hello.vm")], tail: opt() }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 6891 §6.1.2",
    claim: "an option cut short is FORMERR",
    query: rawQuery({ questions: [q("hello.vm")], additionals: [opt({ options: [...u16(10), ...u16(9), 1] })] }),
    expected: { ...formerr, counts: [1, 0, 0, 1] },
  },
  {
    clause: "RFC 1035 §4.1.3",
    claim: "another record beside the question is ignored",
    query: rawQuery({
      questions: [q("hello.vm")],
      additionals: [[0, ...u16(250), ...u16(255), 0, 0, 0, 0, ...u16(2), 1, 2]],
    }),
    expected: address,
  },
];
