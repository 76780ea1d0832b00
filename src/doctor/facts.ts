// What the checks decide on, and the ports by which it is looked up: each fact is gathered alone, only when a check needs it.

import type { ClockFinding } from "../core/clock-readings.ts";
import type { HostRoute } from "../core/net-routes.ts";
import type { InstancePaths } from "../core/paths.ts";
import type { Host, HostFacts } from "../host/host.ts";
import type { NativePaths } from "../host/native.ts";
import type { RootLaunch } from "../host/root-launch.ts";
import type { Config } from "../spec/config.ts";
import type { BangerError } from "../spec/errors.ts";
import type { NetworkMode, VmmName } from "../spec/vm.ts";
import type { VmmBinary, VmmProbe } from "../vmm/driver.ts";
import type { DriverChoice, Probes } from "../vmm/index.ts";

/**
 * Whose program it is: the one that the bundle's manifest pins, one of the user's own that was recorded, one that was recorded and
 * is another by now, or neither.
 */
export type ProgramOrigin = "pinned" | "own" | "changed" | "unknown";

/** A device file, as this user finds it. */
export type DeviceState = "usable" | "absent" | "forbidden";

export type ImageState = {
  name: string;
  helperVersion: string | null;
  /** Why VMs cannot be made from it; null when they can. */
  failure: BangerError | null;
};

export type ForwardDrop = {
  /** Whose rules they are, as far as they can be told by their names. */
  owner: "docker" | "firewalld" | "ufw" | "other";
  family: string;
  table: string;
  chain: string;
};

export type PortState = {
  /** Where the server is told to listen; port 0 is any. */
  host: string;
  port: number;
  /** Error codes; null when it listens there, or could. */
  udpError: string | null;
  tcpError: string | null;
  /** Where it answers in fact; null when it does not. */
  actualPort: number | null;
  /** A port that is free for both just now. */
  freePort: number | null;
};

/** What would run a VMM in a jail here, or what is in the way. */
export type JailAnswer = { jailer: string } | { refusal: string; fix: string | undefined };

export type DoctorFacts = {
  user: { uid: number; name: string };
  mode: NetworkMode;
  daemon: { version: string; pid: number } | { failure: BangerError } | null;
  kvm: { device: DeviceState; flag: "vmx" | "svm" | null; isGuest: boolean };
  tun: DeviceState;
  vhostVsock: DeviceState;
  firecracker: { probe: VmmProbe; path: string | null; sha256: string | null; origin: ProgramOrigin };
  /** How VMMs would be jailed here; null where vmm.jail does not ask for it. */
  jail: JailAnswer | null;
  qemu: VmmProbe;
  choice: DriverChoice;
  /** Name of a program → its path, null when it is not installed. */
  tools: Readonly<Record<string, string | null>>;
  root: {
    launch: RootLaunch;
    /** What sudo says to starting the helper without a password; null when it was not asked. */
    refusal: string | null;
  };
  /** The installed helper, and whether it is this program's; null where none is used. */
  helper: { path: string; isCurrent: boolean } | null;
  linger: { runtimeDir: string; vanishes: boolean; isLingering: boolean; killsUserProcesses: boolean };
  userNamespace: { works: boolean; detail: string; repair: readonly string[] };
  subordinateIds: { uids: boolean; gids: boolean };
  subnet: {
    bridge: string;
    current: string | null;
    configured: string | null;
    chosen: string | null;
    clash: boolean;
    overlaps: readonly HostRoute[];
    hasDefaultRoute: boolean;
  };
  forward:
    | { kind: "read"; bridge: string; drops: readonly ForwardDrop[] }
    | { kind: "hidden"; bridge: string; suspects: readonly ForwardDrop["owner"][] };
  dns: PortState | null;
  resolver: {
    zone: string;
    answer: "ours" | "theirs" | "none" | "silent";
    /** What `banger dns setup` left: nothing, all of it, or what a cut left. */
    setup: "none" | "done" | "cut-short";
  };
  disk: { path: string; freeMiB: number };
  clone: { path: string; method: "reflink" | "sparse" | null };
  clock: { synchronised: boolean | null };
  /** Of running VMs, as far as their clocks were measured. */
  guestClocks: readonly ClockFinding[];
  directories: { failures: readonly BangerError[]; count: number; runtimeDir: string };
  database: { path: string; exists: boolean; failure: BangerError | null };
  images: readonly ImageState[];
  /** banger's own, or why there is none. */
  guestKernel: { release: string } | { absence: string; error: BangerError };
  native: { directory: string; missing: readonly string[] };
  vmmProcesses: readonly { name: string; pid: number; uid: number }[];
};

export type FactName = keyof DoctorFacts;

/** What the daemon, or the command line in its place, hands in. */
export type DoctorPorts = {
  paths: InstancePaths;
  config: Config;
  /** What `network.mode = "auto"` means here. */
  autoMode: () => Promise<NetworkMode>;
  native: NativePaths;
  host: {
    facts: () => Promise<HostFacts>;
    files: Pick<Host["files"], "freeMiB" | "cloneDisk" | "makeDir" | "removeFile" | "read">;
    processes: Pick<Host["processes"], "runCommand">;
  };
  rootLaunch: () => RootLaunch;
  /** What was found good once and need not be asked again; empty when everything is to be asked. */
  proved: Set<"sudo">;
  /** SHA-256 of a file; null when there is none. */
  hashFile: (path: string) => Promise<string | null>;
  originOf: (program: { name: VmmName; path: string; sha256: string }) => Promise<ProgramOrigin>;
  /** What is to be the installed helper. */
  executable: string;
  /** Asked more than once: whoever hands it in remembers. */
  probe: (name: VmmName) => Promise<VmmProbe>;
  choose: (wanted: VmmName | "auto", probes: Probes) => DriverChoice;
  images: () => Promise<readonly ImageState[]>;
  guestKernel: () => Promise<DoctorFacts["guestKernel"]>;
  /** Throws what keeps the records from being opened. */
  openDatabase: () => void;
  subnet: { current: string | null; hasRunning: boolean };
  guestClocks: () => readonly ClockFinding[];
  vmmPids: () => readonly { name: string; pid: number }[];
  daemon: DoctorFacts["daemon"];
  /** How the daemon's name server stands; null where no daemon runs. */
  dns: Omit<PortState, "freePort"> | null;
  findJail: (binary: VmmBinary, mode: NetworkMode) => JailAnswer;
};
