// Queries per second and CPU per query of the name server against dnsmasq, Knot and NSD: same core, same zone, rounds interleaved.
// bun bench/dns.ts [--rounds 5] [--seconds 4] [--json FILE]; needs dnsperf, and leaves out the servers that are not installed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildZone } from "../src/core/dns-zone.ts";
import { openDnsServer } from "../src/dns/server.ts";
import { createDnsFront } from "../src/host/dns-front.ts";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "4" },
    json: { type: "string" },
    serve: { type: "string" },
  },
});
const HOSTS = 500;
const addressOf = (index: number) => `10.77.${index >> 8}.${index & 255}`;

/** Started by this very file as a child, so that the server has a process and a core of its own. */
const serveOurs = async (port: number) => {
  const hosts = Array.from({ length: HOSTS }, (_, index) => ({ name: `vm${index}`, addresses: [addressOf(index)] }));
  const zone = buildZone({
    zoneName: "vm",
    view: "loopback",
    serial: 1,
    nameServerAddress: "127.0.0.1",
    hosts,
    subnets: ["10.77.0.0/16"],
  });
  const directory = mkdtempSync(join(tmpdir(), "bgr-bench-dns-"));
  const front = createDnsFront({ helper: join(import.meta.dir, "../build/banger-dns-front"), directory });
  await openDnsServer({ listen: { host: "127.0.0.1", port }, zone: () => zone, front });
  rmSync(directory, { recursive: true });
};

type Contender = { name: string; command: (port: number) => string[] };

const contenders = (directory: string): Contender[] => {
  const lines = Array.from({ length: HOSTS }, (_, index) => `vm${index} 5 IN A ${addressOf(index)}`);
  const soa = "@ 5 IN SOA ns nobody.invalid. 1 3600 1200 604800 5\n@ 5 IN NS ns\nns 5 IN A 127.0.0.1";
  const file = (name: string, content: string) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };
  file("vm.zone", `$ORIGIN vm.\n${soa}\n${lines.join("\n")}\n`);
  const hostLines = Array.from({ length: HOSTS }, (_, index) => `${addressOf(index)} vm${index}.vm`);
  const hosts = file("hosts", `${hostLines.join("\n")}\n`);
  return [
    { name: "banger", command: (port) => [process.execPath, import.meta.path, "--serve", String(port)] },
    {
      name: "dnsmasq",
      command: (port) => [
        ...["dnsmasq", "-k", "-C", "/dev/null", "-p", String(port), "-a", "127.0.0.1", "-z", "-R", "-h", "-u", "root"],
        ...["-H", hosts, "--local=/vm/", "--local-ttl=5", "--pid-file="],
      ],
    },
    {
      name: "knot",
      command: (port) => {
        const dir = directory;
        const server = `server:\n  rundir: ${dir}\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n`;
        const rest = `database:\n  storage: ${dir}/knot\nzone:\n  - domain: vm\n    storage: ${dir}\n    file: vm.zone\n`;
        return ["knotd", "-c", file("knot.conf", server + rest)];
      },
    },
    {
      name: "nsd",
      command: (port) => {
        const files = `zonesdir: ${directory}\n  pidfile: ""\n  zonelistfile: ${directory}/zl\n  xfrdfile: ${directory}/x\n  username: ""\n  xfrdir: ${directory}\n`;
        const server = `server:\n  ip-address: 127.0.0.1\n  port: ${port}\n  server-count: 1\n  rrl-ratelimit: 0\n  ${files}`;
        const rest = "remote-control:\n  control-enable: no\nzone:\n  name: vm\n  zonefile: vm.zone\n";
        return ["nsd", "-d", "-c", file("nsd.conf", server + rest)];
      },
    },
  ];
};

const capture = async (command: string[], timeout: number): Promise<string> => {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore", stdin: "ignore", timeout });
  return child.stdout.text();
};

/** CPU of a process and all its descendants so far, µs. */
const cpuOf = (pid: string): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  // utime and stime, in ticks of 10 ms.
  const own = (Number(fields[11]) + Number(fields[12])) * 10_000;
  return children.reduce((sum, child) => sum + cpuOf(child), own);
};

