// Plans a start: picks every name, path, address and argument once, so that nothing later has to invent one.
import { fail } from "../spec/errors.ts";
import { bridgeName, tapName } from "../spec/names.ts";
import type { ChannelAddress, LaunchPlan, StartPlan } from "../spec/plan.ts";
import type { VmRecord } from "../spec/vm.ts";
import { addressOf, gatewayOf } from "./net-plan.ts";
import type { VmPaths } from "./paths.ts";

/** What a plan needs to know about the host, gathered before and never looked up later. */
export type StartFacts = {
  instance: string;
  subnet: string;
  /** The block of this host's loopback that stands for guests of a namespace; null for others. */
  loopback: string | null;
  /** Domain below which VMs are named: `vm`. */
  zone: string;
  uid: number;
  mtu: number;
  timezone: string | null;
  locale: string | null;
  proxy: Readonly<Record<string, string>>;
  caCertificates: readonly string[];
  accelerator: "kvm" | "tcg";
  shimPath: string;
  readyTimeoutMs: number;
  /** How long a guest is given to end by itself before each harder means. */
  stopTimeouts: { askMs: number; buttonMs: number; termMs: number; killMs: number };
};

/** The driver's part, rendered from the same record by `VmmDriver.launch` and `channelAddress`, which are pure too. */
export type StartRendering = { launch: LaunchPlan; channel: ChannelAddress };

/** The link that a VM's start gives it: tap and addresses follow from instance, subnet and slot. */
export const planLink = (options: { instance: string; subnet: string; slot: number }) => ({
  bridge: bridgeName(options.instance),
  tap: tapName(options.instance, options.slot),
  address: addressOf(options.subnet, options.slot),
  gateway: gatewayOf(options.subnet),
});

export const planStart = (options: {
  record: VmRecord;
  paths: VmPaths;
  facts: StartFacts;
  rendering: StartRendering;
}): StartPlan => {
  const { record, paths, facts, rendering } = options;
  const { spec } = record;
  const network = spec.networks[0];
  if (!network) throw fail("internal.bug", { detail: `${spec.name} has no network` });
  return {
    version: 1,
    vm: { id: record.id, name: spec.name },
    instance: facts.instance,
    vmm: spec.vmm,
    accelerator: facts.accelerator,
    network: {
      mode: network.mode,
      subnet: facts.subnet,
      ...planLink({ instance: facts.instance, subnet: facts.subnet, slot: network.slot }),
      ownerUid: facts.uid,
      mac: network.mac,
      loopback: facts.loopback === null ? null : addressOf(facts.loopback, network.slot),
    },
    paths: {
      runtimeDir: paths.runtimeDir,
      stateDir: paths.stateDir,
      disk: paths.disk,
      document: paths.document,
      shimPlan: paths.shimPlan,
      shimControl: paths.shimControl,
      shimLock: paths.shimLock,
      shimStatus: paths.shimStatus,
      console: paths.console,
      vmmLog: paths.vmmLog,
    },
    guest: {
      hostname: spec.hostname,
      fqdn: `${spec.hostname}.${facts.zone}`,
      hasWildcardName: spec.hasWildcardName,
      searchDomain: facts.zone,
      user: spec.user,
      timezone: facts.timezone,
      locale: facts.locale,
      proxy: { ...facts.proxy },
      caCertificates: [...facts.caCertificates],
      authorizedKeys: spec.authorizedKeys,
      machineId: spec.machineId,
      mtu: facts.mtu,
      hostKeyPath: paths.hostKey,
      userDataPath: spec.hasUserData ? paths.userData : null,
    },
    channel: rendering.channel,
    launch: rendering.launch,
    shimPath: facts.shimPath,
    timeouts: { readyMs: facts.readyTimeoutMs, ...facts.stopTimeouts },
  };
};
