// In a namespace with this name server on port 53, as a guest sees its gateway: what glibc makes of it.
import { mkdirSync, writeFileSync } from "node:fs";
import { openForwarder } from "../../src/dns/forwarder.ts";
import { openDnsServer } from "../../src/dns/server.ts";
import { zoneOf } from "./asking.ts";
import { addLink, must, ownCopy } from "./namespace.ts";
import { upstream } from "./resolver.ts";

must(["ip", "link", "set", "lo", "up"]);
addLink("uplink", ["192.0.2.2/24", "fd00::2/64"]);
must(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
mkdirSync("/run/copies");
ownCopy("/etc", "/run/copies");
writeFileSync("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");

// Answers every question with NXDOMAIN, and remembers it.
const internet = await upstream((query) => {
  const answer = query.slice();
  answer[2] = 0x81;
  answer[3] = 0x83;
  return [answer];
});
const forwarder = openForwarder({ upstreams: () => [{ address: "127.0.0.1", port: internet.port }] });
const zone = zoneOf({ view: "guest" });
const server = await openDnsServer({ listen: { host: "127.0.0.1", port: 53 }, zone: () => zone, forwarder });

/** The program runs beside this one, which has to go on answering. */
const getent = async (...words: string[]): Promise<string[]> => {
  const child = Bun.spawn(["getent", ...words], { stdin: "ignore", stdout: "pipe", stderr: "ignore", timeout: 60_000 });
  const out = await child.stdout.text();
  await child.exited;
  return [...new Set(out.split("\n").flatMap((line) => line.trim().split(/\s+/)[0] || []))];
};

const results: Record<string, unknown> = {};
for (const [how, options] of [
  ["plain", ""],
  ["edns0", "options edns0 trust-ad"],
  ["tcp", "options use-vc"],
] as const) {
  writeFileSync("/etc/resolv.conf", `nameserver 127.0.0.1\nsearch vm\noptions timeout:10 attempts:3\n${options}\n`);
  const before = server.stats().tcpQueries;
  results[how] = {
    full: await getent("ahostsv4", "hello.vm"),
    short: await getent("ahostsv4", "hello"),
    both: await getent("ahosts", "hello.vm"),
    six: await getent("ahostsv6", "six.vm"),
    many: (await getent("ahostsv4", "many.vm")).length,
    wild: await getent("ahostsv4", "a.b.wild.vm"),
    nothing: await getent("ahostsv4", "nothing.vm"),
    outside: await getent("ahostsv4", "www.example.org"),
    backwards: (await getent("hosts", "10.77.5.9")).length,
    hasUsedTcp: server.stats().tcpQueries > before,
  };
}
console.log(JSON.stringify({ results, malformed: server.stats().rcodes[1] ?? 0 }));
process.exit(0);