type Round = { qps: number; lost: number; cpuUs: number; p99Us: number };

/** Queries per second at which waiting is measured: a pace that each of them keeps up with. */
const PACE = 10_000;

/** The time under which 99 of 100 answers came, µs; dnsperf -v prints a line for each. */
const p99Of = (output: string): number => {
  const times = [...output.matchAll(/^> \w+ .* (\d+\.\d+)$/gm)].map(([, seconds]) => Number(seconds) * 1e6);
  return times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? Number.NaN;
};

const measure = async (contender: Contender, { queries, port }: { queries: string; port: number }): Promise<Round> => {
  const command = ["taskset", "-c", "0", ...contender.command(port)];
  const server = Bun.spawn(command, { stdout: "ignore", stderr: "ignore", stdin: "ignore" });
  const perf = (seconds: string, ...more: string[]) => {
    const words = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", String(port), "-d", queries];
    return capture([...words, "-q", "50", "-c", "4", "-l", seconds, "-t", "1", ...more], 60_000);
  };
  try {
    for (let tries = 0; tries < 20; tries++) if (/completed:\s+[1-9]/.test(await perf("0.3"))) break;
    const before = cpuOf(String(server.pid));
    const out = await perf(flags.seconds);
    const number = (pattern: RegExp) => Number(pattern.exec(out)?.[1] ?? Number.NaN);
    const completed = number(/completed:\s+(\d+)/);
    const cpuUs = (cpuOf(String(server.pid)) - before) / completed;
    const p99Us = p99Of(await perf("1.5", "-v", "-Q", String(PACE)));
    return { qps: number(/per second:\s+([\d.]+)/), lost: number(/lost:\s+(\d+)/), cpuUs, p99Us };
  } finally {
    server.kill();
    await server.exited;
  }
};

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const compare = async () => {
  const directory = mkdtempSync(join(tmpdir(), "bgr-bench-dns-"));
  await Bun.$`mkdir -p ${directory}/knot`.quiet();
  try {
    const names = Array.from({ length: HOSTS }, (_, index) => `vm${index}.vm A`);
    const missing = Array.from({ length: 50 }, (_, index) => `no${index}.vm A`);
    const queries = join(directory, "queries");
    writeFileSync(queries, `${[...names, ...missing].join("\n")}\n`);
    const programs: Record<string, string> = { banger: "bun", knot: "knotd" };
    const all = contenders(directory).filter(({ name }) => name === "banger" || Bun.which(programs[name] ?? name));
    const rounds = new Map<string, Round[]>(all.map(({ name }) => [name, []]));
    let port = 20_000 + (process.pid % 5000);
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const one of all) rounds.get(one.name)?.push(await measure(one, { queries, port: port++ }));
    }
    console.log(`server    qps median (min-max)        CPU µs/query   p99 at ${PACE}/s   lost`);
    for (const [name, results] of rounds) {
      const qps = results.map((result) => result.qps);
      const spread = `${Math.round(median(qps))} (${Math.round(Math.min(...qps))}-${Math.round(Math.max(...qps))})`;
      const lost = results.reduce((sum, result) => sum + result.lost, 0);
      const cpu = median(results.map((result) => result.cpuUs)).toFixed(1);
      const p99 = `${median(results.map((result) => result.p99Us)).toFixed(0)} µs`;
      console.log(`${name.padEnd(9)} ${spread.padEnd(27)} ${cpu.padEnd(14)} ${p99.padEnd(14)} ${lost}`);
    }
    if (flags.json) writeFileSync(flags.json, JSON.stringify(Object.fromEntries(rounds), null, 2));
  } finally {
    rmSync(directory, { recursive: true });
  }
};

if (flags.serve) await serveOurs(Number(flags.serve));
else if (Bun.which("dnsperf")) await compare();
else console.log("dnsperf is not installed (Debian package dnsperf): nothing was measured");
