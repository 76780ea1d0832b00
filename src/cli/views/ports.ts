// How people see what listens in a VM, and what of this host leads to it.

import type { Forward, ForwardRow, PortRow } from "../../spec/ports.ts";
import { sanitize } from "../../spec/sanitize.ts";
import type { Paint } from "../paint.ts";
import { renderTable } from "../table.ts";

const reachOf = (row: PortRow, paint: Paint): string => {
  const ways = [row.reach, row.name, ...row.forwards].filter((way) => way !== null);
  if (ways.length > 0) return ways.join("  ");
  return paint.faint(row.scope === "loopback" ? "from inside the guest alone" : "not from here");
};

const holderOf = ({ heldHere }: PortRow, paint: Paint): string => {
  if (!heldHere) return "";
  const who = heldHere.process === null ? "another user's process" : sanitize(heldHere.process);
  return paint.busy(`${who}${heldHere.pid === null ? "" : ` (${heldHere.pid})`} on ${heldHere.address}`);
};

export const renderPorts = ({ name, ports }: { name: string; ports: readonly PortRow[] }, paint: Paint): string => {
  if (ports.length === 0) return `Nothing listens in ${name}.\n`;
  const isHeld = ports.some(({ heldHere }) => heldHere !== null);
  return renderTable({
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
