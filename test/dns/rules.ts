// How a rule of the name server is written down: the clause it comes from, a raw query, and what the raw answer must be.
import { expect } from "bun:test";
import { decode } from "dns-packet";
import { question } from "./asking.ts";

export const QR = 0x8000;
export const AA = 0x0400;
export const TC = 0x0200;
export const RD = 0x0100;
export const NOERROR = 0;
export const FORMERR = 1;
export const NXDOMAIN = 3;
export const NOTIMP = 4;
export const REFUSED = 5;

export type Expected = {
  flags: number;
  rcode: number;
  /** Questions, answers, authorities, additionals. */
  counts: [number, number, number, number];
  also?: (answer: Uint8Array, query: Uint8Array) => void;
};
export type Rule = { clause: string; claim: string; query: Uint8Array; expected: Expected | "silence" };

export const decoded = (answer: Uint8Array) => decode(Buffer.from(answer));
export const echoesQuestion = (answer: Uint8Array, query: Uint8Array) => {
  let end = 12;
  while (query[end]) end += 1 + query[end]!;
  expect([...answer.slice(12, end + 5)]).toEqual([...query.slice(12, end + 5)]);
};
export const hasSoa = (zone: string) => (answer: Uint8Array) => {
  const [record] = decoded(answer).authorities ?? [];
  expect(record).toMatchObject({ type: "SOA", name: zone });
  if (record?.type !== "SOA") throw new Error("no SOA");
  expect(record.ttl).toBe(Math.min(5, record.data.minimum ?? 0));
};
export const answers =
  (...data: string[]) =>
  (answer: Uint8Array) => {
    const records = decoded(answer).answers ?? [];
    expect(records.map((record) => "data" in record && record.data)).toEqual(data);
    for (const record of records) expect("ttl" in record && record.ttl).toBeLessThanOrEqual(5);
  };
export const optOf = (answer: Uint8Array) => [...answer.slice(-11)];
export const plainOpt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
export const q = question;
export const address = {
  flags: QR | AA | RD,
  rcode: NOERROR,
  counts: [1, 1, 0, 0] as [number, number, number, number],
};
export const nodata = { flags: QR | AA | RD, rcode: NOERROR, counts: [1, 0, 1, 0] as [number, number, number, number] };
export const denied = { ...nodata, rcode: NXDOMAIN };
export const refused = { flags: QR | RD, rcode: REFUSED, counts: [1, 0, 0, 0] as [number, number, number, number] };
export const formerr = { flags: QR | RD, rcode: FORMERR, counts: [0, 0, 0, 0] as [number, number, number, number] };
export const formerrEchoed = { ...formerr, counts: [1, 0, 0, 0] as [number, number, number, number] };
