// How fast bytes go into a guest and out of it, and how long a byte takes there and back: in a namespace beside a bridge, in turn, on two guests alike.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../src/spec/rpc/contract.ts";
import type { NetworkMode, Vm } from "../src/spec/vm.ts";
import { BOOT_MS, type Instance, until } from "../test/vm/fixture.ts";
import { INTERNET, type Lab } from "../test/vm/lab.ts";
import { type Metric, median, metric } from "./figures.ts";

const ROUNDS = 5;
const MEGABYTES = 32;
const BYTES = MEGABYTES * 1_000_000;
const ECHOES = 200;
const PORT = 5201;
const MODES = ["bridge", "namespace"] as const;
/** As the guest is told them: what it sends goes out, what it takes comes in. */
const TASKS = [`take:${BYTES}`, `send:${BYTES}`, `echo:${ECHOES}`];
const PEER = join(import.meta.dir, "network-peer.ts");
const GUEST = join(import.meta.dir, "network-guest.pl");

/** Milliseconds by direction; of echoes the median of a round. */
type Round = { in: number; out: number; echo: number };
type Measured = Record<NetworkMode, Round[]>;

const readRound = (line: string): Round => {
  const [[into = Number.NaN] = [], [out = Number.NaN] = [], echoes = []] = JSON.parse(line) as number[][];
  return { in: into, out, echo: median(echoes) };
};

/** Connections that the host makes: by the guest's own address on a bridge, by one of the loopback in a namespace. */
const fromHost = async (lab: Lab, vm: Vm): Promise<Round> => {
  const address = vm.addresses.find(({ side }) => side === "host")?.address ?? "";
  const peer = lab.start("host", [process.execPath, PEER, "connect", address, String(PORT), ...TASKS]);
  return readRound(await new Response(peer.stdout).text());
};

/** Connections that the guest makes to the outside: through this host's firewall, or through `pasta`. */
const fromGuest = async (banger: Instance, lab: Lab, vm: Vm): Promise<Round> => {
  const peer = lab.start("internet", [process.execPath, PEER, "listen", INTERNET.web, String(PORT), ...TASKS]);
  const said = peer.stdout.pipeThrough(new TextDecoderStream()).getReader();
  await said.read();
  for (const _ of TASKS) await banger.guest(vm.name, `perl /tmp/network-guest.pl connect ${INTERNET.web} ${PORT}`);
  const { value = "" } = await said.read();
  await peer.exited;
  return readRound(value);
};

const metricsOf = (title: string, { bridge, namespace }: Measured): Metric[] => {
  const rate = (rounds: readonly Round[], way: "in" | "out") =>
    median(rounds.map((one) => (MEGABYTES / one[way]) * 1000));
  const echo = (rounds: readonly Round[]) => median(rounds.map((one) => one.echo));
  return [
    metric(`${title}: into the guest, namespace beside bridge`, rate(namespace, "in"), "MB/s", rate(bridge, "in")),
    metric(`${title}: out of the guest`, rate(namespace, "out"), "MB/s", rate(bridge, "out")),
    metric(`${title}: round trip`, echo(namespace), "ms", echo(bridge)),
    metric(`${title}: round trip, more than on a bridge`, echo(namespace) - echo(bridge), "ms"),
  ];
};

export const benchNetwork = async (banger: Instance, lab: Lab): Promise<{ metrics: Metric[]; raw: unknown }> => {
  const vms = await Promise.all(MODES.map((mode) => banger.create(`by-${mode}`, "--network", mode)));
  for (const { name } of vms) {
    await banger.untilUp(name);
    await banger.ok(["ssh", name, "--", "cat >/tmp/network-guest.pl"], { stdin: readFileSync(GUEST, "utf8") });
    await banger.guest(name, `setsid -f perl /tmp/network-guest.pl listen ${PORT} </dev/null >/dev/null 2>&1`);
    const isOpen = async () =>
      (await banger.json<Output<"vm.ports">>(["vm", "ports", name])).ports.some(
        (one) => one.port === PORT && one.reach,
      );
    await until(`${name} listens`, isOpen, BOOT_MS);
  }
  const host: Measured = { bridge: [], namespace: [] };
  const guest: Measured = { bridge: [], namespace: [] };
  // The first round warms up both.
  for (let round = -1; round < ROUNDS; round++)
    for (const vm of vms) {
      const [byHost, byGuest] = [await fromHost(lab, vm), await fromGuest(banger, lab, vm)];
      if (round < 0) continue;
      host[vm.network].push(byHost);
      guest[vm.network].push(byGuest);
    }
  return {
    metrics: [...metricsOf("network: host to guest", host), ...metricsOf("network: guest to outside", guest)],
    raw: { host, guest },
  };
};
