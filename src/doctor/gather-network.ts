// Gathers what of the network concerns VMs: routes, other tools' rules, the name server's port, who answers for the zone.

import { Resolver } from "node:dns/promises";
import { access, readFile } from "node:fs/promises";
import { DNS_JOURNAL, parseDnsJournal } from "../core/dns-setup.ts";
import { decideSubnet, isSubnetFree } from "../core/net-plan.ts";
import { bridgeName } from "../spec/names.ts";
import type { DoctorFacts, DoctorPorts, ForwardDrop } from "./facts.ts";
import { findForwardDrops, parseRuleset } from "./forward-rules.ts";
import type { Gatherers } from "./gather.ts";

const RULESET_TIMEOUT_MS = 10_000;
const RULESET_BYTES = 32 * 1024 * 1024;
const RESOLVE_TIMEOUT_MS = 1500;
/** How many ports after the wanted one are tried for one that is free. */
const PORTS_TRIED = 50;

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? "EIO";

/** Whether a port could be had for UDP and for TCP, by having it for a moment. */
const tryPort = async (host: string, port: number) => {
  const udp = async () => (await Bun.udpSocket({ hostname: host, port })).close();
  const tcp = async () => Bun.listen({ hostname: host, port, socket: { data: () => {} } }).stop(true);
  const [udpError, tcpError] = await Promise.all([udp, tcp].map((have) => have().then(() => null, codeOf)));
  return { udpError: udpError ?? null, tcpError: tcpError ?? null };
};

const findFreePort = async (host: string, after: number): Promise<number | null> => {
  for (let port = after + 1; port <= Math.min(after + PORTS_TRIED, 65_535); port += 1) {
    const { udpError, tcpError } = await tryPort(host, port);
    if (udpError === null && tcpError === null) return port;
  }
  return null;
};

const gatherDns = async ({ config, dns }: DoctorPorts): Promise<DoctorFacts["dns"]> => {
  const { listen: host, port } = config.dns;
  const actualPort = dns?.actualPort ?? null;
  const nothing = { host, port, udpError: null, tcpError: null, actualPort, freePort: null };
  if (port === 0) return nothing;
  // Where the server is, it says itself what it lacks; elsewhere the port is tried.
  const errors = dns && actualPort === port ? dns : await tryPort(host, port);
  const { udpError, tcpError } = errors;
  const isTaken = udpError !== null || tcpError !== null;
  return { ...nothing, udpError, tcpError, freePort: isTaken ? await findFreePort(host, port) : null };
};

/** Asks the resolver that programs of this host ask, who is in charge of the zone. */
const askResolver = async (zone: string): Promise<DoctorFacts["resolver"]["answer"]> => {
  try {
    const { nsname } = await new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 1 }).resolveSoa(zone);
    return nsname.toLowerCase() === `ns.${zone}` ? "ours" : "theirs";
  } catch (error) {
    return /ENOTFOUND|ENODATA|SERVFAIL|REFUSED/.test(codeOf(error)) ? "none" : "silent";
  }
};

const readSetup = async (files: DoctorPorts["host"]["files"]): Promise<DoctorFacts["resolver"]["setup"]> => {
  const text = await files.read(DNS_JOURNAL).catch(() => null);
  if (text === null) return "none";
  return parseDnsJournal(text)?.state === "done" ? "done" : "cut-short";
};

/** Tools known to drop what is forwarded, by the traces that anybody may see. */
const findSuspects = async (): Promise<ForwardDrop["owner"][]> => {
  const ufw = await readFile("/etc/ufw/ufw.conf", "utf8").catch(() => "");
  const found: [ForwardDrop["owner"], boolean][] = [
    ["docker", await exists("/sys/class/net/docker0")],
    ["firewalld", await exists("/run/firewalld")],
    ["ufw", /^ENABLED=yes/im.test(ufw)],
  ];
  return found.flatMap(([owner, isHere]) => (isHere ? [owner] : []));
};

const gatherForward = async ({ host, paths }: DoctorPorts): Promise<DoctorFacts["forward"]> => {
  const bridge = bridgeName(paths.instance);
  const { uid } = await host.facts();
  const nft = (await exists("/usr/sbin/nft")) ? "/usr/sbin/nft" : "/sbin/nft";
  if (uid !== 0 || !(await exists(nft))) return { kind: "hidden", bridge, suspects: await findSuspects() };
  const { stdout, exitCode } = await host.processes.runCommand({
    argv: [nft, "-j", "list", "ruleset"],
    timeoutMs: RULESET_TIMEOUT_MS,
    keepBytes: RULESET_BYTES,
  });
  if (exitCode !== 0) return { kind: "hidden", bridge, suspects: await findSuspects() };
  return { kind: "read", bridge, drops: findForwardDrops(parseRuleset(stdout), bridge) };
};

type NetworkFacts = "subnet" | "forward" | "dns" | "resolver";

export const gatherNetwork: Pick<Gatherers, NetworkFacts> = {
  subnet: async ({ host, paths, config, subnet }) => {
    const { routes } = await host.facts();
    const bridge = bridgeName(paths.instance);
    const decision = decideSubnet({
      instance: paths.instance,
      routes,
      bridge,
      configured: config.network.subnet,
      ...subnet,
    });
    const watched = decision.subnet ?? config.network.subnet;
    return {
      bridge,
      current: subnet.current,
      configured: config.network.subnet,
      chosen: decision.subnet,
      clash: decision.clash,
      overlaps:
        watched === null ? [] : routes.filter((route) => !isSubnetFree({ subnet: watched, routes: [route], bridge })),
      hasDefaultRoute: routes.some(({ destination }) => destination === "0.0.0.0/0"),
    };
  },
  forward: gatherForward,
  dns: gatherDns,
  resolver: async ({ config, dns, host }) => ({
    zone: config.dns.zone,
    setup: await readSetup(host.files),
    answer: dns === null || dns.actualPort === null ? "none" : await askResolver(config.dns.zone),
  }),
};
