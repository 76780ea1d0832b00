// Speaks with banger-proxy: starts one for a VM, has sockets of this host opened and handed to it, and ends it.
import { existsSync } from "node:fs";
import { fail } from "../spec/errors.ts";
import type { ProcessProof } from "../spec/vm.ts";
import { runCommand } from "./command.ts";
import { readBootId } from "./process-proof.ts";

/** A socket of this host, and where its connections are led. */
export type ProxyRoute = { address: string; port: number; targetAddress: string; targetPort: number };

/** Who a proxy says it is; with `bootId` and `startTicks` it is the proof that adoption needs. */
export type ProxyIdentity = ProcessProof & { id: string; listeners: number; connections: number };

export type ProxyRefusal = {
  /** taken: somebody listens there; privileged: below what this user may; unavailable: no address of this host. */
  code: "taken" | "privileged" | "unavailable" | "failed";
  detail: string;
};

export type ProxyLaunch = {
  /** Name of the VM, for errors, and its id. */
  vm: string;
  id: string;
  proxyPath: string;
  control: string;
  /** The proxy ends when this process does. */
  until: { pid: number; startTicks: number };
  /** Put before its argv: enters the namespace in which the guest is reached. */
  inside: readonly string[];
};

/** Errors: host.command_missing, host.command_failed, operation.timeout. */
export type ProxyPort = {
  /** Returns when it answers. */
  launch(launch: ProxyLaunch): Promise<void>;
  /** Null when nobody answers there. */
  hello(where: ProxyPlace): Promise<ProxyIdentity | null>;
  list(where: ProxyPlace): Promise<ProxyRoute[] | null>;
  /** Null for each that is open now, in their order. */
  open(where: ProxyPlace, routes: readonly ProxyRoute[]): Promise<(ProxyRefusal | null)[]>;
  /** `drops` ends what is connected through them too. */
  close(where: ProxyPlace, routes: readonly ProxyRoute[], options: { drops: boolean }): Promise<void>;
  /** Returns when it is gone; succeeds when it was not there. */
  quit(where: ProxyPlace): Promise<void>;
};

export type ProxyPlace = { proxyPath: string; control: string };

const TIMEOUT_MS = 10_000;
const NOBODY = 3;
const GONE_POLL_MS = 10;

/** The answers to some requests; null when nobody listens there. */
const ask = async (where: ProxyPlace, requests: readonly string[]): Promise<string[] | null> => {
  // Most VMs have none: nothing is started to learn that.
  if (!existsSync(where.control)) return null;
  const argv = [where.proxyPath, "--ask", where.control];
  const { stdout, stderr, exitCode } = await runCommand({
    argv,
    timeoutMs: TIMEOUT_MS,
    stdin: requests.map((request) => `${request}\n`).join(""),
    package: "banger-proxy",
  });
  if (exitCode === NOBODY) return null;
  const answers = stdout.split("\n.\n").slice(0, -1);
  if (exitCode !== 0 || answers.length !== requests.length)
    throw fail("host.command_failed", { command: argv, exitCode, stderr });
  return answers;
};

const spell = ({ address, port }: Pick<ProxyRoute, "address" | "port">): string => `${address} ${port}`;

const readRefusal = (answer: string): ProxyRefusal | null => {
  if (answer === "ok") return null;
  const [, code = "", detail = ""] = /^error (\S+) ?(.*)$/s.exec(answer) ?? [];
  return code === "taken" || code === "privileged" || code === "unavailable"
    ? { code, detail }
    : { code: "failed", detail: `${code} ${detail}`.trim() };
};

const hello: ProxyPort["hello"] = async (where) => {
  const [answer] = (await ask(where, ["hello"])) ?? [];
  const words = answer?.split(" ") ?? [];
  if (words[0] !== "ok" || words.length !== 6) return null;
  const [pid = 0, startTicks = 0, listeners = 0, connections = 0] = words.slice(2).map(Number);
  return { id: words[1] ?? "", pid, startTicks, listeners, connections, bootId: await readBootId() };
};

export const proxies: ProxyPort = {
  async launch({ vm, id, proxyPath, control, until, inside }) {
    const bound = ["--until", String(until.pid), String(until.startTicks)];
    const argv = [...inside, proxyPath, "--serve", control, id, ...bound];
    const { exitCode, stderr } = await runCommand({ argv, timeoutMs: TIMEOUT_MS, package: "banger-proxy" });
    if (exitCode !== 0) throw fail("host.command_failed", { command: argv, exitCode, stderr: stderr.trim() });
    if ((await hello({ proxyPath, control }))?.id !== id)
      throw fail("host.command_failed", { command: argv, exitCode, stderr: `the proxy of ${vm} does not answer` });
  },
  hello,
  async list(where) {
    const [answer] = (await ask(where, ["list"])) ?? [];
    if (answer === undefined) return null;
    return answer
      .split("\n")
      .slice(1)
      .map((line) => line.split(" "))
      .filter((words) => words.length === 5)
      .map(([address = "", port, targetAddress = "", targetPort]) => ({
        address,
        port: Number(port),
        targetAddress,
        targetPort: Number(targetPort),
      }));
  },
  async open(where, routes) {
    const requests = routes.map((route) => `open ${spell(route)} ${route.targetAddress} ${route.targetPort}`);
    const answers = await ask(where, requests);
    return routes.map((_, at) =>
      answers === null ? { code: "failed", detail: "the proxy is gone" } : readRefusal(answers[at] ?? ""),
    );
  },
  async close(where, routes, { drops }) {
    await ask(
      where,
      routes.map((route) => `${drops ? "drop" : "close"} ${spell(route)}`),
    );
  },
  async quit(where) {
    const until = performance.now() + TIMEOUT_MS;
    while ((await ask(where, ["quit"])) !== null) {
      if (performance.now() > until)
        throw fail("operation.timeout", { operation: "Ending banger-proxy", waitedMs: TIMEOUT_MS });
      await Bun.sleep(GONE_POLL_MS);
    }
  },
};
