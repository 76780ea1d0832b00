// The contract between banger and a virtual machine monitor: what a driver states, renders and controls.
import type { ProcessPort } from "../host/host.ts";
import type { ChannelAddress, LaunchPlan } from "../spec/plan.ts";
import type { VmmName } from "../spec/vm.ts";

/** What differs between VMMs, as facts; each says what the caller does differently. */
export type VmmFacts = {
  /** Which device the guest helper talks through: decides the channel's address in the plan. */
  guestChannel: "vsock" | "virtio-serial";
  /** Whether VMs can be suspended: `vm suspend` exists for those only. */
  snapshots: boolean;
  /** Whether the VMM can run guests without KVM: decides if `auto` may choose it on a host where KVM boots nothing. */
  emulation: boolean;
  /** Whether it can be run in a jail, which `vmm.jail` asks for: the others run as ever. */
  jail: boolean;
  /** Whether a halted guest leaves the VMM running: the shim then ends it when the console says so. */
  runsOnAfterHalt: boolean;
};

/** A kernel object on this host: kernel, initramfs and modules belong together and are pinned as one. */
export type KernelFiles = {
  /** Uncompressed ELF or bzImage, whichever boots faster. */
  kernel: string;
  initramfs: string | null;
  /** Read-only squashfs of the modules, attached as the third disk. */
  modules: string | null;
  /** What this kernel wants on its command line besides the boot contract's. */
  cmdline: readonly string[];
  /** … and what makes it bearable where every instruction is emulated; harmful to nobody, but for real processors a loss. */
  cmdlineEmulated?: readonly string[];
};

/** Everything a driver may use to render a launch; nothing is looked up later. */
export type LaunchSpec = {
  /** The id is twelve hexadecimal digits; the VMM is given it as its identity. */
  vm: { id: string; name: string };
  binary: VmmBinary;
  accelerator: "kvm" | "tcg";
  /** Measured TSC rate of this host, for guests that cannot find it under emulation; null when unknown. */
  tscKhz: number | null;
  kernel: KernelFiles;
  /** In the order of the boot contract: root, document; the modules' disk follows. */
  disks: readonly { id: string; path: string; readOnly: boolean }[];
  /** null: a guest without a network device. */
  network: { tap: string; mac: string } | null;
  vcpus: number;
  memoryMiB: number;
  runtimeDir: string;
  /** Run in a jail: as another user, by a command that finds the rest in what root wrote down. */
  jail?: JailWay | undefined;
};

/** How a jail is entered on this host. */
export type JailWay = {
  /** Runs it; the VM's id and, after a reboot, a word for that are put behind. */
  argv: readonly string[];
  jailer: string;
};

/** The VMM found on this host. */
export type VmmBinary = {
  path: string;
  version: string;
  firmwareDir: string | null;
  /** Linked without a dynamic loader; left out where it makes no difference. */
  isStatic?: boolean;
};

/** How a VMM ended before anybody could talk to it. */
export type EarlyEnd = { exitCode: number | null; stderr: string };

/** A running VMM, reached by its own socket. */
export type VmmControl = {
  /** Starts the vCPUs of a VMM that was launched paused; a second boot is refused. Errors: vmm.api_failed; vmm.exited_early when it ends meanwhile. */
  boot(signal: AbortSignal): Promise<void>;
  /** Presses the power button (or Ctrl-Alt-Del): the guest may ignore it. */
  askToStop(): Promise<void>;
  /** The VM id that this VMM was started with, in its own words: part of the proof for adoption. */
  identify(): Promise<string>;
  /** Whether the guest's vCPUs have been started: recovery boots a VMM that a daemon launched and did not live to boot. */
  hasBooted(): Promise<boolean>;
  /** Settles, never rejects, when the VMM hung up or ended; also after `close`. */
  closed: Promise<void>;
  close(): void;
};

/** `againMs`: what it says of KVM is asked for again from then on, unix ms; left out where it lasts. */
export type VmmProbe =
  | { ok: true; binary: VmmBinary; accelerator: "kvm" | "tcg"; reason: string; againMs?: number }
  /** `path` is that of a program which is there and does not serve. */
  | { ok: false; reason: string; package: string | null; path?: string; againMs?: number };

export type ProbeOptions = {
  cacheDir: string;
  bootId: string;
  /** Runs the VMM and small helpers; only host/ spawns. */
  processes: Pick<ProcessPort, "runCommand">;
  /** A kernel that VMs here will use: KVM is proved by booting it. null: no image yet, so KVM stays unproved (and is not remembered as failed). */
  kernel: string | null;
  signal: AbortSignal;
  /** Called when a guest is about to be booted for the proof, which takes seconds and is remembered. */
  onProof?: () => void;
  /** Unix ms; the host's clock where it is left out. */
  now?: () => number;
  /** A program of the runtime bundle, verified, or the user's own; null when neither has it. */
  program?: (name: string) => Promise<{ path: string; isOwn: boolean } | { reason: string } | null>;
};

/** One VMM. `launch` is pure, so that most tests of a driver compare argv and files. */
export type VmmDriver = {
  name: VmmName;
  facts: VmmFacts;
  /** Finds the VMM and what accelerates it here; the answer for KVM is proved by booting a tiny guest once per boot id and remembered in `cacheDir`; one that may pass is proved again after a while. */
  probe(options: ProbeOptions): Promise<VmmProbe>;
  channelAddress(options: { runtimeDir: string; cid: number; isJailed?: boolean }): ChannelAddress;
  /** Errors: vmm.kernel_unusable for a command line that is too long, instance.path_too_long for a socket's path. */
  launch(spec: LaunchSpec): LaunchPlan;
  /** Refuses, before anything is spawned, a kernel that is none, or none that this VMM boots. Errors: vmm.kernel_unusable. */
  checkKernel(kernel: KernelFiles, binary: VmmBinary): Promise<void>;
  /**
   * Connects to the launched VMM, retrying until it answers or `timeoutMs` is over. `ended` is the word of whoever is its
   * parent: a VMM that dies before its socket, or while it is booted, fails at once with its stderr. Errors: vmm.exited_early, vmm.api_failed, operation.timeout.
   */
  attach(
    plan: LaunchPlan,
    options: { vm: string; timeoutMs: number; signal: AbortSignal; ended?: Promise<EarlyEnd> },
  ): Promise<VmmControl>;
};
