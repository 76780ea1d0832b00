// Does one root operation on this machine: looks, decides by commands.ts, acts.
import { constants, existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { HostOp, NetInventory } from "../spec/host-op.ts";
import { requireCommand } from "./command.ts";
import { commandFor, type HostCommand, type NetTools, seesLinks, showLinks, showTables } from "./commands.ts";
import { listJails, prepareJail, removeJail } from "./jail.ts";
import { inventoryOf, parseLinks, parseTables } from "./net-state.ts";

/** What one operation may take altogether; the kernel answers in milliseconds, so more means that something is stuck. */
export const OPERATION_TIMEOUT_MS = 10_000;

const execute = async (command: HostCommand): Promise<string> => {
  if (command.kind === "sysctl") {
    await writeSysctl(command);
    return "";
  }
  const { argv, stdin } = command;
  const result = await requireCommand({
    argv,
    timeoutMs: OPERATION_TIMEOUT_MS,
    keepBytes: 16 * 1024 * 1024,
    env: { HOME: "/" },
    ...(stdin === undefined ? {} : { stdin }),
    package: argv[0]?.endsWith("/nft") ? "nftables" : "iproute2",
  });
  return result.stdout;
};

const writeSysctl = async ({ key, value, isOptional, onlyIf }: HostCommand & { kind: "sysctl" }) => {
  const path = `/proc/sys/${key}`;
  try {
    if (onlyIf !== undefined && (await Bun.file(path).text()).trim() !== onlyIf) return;
    const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    await file.write(value).finally(() => file.close());
  } catch (error) {
    if (isOptional && (error as { code?: string }).code === "ENOENT") return;
    throw fail("host.file_failed", { path, operation: "write", detail: describeUnknown(error) }, error);
  }
};

/** In order; those that begin together are one group. */
const inGroups = (commands: readonly HostCommand[]): HostCommand[][] => {
  const groups: HostCommand[][] = [];
  for (const command of commands) {
    const last = groups.at(-1);
    if (last && command.kind === "exec" && command.isBeside) last.push(command);
    else groups.push([command]);
  }
  return groups;
};

/** Ends when each has ended, also where one fails: nothing of an operation goes on behind its answer. */
const executeTogether = async (group: readonly HostCommand[]): Promise<void> => {
  for (const ended of await Promise.allSettled(group.map(execute))) if (ended.status === "rejected") throw ended.reason;
};

const takeInventory = async (instance: string, tools: NetTools): Promise<NetInventory> => {
  const [links, tables] = await Promise.all([execute(showLinks(tools)), execute(showTables(tools))]);
  const jails = listJails(instance);
  return inventoryOf({ instance, links: parseLinks(links), tables: parseTables(tables), jails });
};

/** Does `op`, which has been checked against its schema and its caller before. */
export const doOperation = async (
  op: HostOp,
  { tools, callerUid }: { tools: NetTools; callerUid: number },
): Promise<NetInventory | null> => {
  if (op.op === "net.list") return takeInventory(op.instance, tools);
  if (op.op === "jail.prepare" || op.op === "jail.remove") {
    await (op.op === "jail.prepare" ? prepareJail(op, callerUid) : removeJail(op, callerUid));
    return null;
  }
  const links = seesLinks(op) ? parseLinks(await execute(showLinks(tools))) : [];
  for (const group of inGroups(commandFor(op, links, tools))) await executeTogether(group);
  return null;
};

/** Whether nothing of the instance is left on the host's network. */
export const isInstanceGone = async (instance: string, tools: NetTools): Promise<boolean> => {
  const { bridges, taps, tables, jails } = await takeInventory(instance, tools);
  return bridges.length + taps.length + tables.length + jails.length === 0;
};

/** The programs of this host; a missing one is named with its package when it is first needed. */
export const findTools = (): NetTools => {
  const find = (name: string) =>
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
      .map((directory) => `${directory}/${name}`)
      .find((path) => existsSync(path)) ?? `/usr/sbin/${name}`;
  return { ip: find("ip"), nft: find("nft") };
};
