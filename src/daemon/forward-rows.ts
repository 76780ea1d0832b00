// The forwards of a VM as people see them: kept ones and those of commands, each with whether it is published.
import type { Forward, ForwardRow } from "../spec/ports.ts";
import type { VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";

export const forwardRowsOf = (context: Context, record: VmRecord): ForwardRow[] => {
  const blocked = context.ports.blocked(record.id);
  const rowOf = (forward: Forward, isKept: boolean): ForwardRow => {
    const block = blocked.find(({ address, port }) => address === forward.address && port === forward.hostPort);
    return {
      ...forward,
      isKept,
      state: record.state !== "running" ? "waiting" : block ? "blocked" : "published",
      blockedBy: block?.owner ?? null,
      detail: block ? block.refusal.detail : null,
    };
  };
  return [
    ...record.spec.forwards.map((forward) => rowOf(forward, true)),
    ...context.ports.lent(record.id).map((forward) => rowOf(forward, false)),
  ];
};
