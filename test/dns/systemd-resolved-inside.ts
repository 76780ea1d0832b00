// In a namespace of its own: a bus, a real systemd-resolved with an uplink, this name server, and `banger dns setup` between them.
// usage: systemd-resolved-inside.ts DIRECTORY, where the programs of the package were unpacked, or "" for those of this host.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { DNS_JOURNAL, decideResolver, planDnsSetup, SETUP_LINK } from "../../src/core/dns-setup.ts";
import { openDnsServer } from "../../src/dns/server.ts";
import { readResolverFacts, runDnsSetup, undoDnsSetup } from "../../src/host/dns-setup.ts";
import { zoneOf } from "./asking.ts";
import { addLink, must, ownCopy, sh } from "./namespace.ts";
import { answering, upstream } from "./resolver.ts";

const unpacked = process.argv[2] ?? "";
const RESOLVED = `${unpacked}/lib/systemd/systemd-resolved`;

const until = async (what: string, claim: () => boolean | Promise<boolean>): Promise<void> => {
  for (const end = performance.now() + 60_000; ; ) {
    if (await claim()) return;
    if (performance.now() > end) throw new Error(`not within a minute: ${what}`);
    await Bun.sleep(50);
  }
};
/** Beside this program, which has to go on answering. */
const run = async (argv: readonly string[]): Promise<string> => {
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [out] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return out;
};
const resolvectl = (...words: string[]) => run(["resolvectl", ...words]);
/** Through the stub listener, as programs do that read resolv.conf. */
const dig = (...words: string[]) => run(["dig", "@127.0.0.53", "+time=10", "+tries=3", ...words]);
const short = async (...words: string[]) => (await dig("+short", ...words)).split("\n").filter((line) => line !== "");
const statusOf = async (...words: string[]) => /status: (\w+)/.exec(await dig(...words))?.[1] ?? "none";

