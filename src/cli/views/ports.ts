// How people see what listens in a VM, and what of this host leads to it.

import type { Forward, ForwardRow, PortBlock, PortOwner, PortRow } from "../../spec/ports.ts";
import { sanitize } from "../../spec/sanitize.ts";
import type { Paint } from "../paint.ts";
import { renderTable } from "../table.ts";

const reachOf = (row: PortRow, paint: Paint): string => {
  const ways = [row.reach, row.name, ...row.forwards].filter((way) => way !== null);
  const { blocked } = row;
  if (blocked) ways.push(paint.bad(blockOf(blocked)));
  if (ways.length > 0) return ways.join("  ");
  return paint.faint(row.scope === "loopback" ? "from inside the guest alone" : "not from here");
};

const spellOwner = ({ process, pid, address }: PortOwner): string =>
  `${process === null ? "another user's process" : sanitize(process)}${pid === null ? "" : ` (${pid})`} on ${address}`;

const blockOf = ({ why, by, detail }: PortBlock): string =>
  why === "privileged" ? "not yours to open here" : `blocked by ${by ? spellOwner(by) : detail}`;

/** One command allows all of them. */
const adviceOf = (ports: readonly PortRow[]): string => {
  const closed = ports.filter(({ blocked }) => blocked?.why === "privileged");
  const fix = closed[0]?.blocked?.fix;
  const numbers = [...new Set(closed.map(({ port }) => port))].join(", ");
  return fix ? `Below what a user may open here: ${numbers}. Where you want them: ${fix}\n` : "";
};

const holderOf = ({ heldHere }: PortRow, paint: Paint): string => {
  return heldHere ? paint.busy(spellOwner(heldHere)) : "";
};

export const renderPorts = ({ name, ports }: { name: string; ports: readonly PortRow[] }, paint: Paint): string => {
  if (ports.length === 0) return `Nothing listens in ${name}.\n`;
  const isHeld = ports.some(({ heldHere }) => heldHere !== null);
  const table = renderTable({
    header: ["PORT", "LISTENS ON", "PROCESS", "REACHED BY", ...(isHeld ? ["SAME PORT ON THIS HOST"] : [])],
    rows: ports.map((row) => [
      `${row.port}/${row.protocol}`,
      row.scope === "any" ? "all addresses" : row.address,
      row.process === null ? "-" : `${sanitize(row.process)}${row.pid === null ? "" : ` (${row.pid})`}`,
      reachOf(row, paint),
      ...(isHeld ? [holderOf(row, paint)] : []),
    ]),
    paint,
  });
  return table + adviceOf(ports);
};

export const spellForward = ({ address, hostPort }: Forward): string =>
  address.includes(":") ? `[${address}]:${hostPort}` : `${address}:${hostPort}`;

const stateOf = ({ state, blockedBy, detail }: ForwardRow, paint: Paint): string => {
  if (state === "published") return paint.good(state);
  if (state === "waiting") return paint.faint("when it runs");
  const who = blockedBy?.process
    ? `by ${sanitize(blockedBy.process)}${blockedBy.pid === null ? "" : ` (${blockedBy.pid})`}`
    : (detail ?? "");
  return paint.bad(`blocked ${who}`.trim());
};

export const renderForwards = (
  { name, forwards }: { name: string; forwards: readonly ForwardRow[] },
  paint: Paint,
): string | { out: string; err: string } =>
  forwards.length === 0
    ? { out: "", err: `Nothing of this host leads to ${name}.\n` }
    : renderTable({
        header: ["THIS HOST", "PORT", "KEPT", "STATE"],
        rows: forwards.map((row) => [
          spellForward(row),
          String(row.guestPort),
          row.isKept ? "yes" : "no",
          stateOf(row, paint),
        ]),
        paint,
      });
