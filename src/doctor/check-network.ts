// How VMs are connected here: their subnet, other tools' rules in the way, the name server's port, who answers for the zone.
import { fail } from "../spec/errors.ts";
import { check, error, ok, skipped, spellCommands, warning } from "./check.ts";
import type { ForwardDrop } from "./facts.ts";

/** The rules that let a bridge's packets through, each tool told in its own way. */
export const planPassage = (drop: ForwardDrop, bridge: string): string[][] => {
  if (drop.owner === "docker") {
    return ["-i", "-o"].map((side) => ["sudo", "iptables", "-I", "DOCKER-USER", side, bridge, "-j", "ACCEPT"]);
  }
  if (drop.owner === "firewalld") {
    return [
      ["sudo", "firewall-cmd", "--permanent", "--zone=trusted", `--add-interface=${bridge}`],
      ["sudo", "firewall-cmd", "--reload"],
    ];
  }
  if (drop.owner === "ufw") {
    return ["in", "out"].map((side) => ["sudo", "ufw", "route", "allow", side, "on", bridge]);
  }
  const at = [drop.family, drop.table, drop.chain];
  return ["iifname", "oifname"].map((key) => ["sudo", "nft", "insert", "rule", ...at, key, bridge, "accept"]);
};

const names: Readonly<Record<ForwardDrop["owner"], string>> = {
  docker: "Docker",
  firewalld: "firewalld",
  ufw: "ufw",
  other: "another tool",
};

export const networkChecks = [
  check({
    id: "network",
    why: "how new VMs are connected",
    needs: ["mode", "root", "subnet"],
    decide: ({ mode, root, subnet }) => {
      if (mode === "namespace") return ok("VMs are connected in a network namespace of their own, without root");
      const by = root.launch.kind === "refusal" ? "by nobody yet" : root.launch.argv0 === null ? "by sudo" : "as root";
      const way = subnet.hasDefaultRoute ? "" : "; this host has no default route, so VMs reach it and each other only";
      return ok(`VMs are connected by bridge ${subnet.bridge}, made ${by}${way}`);
    },
  }),
  check({
    id: "subnet",
    why: "addresses of VMs must be nobody else's, or replies go elsewhere",
    needs: ["subnet"],
    decide: ({ subnet }) => {
      const { current, configured, chosen, clash, overlaps } = subnet;
      const with_ = overlaps
        .slice(0, 3)
        .map(({ destination, device }) => `${destination}${device ? ` on ${device}` : ""}`)
        .join(", ");
      if (chosen === null) {
        if (configured === null) return error(fail("net.subnet_exhausted", { instance: subnet.bridge.slice(4) }));
        return error(`network.subnet is ${configured}, and this host sends that elsewhere already: ${with_}`, {
          fix: `banger config set network.subnet 10.X.Y.0/24   # one that "ip route" does not show`,
        });
      }
      if (clash) {
        return error(`${chosen}, where VMs run, is sent elsewhere by this host since: ${with_}`, {
          fix: "banger stop --all   # the next start chooses another subnet",
        });
      }
      return ok(
        current === chosen ? `${chosen}, which overlaps no route` : `${chosen} will be used, which overlaps no route`,
      );
    },
  }),
  check({
    id: "forward-rules",
    why: "a packet of a VM must be accepted by every tool's rules, not by banger's alone",
    needs: ["forward", "mode"],
    decide: ({ forward, mode }) => {
      if (mode === "namespace") return skipped("VMs in a network namespace pass no rules of this host's forwarding");
      if (forward.kind === "hidden") {
        const { suspects, bridge } = forward;
        if (suspects.length === 0)
          return skipped("the rules of this host are root's to read; no tool that drops is seen");
        const commands = suspects.flatMap((owner) => planPassage({ owner, family: "", table: "", chain: "" }, bridge));
        return {
          ...skipped(
            `the rules of this host are root's to read; ${suspects.map((owner) => names[owner]).join(" and ")} may drop what VMs send`,
          ),
          fix: `${spellCommands(commands)}   # if VMs do not reach the outside`,
        };
      }
      if (forward.drops.length === 0) return ok("no other tool's rules drop what VMs send");
      return forward.drops.map((drop) => ({
        ...warning(
          `${names[drop.owner]} drops what VMs send to the outside (chain ${drop.chain} of table ${drop.family} ${drop.table})`,
          // Not done by itself: whom a firewall lets pass is its owner's to say.
          { fix: spellCommands(planPassage(drop, forward.bridge)) },
        ),
        ...(drop.owner === "other"
          ? { id: `forward-rules:${drop.family}-${drop.table}` }
          : { id: `forward-rules:${drop.owner}` }),
      }));
    },
  }),
  check({
    id: "dns-port",
    why: "names of VMs are answered there, over UDP and TCP",
    needs: ["dns"],
    decide: ({ dns }) => {
      if (dns === null || dns.port === 0) return skipped("dns.port is 0: any free port is taken");
      const { host, port, udpError, tcpError, actualPort, freePort } = dns;
      const taken = [...(udpError ? [`UDP: ${udpError}`] : []), ...(tcpError ? [`TCP: ${tcpError}`] : [])].join(", ");
      const place = `${host}:${port}`;
      if (taken === "" && (actualPort === port || actualPort === null))
        return ok(
          actualPort === null ? `${place} is free, UDP and TCP` : `names are answered at ${place}, UDP and TCP`,
        );
      const where =
        actualPort === null || actualPort === port ? "" : `; names are answered at port ${actualPort} meanwhile`;
      const state = taken === "" ? `${place} was taken when bangerd started` : `${place} cannot be had (${taken})`;
      if (taken === "") return warning(`${state}${where}`, { repairs: [["banger", "daemon", "restart"]] });
      return warning(`${state}${where}`, {
        ...(freePort === null
          ? { fix: "banger config set dns.port 0   # any free port" }
          : {
              repairs: [
                ["banger", "config", "set", "dns.port", String(freePort)],
                ["banger", "daemon", "restart"],
              ],
            }),
        remark: `or end what has it: ss -lntup sport = :${port}`,
      });
    },
  }),
  check({
    id: "resolver",
    why: "programs of this host find VMs by name; banger itself does not need it",
    needs: ["resolver", "dns"],
    decide: ({ resolver, dns }) => {
      const { zone, answer, setup } = resolver;
      if (setup === "cut-short") return warning(fail("dns.cut_short", { detail: "its journal says so" }));
      if (dns === null || dns.actualPort === null) return skipped("no name server of banger's runs just now");
      if (answer === "ours") return ok(`this host's resolver asks banger for .${zone}`);
      const server = `${dns.host}:${dns.actualPort}`;
      const state =
        answer === "theirs"
          ? `somebody else answers for .${zone} on this host`
          : answer === "silent"
            ? `this host's resolver does not answer for .${zone}`
            : `this host's resolver does not ask banger for .${zone}`;
      return warning(state, {
        fix: setup === "done" ? "banger dns undo && banger dns setup" : "banger dns setup",
        remark: `or by hand, as docs/resolver.md has it: ${zone} is answered at ${server}`,
      });
    },
  }),
];
