// How people see the daemon, its audit, its privileged operations and the settings.

import { sanitize } from "../../spec/sanitize.ts";
import { formatAgo, formatMiB, formatMs } from "../format.ts";
import { renderFacts, renderTable } from "../table.ts";
import type { SystemMethod, ViewsOf } from "./views.ts";

/** A setting's value as it is written in the file, without quotes. */
const spellValue = (value: unknown): string =>
  value === null || value === undefined ? "-" : typeof value === "string" ? value : JSON.stringify(value);

const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`;

export const systemViews: ViewsOf<SystemMethod> = {
  "system.status": (status, { paint, nowMs }) => {
    const { dns } = status;
    const dnsErrors = [dns.udpError, dns.tcpError].filter((error) => error !== null).join("; ");
    const dnsText =
      dns.port === null
        ? paint.bad(`not listening${dnsErrors ? `: ${dnsErrors}` : ""}`)
        : `${dns.address}:${dns.port} for *.${dns.zone}, ${count(dns.records, "record")}, ${dns.queries} ${dns.queries === 1 ? "query" : "queries"}, ${dns.failed} failed` +
          `${dns.isPreferredPort ? "" : paint.busy(" (not the usual port: another instance has that)")}${dnsErrors ? `; ${paint.bad(dnsErrors)}` : ""}`;
    return renderFacts(
      [
        ["bangerd", `${paint.good("running")}, process ${status.pid}, ${formatMiB(status.memoryMiB)}`],
        ["Version", `${status.version} (${status.build})`],
        ["Started", formatAgo(status.startedAt, nowMs)],
        ["Instance", status.instance],
        ["VMs", `${status.vms.total}, ${status.vms.running} running`],
        ["Images", String(status.images)],
        ["DNS", dnsText],
        ["Privilege", status.privilege],
        ["Under way", status.openOperations.join(", ")],
        ["Socket", status.socket],
        ["Data", status.dataDir],
        ["State", status.stateDir],
        ["Settings", status.configPath],
        ["Log", status.logPath],
      ],
      paint,
    );
  },
  "system.stop": ({ pid }) => `bangerd (process ${pid}) is stopped; VMs go on running\n`,
  "system.audit": ({ clean, findings }, { paint }) => {
    if (clean) return `${paint.good("clean")}: what exists on this host is what the records say\n`;
    const rows = findings.map(({ kind, what, detail, fix }) => [paint.bad(kind), what, detail, fix]);
    return renderTable({ header: ["KIND", "WHAT", "DETAIL", "TRY"], rows, paint });
  },
  "system.priv-log": (entries, { paint }) =>
    entries.length === 0
      ? { out: "", err: "Nothing was done with privilege yet.\n" }
      : renderTable({
          header: ["WHEN", "ASKED BY", "OPERATION", "DETAIL", "TIME", "RESULT"],
          rows: entries.map((entry) => [
            entry.at,
            entry.requestedBy,
            entry.op,
            entry.detail,
            formatMs(entry.ms),
            entry.ok ? paint.good("ok") : paint.bad(sanitize(entry.error ?? "failed")),
          ]),
          paint,
        }),
  "events.subscribe": () => "",
  "config.show": (settings, { paint, input }) =>
    renderTable({
      header: input.defaults ? ["SETTING", "DEFAULT", "WHAT FOR"] : ["SETTING", "VALUE", "FROM"],
      rows: settings.map(({ key, value, source, description }) => [
        key,
        spellValue(value),
        input.defaults ? description : source === "default" ? paint.faint(source) : source,
      ]),
      paint,
    }),
  "config.get": ({ value }) => `${spellValue(value)}\n`,
  "config.unset": ({ key, value, source, wasSet, path }) => ({
    out: "",
    err: `${key} = ${spellValue(value)} (${source}); ${path} ${wasSet ? "no longer sets" : "did not set"} it\n`,
  }),
  "config.set": ({ key, value, path }) => ({ out: "", err: `${key} = ${spellValue(value)}, in ${path}\n` }),
};
