// Lists a zone's records as people read them, and names what the wire has numbers for.
import { renderDnsName } from "./dns-name.ts";
import { type DnsRecordSet, RCODE, type Zone } from "./dns-zone.ts";

export type ListedRecord = { name: string; type: string; ttlS: number; data: string };

/** Every record, the zone's own first, names in the order of their labels from the root on. */
export const listRecords = (zone: Zone): readonly ListedRecord[] =>
  [...zone.nodes]
    .map(([name, { sets }]) => ({ name: renderDnsName(name), sets }))
    .sort((a, b) => compareNames(a.name, b.name))
    .flatMap(({ name, sets }) =>
      [...sets.values()].flatMap((set) =>
        renderData(set).map((data) => ({ name, type: set.type, ttlS: set.ttlS, data })),
      ),
    );

/** Labels from the right, so that a zone stands before what is below it. */
const compareNames = (left: string, right: string): number => {
  const [a, b] = [left, right].map((name) => name.split(".").reverse().join("\0"));
  return (a ?? "") < (b ?? "") ? -1 : 1;
};

const renderData = (set: DnsRecordSet): readonly string[] =>
  set.type === "SOA"
    ? set.data.map(
        (soa) => `${soa.mname} ${soa.rname} ${soa.serial} ${soa.refresh} ${soa.retry} ${soa.expire} ${soa.minimum}`,
      )
    : set.data;

const rcodeNames = new Map<number, string>(Object.entries(RCODE).map(([name, number]) => [number, name]));

/** `NXDOMAIN` for 3; `RCODE9` for what has no name here. */
export const nameRcode = (rcode: number): string => rcodeNames.get(rcode) ?? `RCODE${rcode}`;
