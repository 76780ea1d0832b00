// How names compare, and which are refused.
import { expect } from "bun:test";
import { ask, rawQuery, TYPE, u16 } from "./asking.ts";
import { address, answers, decoded, denied, echoesQuestion, formerr, nodata, q, type Rule, refused } from "./rules.ts";

export const nameRules: Rule[] = [
  // Names
  {
    clause: "RFC 4343 §3",
    claim: "names compare without case, and the question comes back as it was",
    query: ask("HeLLo.Vm"),
    expected: {
      ...address,
      also: (answer, query) => {
        echoesQuestion(answer, query);
        expect(decoded(answer).answers?.[0]?.name).toBe("HeLLo.Vm");
      },
    },
  },
  {
    clause: "RFC 4343 §3",
    claim: "a denial echoes the question as it was",
    query: ask("nObOdY.vM"),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 1035 §3.1",
    claim: "a dot inside a label is no border of labels",
    query: rawQuery({ questions: [[8, ...new TextEncoder().encode("hello.vm"), 0, ...u16(1), ...u16(1)]] }),
    expected: refused,
  },
  {
    clause: "RFC 1035 §3.1",
    claim: "a dot inside a label makes another name of the zone",
    query: rawQuery({
      questions: [[9, ...new TextEncoder().encode("deep.tree"), 2, 118, 109, 0, ...u16(1), ...u16(1)]],
    }),
    expected: denied,
  },
  {
    clause: "RFC 2181 §11",
    claim: "any octet may be in a label",
    query: rawQuery({ questions: [[3, 0, 255, 193, 2, 118, 109, 0, ...u16(1), ...u16(1)]] }),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 4343 §3",
    claim: "octets over 0x7f have no case",
    query: rawQuery({ questions: [[5, 0x68, 0x65, 0x6c, 0xcc, 0x6f, 2, 118, 109, 0, ...u16(1), ...u16(1)]] }),
    expected: denied,
  },
  {
    clause: "RFC 1035 §2.3.4",
    claim: "a name of 255 octets is read",
    query: ask(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(58)}.vm`),
    expected: { ...denied, also: echoesQuestion },
  },
  {
    clause: "RFC 1035 §2.3.4",
    claim: "a name of 256 octets is FORMERR",
    query: ask(`${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(59)}.vm`),
    expected: formerr,
  },
  {
    clause: "RFC 1035 §4.1.4",
    claim: "a pointer in a question is FORMERR",
    query: rawQuery({ questions: [[0xc0, 12, ...u16(1), ...u16(1)]] }),
    expected: formerr,
  },
  {
    clause: "RFC 6891 §5",
    claim: "a label of another kind is FORMERR",
    query: rawQuery({ questions: [[0x41, 1, 2, 0, ...u16(1), ...u16(1)]] }),
    expected: formerr,
  },
  // Out of zone
  {
    clause: "RFC 8906 §3.1",
    claim: "a name outside is REFUSED without AA",
    query: ask("example.com"),
    expected: { ...refused, also: echoesQuestion },
  },
  { clause: "RFC 8906 §3.1", claim: "the root is outside", query: ask(".", TYPE.NS), expected: refused },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "a name that only ends like the zone is outside",
    query: ask("hellovm"),
    expected: refused,
  },
  {
    clause: "RFC 1034 §4.2.1",
    claim: "a reverse name outside the subnet is outside",
    query: ask("9.6.77.10.in-addr.arpa", TYPE.PTR),
    expected: refused,
  },
  {
    clause: "RFC 1035 §3.2.4",
    claim: "the zone is of class IN alone",
    query: rawQuery({ questions: [q("hello.vm", TYPE.TXT, 3)] }),
    expected: refused,
  },
  {
    clause: "RFC 1035 §6.2",
    claim: "class * cannot be answered with authority",
    query: rawQuery({ questions: [q("hello.vm", TYPE.A, 255)] }),
    expected: refused,
  },
  { clause: "RFC 5936 §2.2.1", claim: "AXFR is REFUSED", query: ask("vm", TYPE.AXFR), expected: refused },
  { clause: "RFC 1995 §2", claim: "IXFR is REFUSED", query: ask("vm", TYPE.IXFR), expected: refused },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of a VM is one record set",
    query: ask("hello.vm", TYPE.ANY),
    expected: { ...address, also: answers("10.77.5.9") },
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of the apex is one record set",
    query: ask("vm", TYPE.ANY),
    expected: address,
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of an empty non-terminal is NODATA",
    query: ask("tree.vm", TYPE.ANY),
    expected: nodata,
  },
  {
    clause: "RFC 8482 §4.1",
    claim: "ANY of a name that is not there is NXDOMAIN",
    query: ask("nobody.vm", TYPE.ANY),
    expected: denied,
  },
];
