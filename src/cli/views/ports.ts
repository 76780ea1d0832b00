// How people see what listens in a VM.

import type { PortRow } from "../../spec/ports.ts";
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
