// `banger doctor --canary`: boots a VM that is thrown away, proves every hop to it with its time, and leaves nothing, however it ends.
import { Resolver } from "node:dns/promises";
import { describeUnknown, fail, reportOf } from "../spec/errors.ts";
import type { ProgressEvent } from "../spec/events.ts";
import { type Call, contract, type Handlers, type Output } from "../spec/rpc/contract.ts";
import type { Context } from "./context.ts";

type Hop = Output<"system.canary">["hops"][number];
type Outcome = { summary: string; status?: "ok" | "skipped" | "error"; fix?: string | null };

type Lasting = Pick<Call<"system.canary">, "signal" | "emit" | "untilRoom" | "requestedBy">;

export type CanaryPorts = Pick<Handlers, "vm.create" | "vm.delete" | "vm.ping" | "vm.access" | "system.audit">;

/** Marks the VM, so that one that a crash of the daemon left is found by the next canary. */
export const CANARY_LABEL = "banger/canary";
const LOCK = "canary";
const MEMORY = "256M";
/** A command over ssh in a guest that is emulated and still busy with its boot. */
const SSH_TIMEOUT_MS = 180_000;
const RESOLVE_TIMEOUT_MS = 3000;
const REACH_TIMEOUT_MS = 1500;
/** More than this a guest would notice: certificates, builds, logs. */
const SKEW_LIMIT_MS = 5000;
const DNS_PORT = 53;

const skipped = (summary: string): Outcome => ({ summary, status: "skipped" });

const isLoopback = (address: string): boolean => address.startsWith("127.") || address.includes(":");

/** Something outside that answers this host by TCP: its resolvers, else its routers. Nobody else is asked for anything. */
const findOutside = async (
  context: Context,
  signal: AbortSignal,
): Promise<{ address: string; port: number } | null> => {
  const { resolvers, routes } = await context.host.facts();
  const routers = routes.flatMap(({ destination, gateway }) =>
    destination === "0.0.0.0/0" && gateway ? [gateway] : [],
  );
  const addresses = [...new Set([...resolvers, ...routers])].filter((address) => !isLoopback(address));
  const answers = await Promise.all(
    addresses.map(async (address) => {
      const target = { address, port: DNS_PORT };
      return (await context.reach({ ...target, timeoutMs: REACH_TIMEOUT_MS, signal })) ? target : null;
    }),
  );
  return answers.find((target) => target !== null) ?? null;
};

const ssh = async (context: Context, access: Output<"vm.access">, command: string, signal: AbortSignal) => {
  const options = {
    BatchMode: "yes",
    HostKeyAlias: access.hostKeyAlias,
    UserKnownHostsFile: `"${access.knownHostsPath.replaceAll("%", "%%")}"`,
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    IdentitiesOnly: "yes",
    ConnectTimeout: "90",
    ...(access.proxyCommand === undefined ? {} : { ProxyCommand: access.proxyCommand, ProxyUseFdpass: "yes" }),
  };
  const argv = ["/usr/bin/ssh", "-F", "/dev/null"];
  for (const [key, value] of Object.entries(options)) argv.push("-o", `${key}=${value}`);
  argv.push("-i", access.keyPath, "-p", String(access.port), "-l", access.user, "--", access.address, command);
  return context.host.processes.runCommand({ argv, timeoutMs: SSH_TIMEOUT_MS, signal, package: "openssh-client" });
};

const resolves = async (name: string, address: string, servers: string[] | null): Promise<string | null> => {
  const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 1 });
  if (servers) resolver.setServers(servers);
  try {
    const found = await resolver.resolve4(name);
    return found.includes(address) ? null : `${name} is ${found.join(", ")} there`;
  } catch (error) {
    return describeUnknown(error);
  }
};

const isCanary = (labels: Readonly<Record<string, string>>): boolean => labels[CANARY_LABEL] !== undefined;

/** What a canary of an earlier daemon left. */
const removeEarlier = async (context: Context, ports: CanaryPorts, call: Call<"vm.delete">): Promise<void> => {
  for (const { id, spec } of context.store.vms.all())
    if (isCanary(spec.labels)) await ports["vm.delete"]({ vm: id, force: true }, call);
};

/** One after the other: each takes away what it finds of others, and looks at all that is left on this host. Errors: operation.cancelled. */
export const runCanary = (
  context: Context,
  ports: CanaryPorts,
  call: Call<"system.canary">,
): Promise<Output<"system.canary">> => {
  if (context.locks.isHeld(LOCK)) call.emit({ kind: "note", text: "another canary runs, and is waited for" });
  return context.locks.run(LOCK, () => runAlone(context, ports, call));
};

