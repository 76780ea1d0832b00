// Plans a creation: the defaults of a new VM, and the directories and files that it will own.
import { fail } from "../spec/errors.ts";
import type { CreatePlan } from "../spec/plan.ts";
import type { GuestUser, NetworkMode, VmmName, VmSpec } from "../spec/vm.ts";
import { macFor } from "./net-plan.ts";
import type { VmPaths } from "./paths.ts";

/** What the user asked for; null means the default. */
export type CreateWish = {
  name: string;
  vcpus: number | null;
  memoryMiB: number | null;
  diskMiB: number | null;
  labels: Readonly<Record<string, string>>;
  authorizedKeys: readonly string[];
  hasUserData: boolean;
  hasWildcardName: boolean;
};

export type CreateFacts = {
  vmId: string;
  instance: string;
  machineId: string;
  slot: number;
  image: { id: string; name: string; rootPath: string; sizeMiB: number };
  kernelId: string;
  vmm: VmmName;
  networkMode: NetworkMode;
  host: { cpus: number; memoryMiB: number };
  user: GuestUser;
};

const GIB = 1024;

/** Up to four vCPUs: more than that helps few guests and takes from the host. */
export const defaultVcpus = (hostCpus: number): number => Math.max(1, Math.min(4, hostCpus));

/** 4 GiB, at most a quarter of the host's memory, in steps of 128 MiB, at least 256 MiB. */
export const defaultMemoryMiB = (hostMemoryMiB: number): number =>
  Math.max(256, Math.min(4 * GIB, Math.floor(hostMemoryMiB / 4 / 128) * 128));

export const DEFAULT_DISK_MIB = 40 * GIB;

export const ROOT: GuestUser = { name: "root", uid: 0, gid: 0, home: "/root", shell: "/bin/bash" };
/** What Debian gives the first user that it makes. */
const FIRST_ID = 1000;

/**
 * The guest's user: `wanted` by name, else the host's own name; with the host's uid, so that files agree. Root for root alone, and
 * where nothing is wanted for names that no Debian accepts: a user of another name never has uid 0, which sshd and sudo would take for root.
 */
export const planUser = (
  host: { userName: string; uid: number; gid: number },
  wanted: string | null = null,
): GuestUser => {
  const isAccepted = /^[a-z_][a-z0-9_-]{0,31}$/.test(host.userName);
  const name = wanted ?? (host.uid === 0 || !isAccepted ? ROOT.name : host.userName);
  if (name === ROOT.name) return ROOT;
  const [uid, gid] = host.uid === 0 ? [FIRST_ID, FIRST_ID] : [host.uid, host.gid];
  return { name, uid, gid, home: `/home/${name}`, shell: ROOT.shell };
};

export const planSpec = (wish: CreateWish, facts: CreateFacts): VmSpec => {
  const memoryMiB = wish.memoryMiB ?? defaultMemoryMiB(facts.host.memoryMiB);
  if (memoryMiB > facts.host.memoryMiB)
    throw fail("host.memory_short", { neededMiB: memoryMiB, hostMiB: facts.host.memoryMiB });
  const diskMiB = wish.diskMiB ?? Math.max(DEFAULT_DISK_MIB, facts.image.sizeMiB);
  if (diskMiB < facts.image.sizeMiB)
    throw fail("vm.disk_shrink", { vm: wish.name, currentMiB: facts.image.sizeMiB, wantedMiB: diskMiB });
  return {
    version: 1,
    name: wish.name,
    imageId: facts.image.id,
    imageName: facts.image.name,
    kernelId: facts.kernelId,
    vmm: facts.vmm,
    vcpus: wish.vcpus ?? defaultVcpus(facts.host.cpus),
    memoryMiB,
    disks: [{ id: "root", role: "root", sizeMiB: diskMiB }],
    mounts: [],
    networks: [{ mode: facts.networkMode, slot: facts.slot, mac: macFor(facts.instance, facts.vmId) }],
    user: facts.user,
    hostname: wish.name,
    authorizedKeys: [...wish.authorizedKeys],
    machineId: facts.machineId,
    labels: { ...wish.labels },
    hasUserData: wish.hasUserData,
    hasWildcardName: wish.hasWildcardName,
    forwards: [],
  };
};

export const planCreate = (options: { vmId: string; spec: VmSpec; paths: VmPaths; imagePath: string }): CreatePlan => ({
  version: 1,
  vm: { id: options.vmId, name: options.spec.name },
  dataDir: options.paths.dataDir,
  stateDir: options.paths.stateDir,
  disk: {
    path: options.paths.disk,
    imagePath: options.imagePath,
    sizeMiB: options.spec.disks[0]?.sizeMiB ?? DEFAULT_DISK_MIB,
  },
  hostKeyPath: options.paths.hostKey,
  knownHostsPath: options.paths.knownHosts,
});