must(["ip", "link", "set", "lo", "up"]);
must(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
for (const directory of ["/run/copies", "/run/dbus", "/run/systemd/netif/links"])
  mkdirSync(directory, { recursive: true });
ownCopy("/etc", "/run/copies");
must(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"]);
if (!/^systemd-resolve:/m.test(readFileSync("/etc/passwd", "utf8"))) {
  writeFileSync("/etc/passwd", "systemd-resolve:x:990:990::/:/usr/sbin/nologin\n", { flag: "a" });
  writeFileSync("/etc/group", "systemd-resolve:x:990:\n", { flag: "a" });
}
writeFileSync("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
must(["rm", "-f", "/etc/resolv.conf"]);
must(["ln", "-s", "/run/systemd/resolve/stub-resolv.conf", "/etc/resolv.conf"]);

const allow = ["send_type", "receive_type"].flatMap((what) =>
  ["method_call", "method_return", "error", "signal"].map((type) => `<allow ${what}="${type}"/>`),
);
writeFileSync(
  "/run/bus.conf",
  `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/>${allow.join("")}</policy></busconfig>`,
);
const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
const bus = Bun.spawn(["dbus-daemon", "--config-file=/run/bus.conf", "--nofork", "--nopidfile"], quiet);
await until("the bus listens", () => existsSync("/run/dbus/system_bus_socket"));

let resolved = Bun.spawn([RESOLVED], quiet);
const untilUp = () => until("systemd-resolved answers", () => sh(["resolvectl", "status"]).code === 0);
await untilUp();
const restart = async () => {
  resolved.kill();
  await resolved.exited;
  resolved = Bun.spawn([RESOLVED], quiet);
  await untilUp();
};

// The outside: an uplink whose server has an address for every name.
const internet = await upstream(answering);
const askedOutside = (label: string) =>
  internet.seen.some(({ query }) => Buffer.from(query).toString("latin1").toLowerCase().includes(label));
addLink("uplink", ["192.0.2.2/24"]);
const connectUplink = async () => {
  await resolvectl("dns", "uplink", `127.0.0.1:${internet.port}`);
  await resolvectl("default-route", "uplink", "yes");
};
await connectUplink();

const zone = zoneOf();
const server = await openDnsServer({ listen: { host: "127.0.0.1", port: 42069 }, zone: () => zone });

/** What systemd would do with the unit: its commands in order, a leading dash for those that may fail. */
const runUnit = (unit: string, key: "ExecStart" | "ExecStop") => {
  const lines = readFileSync(`/etc/systemd/system/${unit}`, "utf8").split("\n");
  for (const line of lines.filter((one) => one.startsWith(`${key}=`))) {
    const command = line.slice(key.length + 1);
    const words = command.replace(/^-/, "").split(" ");
    const isWell = sh(words).code === 0;
    // Kernels that are made small lack the kind of link; another one that leads nowhere serves as well.
    if (!isWell && words.join(" ").endsWith("type dummy")) addLink(SETUP_LINK, []);
    else if (!isWell && !command.startsWith("-")) throw new Error(`${command} failed`);
  }
};
const place = {
  root: "/",
  run: async (argv: readonly string[]) => {
    const [program, verb, ...words] = argv;
    if (program !== "systemctl") throw new Error(`unexpected: ${argv.join(" ")}`);
    const unit = words.at(-1) ?? "";
    if (verb === "enable") runUnit(unit, "ExecStart");
    if (verb === "disable") runUnit(unit, "ExecStop");
  },
};

const kind = decideResolver(await readResolverFacts());
const before = { vm: await short("hello.vm"), outside: await short("www.example.org") };
// Which of its files this version would read is not what is asked here: links are what every version has.
await runDnsSetup(planDnsSetup({ kind: "resolved-link", zone: "vm", server: "127.0.0.1:42069" }), place);
const seenBefore = internet.seen.length;
const look = async () => ({
  a: await short("hello.vm"),
  tcp: await short("+tcp", "hello.vm"),
  case: await short("HeLLo.VM"),
  many: (await short("+tcp", "many.vm")).length,
  wild: await short("x.wild.vm"),
  aaaa: await statusOf("hello.vm", "AAAA"),
  aaaaCount: (await short("hello.vm", "AAAA")).length,
  nothing: await statusOf("nothing.vm"),
  outside: await short("mail.example.org"),
  glibc: (await run(["getent", "ahostsv4", "hello.vm"])).split(/\s/)[0] ?? "",
  resolvectl: (await resolvectl("query", "hello.vm")).includes("10.77.5.9"),
});
const wired = await look();
const leaked = internet.seen
  .slice(seenBefore)
  .filter(({ query }) => Buffer.from(query).toString("latin1").toLowerCase().includes("\x02vm\0")).length;
const refused = server.stats().rcodes[5] ?? 0;

// Restarted with the unit that is part of it.
await restart();
await connectUplink();
runUnit("banger-dns.service", "ExecStop");
runUnit("banger-dns.service", "ExecStart");
const again = await look();

await undoDnsSetup(place);
await resolvectl("flush-caches");
const after = {
  hasLink: sh(["ip", "link", "show", SETUP_LINK]).code === 0,
  hasUnit: existsSync("/etc/systemd/system/banger-dns.service"),
  hasJournal: existsSync(DNS_JOURNAL),
  outside: await short("ftp.example.org"),
};
// What the documentation warns of: a server in resolved.conf is asked for names of the whole world.
mkdirSync("/etc/systemd/resolved.conf.d", { recursive: true });
writeFileSync("/etc/systemd/resolved.conf.d/x.conf", "[Resolve]\nDNS=127.0.0.1:42069\nDomains=~vm\n");
await restart();
await short("drop-in.example.org");
const isDropInAskedForAll = (server.stats().rcodes[5] ?? 0) > refused;

resolved.kill();
bus.kill();
console.log(
  JSON.stringify({
    kind,
    before,
    wired,
    leaked,
    refused,
    again,
    after,
    isDropInAskedForAll,
    asked: askedOutside("example"),
  }),
);
process.exit(0);
