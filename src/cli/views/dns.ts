// How people see the name server: its listeners, its records, and one question answered.
import type { Output } from "../../spec/rpc/contract.ts";
import { sanitize } from "../../spec/sanitize.ts";
import { renderFacts, renderTable } from "../table.ts";
import type { DnsMethod, ViewContext, ViewsOf } from "./views.ts";

type Listener = Output<"dns.status">["listeners"][number];
type Row = Output<"dns.query">["records"][number];

const clients = { loopback: "This host", guest: "VMs" } as const;

const describeListener = (listener: Listener, { paint }: ViewContext): string => {
  const lacking = [
    listener.udpError && `UDP (${listener.udpError})`,
    listener.tcpError && `TCP (${listener.tcpError})`,
  ].filter(Boolean);
  const where = listener.port === null ? paint.bad("not listening") : `${listener.address}:${listener.port}`;
  const elsewhere = listener.isPreferredPort || listener.port === null ? "" : paint.busy(", not the usual port");
  return `${where}${elsewhere}${lacking.length > 0 ? paint.bad(`; without ${lacking.join(" and ")}, tried again by itself`) : ""}`;
};

const describeTraffic = (listener: Listener): string => {
  const answers = Object.entries(listener.answers).map(([rcode, number]) => `${number} ${rcode}`);
  const rest = [
    listener.forwarded > 0 ? `${listener.forwarded} forwarded` : null,
    `${listener.failed} failed`,
    listener.dropped > 0 ? `${listener.dropped} dropped` : null,
  ].filter((part) => part !== null);
  const queries = listener.udpQueries + listener.tcpQueries;
  return `${queries} ${queries === 1 ? "query" : "queries"} (${listener.udpQueries} by UDP, ${listener.tcpQueries} by TCP): ${[...answers, ...rest].join(", ")}`;
};

const recordRows = (records: readonly Row[]): string[][] =>
  records.map(({ name, type, ttlS, data }) => [sanitize(name), String(ttlS), type, sanitize(data)]);

const header = ["NAME", "TTL", "TYPE", "DATA"];

export const dnsViews: ViewsOf<DnsMethod> = {
  "dns.status": (status, context) =>
    renderFacts(
      [
        ["Zone", `${status.zone}, serial ${status.serial}`],
        ...status.listeners.flatMap((listener): [string, string][] => [
          [clients[listener.view], describeListener(listener, context)],
          ["", `${listener.records} ${listener.records === 1 ? "record" : "records"}`],
          ["", describeTraffic(listener)],
        ]),
        ["Forwards to", status.upstreams.join(", ")],
      ],
      context.paint,
    ),
  "dns.records": (records, { paint }) => renderTable({ header, rows: recordRows(records), paint }),
  "dns.query": ({ name, type, records, system }, { paint }) => {
    const table =
      records.length === 0
        ? `${sanitize(name)} exists and has no ${type} record\n`
        : renderTable({ header, rows: recordRows(records), paint });
    if (system === null) return table;
    const answer =
      system.error === null
        ? system.addresses.join(", ")
        : `${paint.busy("does not find it")} (${sanitize(system.error)})`;
    return `${table}${paint.faint("This host's resolver:")} ${answer}\n`;
  },
};
