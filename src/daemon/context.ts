// Everything the daemon's operations may use, gathered once by daemon/main.ts (and by the tests, over the modelled host).
import type { InstancePaths } from "../core/paths.ts";
import type { CheckRow, Purpose } from "../doctor/run-checks.ts";
import type { KeyedLock } from "../engine/lock.ts";
import type { MonotonicClock } from "../engine/step.ts";
import type { GuestChannel } from "../guest/channel.ts";
import type { PortFollower } from "../guest/follow-ports.ts";
import type { Holder } from "../host/holder.ts";
import type { Host } from "../host/host.ts";
import type { NativePaths } from "../host/native.ts";
import type { ShimControl, ShimIdentity, ShimLaunch, ShimStatus } from "../host/shim.ts";
import type { ImageService } from "../image/image-service.ts";
import type { Networks } from "../net/networks.ts";
import type { Config } from "../spec/config.ts";
import type { ChannelAddress } from "../spec/plan.ts";
import type { HostSocket, PortOwner } from "../spec/ports.ts";
import type { EndCause, NetworkMode, VmmName } from "../spec/vm.ts";
import type { Store } from "../store/store.ts";
import type { JailWay, VmmBinary, VmmDriver } from "../vmm/driver.ts";
import type { EventBus } from "./bus.ts";
import type { ClockKeeper } from "./clocks.ts";
import type { LoopbackKeeper } from "./loopback.ts";
import type { NameService } from "./names.ts";
import type { PortKeeper } from "./publish.ts";
import type { SubnetKeeper } from "./subnet.ts";

export type ShimPort = {
  launch(launch: ShimLaunch): Promise<ShimIdentity>;
  connect(options: { path: string; vm: string }): ShimControl;
  readStatus(path: string): Promise<ShimStatus | null>;
};

/** What the daemon holds of a VM whose VMM runs; it is opened anew when a VM is adopted. */
export type LiveVm = {
  shim: ShimControl;
  channel: GuestChannel;
  /** What listens in the guest. */
  ports: PortFollower;
  /** Resolves when nobody watches any more: the VMM ended, or the daemon let go of it. */
  watching: Promise<void>;
  /** The helper has spoken since the daemon holds on to this VM. */
  hasSpoken: () => boolean;
  /** The guest has said that it goes down, or the daemon ends it. */
  isEnding: () => boolean;
  /** The end that comes now is the daemon's own doing. */
  expectEnd: () => void;
  letGo: () => void;
};

/** What the rest of the daemon asks of the namespaces. */
export type NamespacePort = Pick<
  Holder,
  "find" | "enterArgv" | "connectArgv" | "carryArgv" | "connect" | "reach" | "state"
>;

/** How new VMs are connected where nobody says otherwise, and why. */
export type NetworkChoice = { mode: NetworkMode; reason: string };

/** The VMM that will run a VM, and why it was chosen. */
export type ChosenVmm = {
  driver: VmmDriver;
  binary: VmmBinary;
  accelerator: "kvm" | "tcg";
  /** Measured TSC rate of this host; null where no kernel needs it. */
  tscKhz: number | null;
  reason: string;
};

/** What this host is like, for people and before operations. */
export type Doctor = {
  check(): Promise<CheckRow[]>;
  /** `facts`, where the caller needs them too. Errors: those of the checks that the operation depends on. */
  preflight(purposes: readonly Purpose[], options?: { mode: NetworkMode; facts?: Host["facts"] }): Promise<void>;
};

export type Log = {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
};

export type Context = {
  paths: InstancePaths;
  version: string;
  build: string;
  executable: string;
  startedAt: Date;
  store: Store;
  host: Host;
  shims: ShimPort;
  openChannel: (address: ChannelAddress, options: { vm: string }) => GuestChannel;
  network: Networks;
  namespace: NamespacePort;
  subnet: SubnetKeeper;
  loopback: LoopbackKeeper;
  ports: PortKeeper;
  names: NameService;
  clocks: ClockKeeper;
  /** Decides `network.mode = "auto"`. */
  chooseNetwork: () => Promise<NetworkChoice>;
  images: ImageService;
  drivers: Readonly<Record<VmmName, VmmDriver>>;
  /** Finds out about the VMMs, and calls `onProof` when that means booting a guest. Never fails. */
  settleVmms: (onProof: () => void) => Promise<void>;
  /** Finds the VMM for a wish; null means `auto`. Errors: vmm.unavailable. */
  chooseVmm: (wish: VmmName | null) => Promise<ChosenVmm>;
  /** How a VMM is run in a jail here. Errors: vmm.jail_unusable. */
  findJail: (binary: VmmBinary, mode: NetworkMode) => Promise<JailWay>;
  /** Why a VMM is the one that runs here, as far as that was asked since the daemon started. */
  doctor: Doctor;
  vmmReason: (name: VmmName) => string;
  native: NativePaths;
  config: () => Config;
  bus: EventBus;
  log: Log;
  locks: KeyedLock;
  live: Map<string, LiveVm>;
  /** What happens when a VMM ends without the daemon's asking. */
  onGuestEnd: (vmId: string, cause: EndCause) => void;
  clock: MonotonicClock;
  now: () => Date;
  /** Cryptographically random bytes as hexadecimal digits. */
  randomHex: (digits: number) => string;
  /** What listens on this host, on all ports or on these, as far as this user may see. */
  hostListeners: (ports?: ReadonlySet<number>) => Promise<PortOwner[]>;
  /** The same without who it is, which costs far less. */
  hostSockets: () => Promise<HostSocket[]>;
  /** Whether a TCP port answers, before the deadline. */
  reach: (options: { address: string; port: number; timeoutMs: number; signal: AbortSignal }) => Promise<boolean>;
};
