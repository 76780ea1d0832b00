// The contract between banger and a virtual machine monitor: what a driver states, renders and controls.
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
};

/** Everything a driver may use to render a launch; nothing is looked up later. */
export type LaunchSpec = {
  vm: { id: string; name: string };
  binary: VmmBinary;
  accelerator: "kvm" | "tcg";
  /** Measured TSC rate of this host, for kernels that cannot find it under emulation; null when unknown. */
  tscKhz: number | null;
  kernel: KernelFiles;
  /** In the order of the boot contract: root, document; the modules' disk follows. */
  disks: readonly { id: string; path: string; readOnly: boolean }[];
  network: { tap: string; mac: string };
  vcpus: number;
  memoryMiB: number;
  runtimeDir: string;
};

/** The VMM found on this host. */
export type VmmBinary = { path: string; version: string; firmwareDir: string | null };

/** A running VMM, reached by its own socket. */
export type VmmControl = {
  /** Starts the vCPUs of a VMM that was launched paused; a second boot is refused. Errors: vmm.api_failed. */
  boot(signal: AbortSignal): Promise<void>;
  /** Presses the power button (or Ctrl-Alt-Del): the guest may ignore it. */
  askToStop(): Promise<void>;
  /** The VM id that this VMM was started with, in its own words: part of the proof for adoption. */
  identify(): Promise<string>;
  close(): void;
};

export type VmmProbe =
  | { ok: true; binary: VmmBinary; accelerator: "kvm" | "tcg"; reason: string }
  | { ok: false; reason: string; package: string | null };

/** One VMM. `launch` is pure, so that most tests of a driver compare argv and files. */
export type VmmDriver = {
  name: VmmName;
  facts: VmmFacts;
  /** Finds the VMM and what accelerates it here; the answer for KVM is proved by booting a tiny guest once per boot id and remembered in `cacheDir`. */
  probe(options: { cacheDir: string; bootId: string; signal: AbortSignal }): Promise<VmmProbe>;
  channelAddress(options: { runtimeDir: string; cid: number }): ChannelAddress;
  launch(spec: LaunchSpec): LaunchPlan;
  /** Connects to the launched VMM, retrying until it answers or `timeoutMs` is over. */
  attach(plan: LaunchPlan, options: { vm: string; timeoutMs: number; signal: AbortSignal }): Promise<VmmControl>;
};
