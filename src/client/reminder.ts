// What is said after a shell in a VM was left: that the VM still runs, what is left in it, and how to end it. Asked within a fixed time, or not said.
import { lookup } from "node:dns/promises";
import { formatSeconds } from "../spec/elapsed.ts";
import type { Client, Output } from "../spec/rpc/contract.ts";
import { sanitize } from "../spec/sanitize.ts";

export type Activity = Output<"vm.activity">;
/** What is left, and whether this host's resolver knows the VM by its name. */
export type Left = { activity: Activity; isNamed: boolean };

/** All of the asking together, by a monotonic clock. */
export const REMINDER_MS = 300;
/** The guest's share: what it does not tell by then is left out. */
const GUEST_MS = 200;
const SSH_PORT = 22;
const SHOWN_MAX = 4;

const isInsideOnly = (address: string): boolean => address.startsWith("127.") || address === "::1";

/** Whether programs here find the VM by name, at the very address it has. */
const isWired = async ({ fqdn, address }: Activity): Promise<boolean> => {
  const found = await lookup(fqdn, { family: 4 }).catch(() => null);
  return found !== null && found.address === address;
};

/** Resolves with null when there is nothing to remind of: it does not run, is on its way out, or nobody could say in time. */
export const gatherLeft = async (
  client: Pick<Client, "call">,
  vm: string,
  timeoutMs = REMINDER_MS,
): Promise<Left | null> => {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  const beganMs = performance.now();
  const timer = setTimeout(() => resolve(null), timeoutMs);
  const within = Math.max(1, Math.min(GUEST_MS, timeoutMs - 50));
  try {
    const activity = await Promise.race([client.call("vm.activity", { vm, within }).catch(() => null), late]);
    if (activity === null || activity.state !== "running") return null;
    // The name is a nicety: it gets half of what is left.
    const nameMs = Math.max(1, (timeoutMs - (performance.now() - beganMs)) / 2);
    const isNamed = await Promise.race([isWired(activity), Bun.sleep(nameMs).then(() => false), late]);
    return { activity, isNamed: isNamed === true };
  } finally {
    clearTimeout(timer);
  }
};

const count = (number: number, one: string, many: string): string => `${number} ${number === 1 ? one : many}`;

const sizeOf = (mib: number): string => (mib >= 1024 ? `${(mib / 1024).toFixed(1).replace(/\.0$/, "")}G` : `${mib}M`);

/** `a, b and 3 more`; guests' words are made safe for a terminal here. */
const listOf = (words: readonly string[]): string => {
  const shown = words.slice(0, SHOWN_MAX).map((word) => sanitize(word).replaceAll(/\s+/g, " ").slice(0, 60));
  const more = words.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
};

type Found = { logins: string[]; jobs: string[]; ports: string[] };

const findLeft = ({ activity, isNamed }: Left): Found => {
  const host = isNamed ? activity.fqdn : (activity.address ?? activity.fqdn);
  const logins = (activity.sessions ?? []).map(
    ({ user, terminal, sinceSeconds }) =>
      `${user}${terminal ? ` on ${terminal}` : ""}${sinceSeconds === null ? "" : ` for ${formatSeconds(sinceSeconds)}`}`,
  );
  // A shell that waits is its login, said already.
  const jobs = (activity.jobs ?? [])
    .filter(({ command }) => !command.startsWith("-"))
    .map(({ command, name, ageSeconds }) => `${command || name} (${formatSeconds(ageSeconds)})`);
  const seen = new Set<string>();
  const ports: string[] = [];
  const inOrder = [...(activity.listeners ?? [])].sort((one, other) => one.port - other.port);
  for (const { address, port, name } of inOrder) {
    if (port === SSH_PORT) continue;
    const where = isInsideOnly(address) ? `${port} inside only` : `${host}:${port}`;
    if (seen.has(where)) continue;
    seen.add(where);
    ports.push(name ? `${where} (${name})` : where);
  }
  return { logins, jobs, ports };
};

const heldBy = ({ memoryMiB, diskUsedMiB }: Activity): string => {
  const held = [
    memoryMiB === null ? null : `${sizeOf(memoryMiB)} of memory`,
    diskUsedMiB === null ? null : `${sizeOf(diskUsedMiB)} of disk`,
  ].filter((part) => part !== null);
  return held.length === 0 ? "" : held.join(" and ");
};

/** What is left in a few words: `1 login, 2 jobs, 1 port`; empty when it is nothing. */
export const summarizeLeft = (left: Left): string => {
  const { logins, jobs, ports } = findLeft(left);
  return [
    logins.length > 0 ? count(logins.length, "login", "logins") : "",
    jobs.length > 0 ? count(jobs.length, "job", "jobs") : "",
    ports.length > 0 ? count(ports.length, "port", "ports") : "",
  ]
    .filter((part) => part !== "")
    .join(", ");
};

/** The reminder as lines without a final newline. */
export const renderReminder = (left: Left): string => {
  const { name } = left.activity;
  const { logins, jobs, ports } = findLeft(left);
  const held = heldBy(left.activity);
  const summary = summarizeLeft(left);
  const isSilent = left.activity.sessions === null && left.activity.listeners === null;
  const what = summary !== "" ? ` with ${summary}` : isSilent ? "" : ", and nothing of yours is left in it";
  return [
    `${name} is still running${what}.${held === "" ? "" : ` It holds ${held}.`}`,
    ...(logins.length > 0 ? [`  Logged in:  ${listOf(logins)}`] : []),
    ...(jobs.length > 0 ? [`  Running:    ${listOf(jobs)}`] : []),
    ...(ports.length > 0 ? [`  Listening:  ${listOf(ports)}`] : []),
    `  Stop it:    banger stop ${name}`,
  ].join("\n");
};