const runAlone = async (
  context: Context,
  ports: CanaryPorts,
  call: Call<"system.canary">,
): Promise<Output<"system.canary">> => {
  const { signal } = call;
  if (signal.aborted) throw fail("operation.cancelled", { operation: "The canary" });
  const hops: Hop[] = [];
  const emit = (event: ProgressEvent) => call.emit(event);
  // Tidying up is not cancelled by whoever goes away.
  const lasting: Lasting = { ...call, signal: new AbortController().signal, emit };
  const step = (name: string, phase: "begin" | "done" | "failed", ms: number | null) =>
    emit({ kind: "step", operation: "system.canary", step: name, phase, ms });

  const hop = async (id: string, prove: () => Promise<Outcome>): Promise<boolean> => {
    signal.throwIfAborted();
    const startedMs = context.clock();
    step(id, "begin", null);
    const elapsed = () => Math.round(context.clock() - startedMs);
    try {
      const { summary, status = "ok", fix = null } = await prove();
      hops.push({ id, status, ms: status === "skipped" ? null : elapsed(), summary, fix });
      step(id, "done", elapsed());
      return status !== "error";
    } catch (error) {
      step(id, "failed", elapsed());
      if (signal.aborted) throw error;
      const { message, fix } = reportOf(error);
      hops.push({ id, status: "error", ms: elapsed(), summary: message, fix: fix ?? "banger doctor" });
      return false;
    }
  };
  const skip = (ids: readonly string[], why: string) => {
    for (const id of ids) hops.push({ id, status: "skipped", ms: null, summary: why, fix: null });
  };

  await removeEarlier(context, ports, lasting);
  const before = new Set((await ports["system.audit"]({}, lasting)).findings.map(({ what }) => what));
  const name = `canary-${context.randomHex(6)}`;
  const find = () => context.store.vms.all().find(({ spec }) => spec.name === name) ?? null;
  try {
    const isUp = await hop("boot", async () => {
      const given = { name, memory: MEMORY, vcpu: 1, label: { [CANARY_LABEL]: "1" } };
      const vm = await ports["vm.create"](contract["vm.create"].input.parse(given), { ...call, emit });
      return { summary: `${name} was made and booted by ${vm.vmm} (${vm.accelerator})` };
    });
    if (isUp) await proveGuest({ context, ports, call: lasting, name, hop, signal });
    else skip(["channel", "clock", "name", "resolver", "ssh", "nat"], "the guest did not boot");
    await hop("teardown", async () => {
      const record = find();
      if (record === null) return skipped("there is nothing to tear down");
      await ports["vm.delete"]({ vm: record.id, force: true }, lasting);
      return { summary: `${name} is deleted with its disk, tap and rules` };
    });
    await hop("audit", async () => {
      const { findings } = await ports["system.audit"]({}, lasting);
      const fresh = findings.filter(({ what }) => !before.has(what));
      if (fresh.length === 0) return { summary: "nothing is left of it on this host" };
      const summary = `left over: ${fresh.map(({ what, detail }) => `${what} (${detail})`).join(", ")}`;
      return { summary, status: "error", fix: fresh[0]?.fix ?? "banger audit" };
    });
    return { hops };
  } catch (error) {
    if (signal.aborted) throw fail("operation.cancelled", { operation: "The canary" }, error);
    throw error;
  } finally {
    const left = find();
    if (left) await ports["vm.delete"]({ vm: left.id, force: true }, lasting);
  }
};

/** Everything on the way to a guest that runs. */
const proveGuest = async (given: {
  context: Context;
  ports: CanaryPorts;
  call: Lasting;
  name: string;
  hop: (id: string, prove: () => Promise<Outcome>) => Promise<boolean>;
  signal: AbortSignal;
}): Promise<void> => {
  const { context, ports, call, name, hop, signal } = given;
  let skewMs: number | null = null;
  await hop("channel", async () => {
    const pong = await ports["vm.ping"]({ vm: name }, call);
    skewMs = pong.clockSkewMs;
    return { summary: `the guest helper (${pong.helperVersion}) answered in ${pong.roundTripMs.toFixed(1)} ms` };
  });
  await hop("clock", async () => {
    if (skewMs === null) return skipped("the guest helper did not tell its time");
    const said = `the guest's clock is ${Math.abs(Math.round(skewMs))} ms ${skewMs < 0 ? "behind" : "ahead"}`;
    return Math.abs(skewMs) <= SKEW_LIMIT_MS
      ? { summary: said }
      : { summary: said, status: "error", fix: "timedatectl   # is this host's own clock right?" };
  });
  const access = await ports["vm.access"]({ vm: name }, call);
  const { dns } = context.config();
  const fqdn = `${name}.${dns.zone}`;
  await hop("name", async () => {
    const { port, address } = context.names.status();
    if (port === null) return skipped("banger's name server does not run");
    const fault = await resolves(fqdn, access.address, [`${address}:${port}`]);
    return fault === null
      ? { summary: `${fqdn} is ${access.address} at ${address}:${port}` }
      : {
          summary: `banger's name server does not find ${fqdn}: ${fault}`,
          status: "error",
          fix: "banger daemon restart",
        };
  });
  await hop("resolver", async () => {
    const fault = await resolves(fqdn, access.address, null);
    return fault === null
      ? { summary: `programs of this host find ${fqdn}` }
      : skipped(`this host's resolver does not ask banger for .${dns.zone} (see resolver in banger doctor)`);
  });
  const isIn = await hop("ssh", async () => {
    const { exitCode, stderr } = await ssh(context, access, "true", signal);
    if (exitCode === 0) return { summary: `${access.user}@${access.address} let us in with banger's key` };
    const said = stderr.trim().split("\n").at(-1) ?? "";
    return { summary: `ssh ended with ${exitCode}: ${said}`, status: "error", fix: "banger doctor" };
  });
  await hop("nat", async () => {
    if (!isIn) return skipped("nothing could be run in the guest");
    const outside = await findOutside(context, signal);
    if (outside === null)
      return skipped("nothing outside answers this host itself: neither its resolvers nor its router");
    const { address, port } = outside;
    const line = `exec timeout 90 bash -c 'exec 3<>/dev/tcp/${address}/${port}'`;
    const { exitCode } = await ssh(context, access, line, signal);
    return exitCode === 0
      ? { summary: `the guest reached ${address}:${port}` }
      : {
          summary: `this host reaches ${address}:${port}, and the guest does not`,
          status: "error",
          fix: "banger doctor   # see forward-rules",
        };
  });
};
