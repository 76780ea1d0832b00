// Renders how QEMU's microvm machine is started for one VM: argv, sockets, kernel command line. Pure.
import { fail } from "../../spec/errors.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import { renderCmdline } from "../cmdline.ts";
import type { LaunchSpec } from "../driver.ts";

/** sun_path has 108 bytes, and the kernel wants the last one for a NUL (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

/**
 * What translated code may occupy, MiB. A whole boot to the login prompt took 20.1 s of processor time with 32, 14.5 s with 64 and
 * 12.6 s with 256 (QEMU 7.2, medians of 3); a VM occupies some 70 MiB more of the host with 128 than with 32.
 */
const TRANSLATION_CACHE_MIB = 128;
const TRANSLATION_CACHE_PER_VCPU_MIB = 32;

export const CHANNEL_PORT_NAME = "banger.channel.0";

export const qmpSocketPath = (runtimeDir: string): string => `${runtimeDir}/qmp.sock`;
export const channelSocketPath = (runtimeDir: string): string => `${runtimeDir}/channel.sock`;

/** The VM id as the node of a version 8 UUID (RFC 9562 §5.8), so that QMP's query-uuid tells it back. */
export const uuidOf = (vmId: string): string => `62616e67-6572-8000-8000-${vmId}`;

/** The VM id in a UUID that `uuidOf` made, null for any other. */
export const vmIdOf = (uuid: string): string | null =>
  /^62616e67-6572-8000-8000-([0-9a-f]{12})$/.exec(uuid.toLowerCase())?.[1] ?? null;

/** A value within a QEMU option list: a comma is written twice. */
const escaped = (value: string): string => value.replaceAll(",", ",,");
const optionList = (...items: readonly string[]): string => items.join(",");

export type MachineSpec = Pick<LaunchSpec, "accelerator" | "tscKhz" | "vcpus" | "memoryMiB" | "binary">;

const translationCacheMiB = (vcpus: number) => Math.max(TRANSLATION_CACHE_MIB, vcpus * TRANSLATION_CACHE_PER_VCPU_MIB);

/**
 * Under emulation nothing refines a guest's clock, so it is told the measured rate and needs no PIT. Without a rate it has to
 * calibrate by the PIT, which is off by up to 500 ppm and now and then hangs a booting guest (seen with QEMU 7.2): a last resort.
 */
const isClockGiven = (spec: MachineSpec) => spec.accelerator === "kvm" || spec.tscKhz !== null;

/** The first QEMU whose processors may run side by side while a guest's kernel patches its own code. */
const SAFE_THREADS = [8, 1] as const;

/**
 * Before QEMU 8.1 ("accel/tcg: Always lock pages before translation", deba78709a) one emulated processor may translate an instruction
 * while another one is half-way through patching it. Linux patches its static branches like that, and a boot with two processors ended in
 * a panic there (seen with 7.2; Launchpad bug 2051965). They take turns on one thread instead.
 */
const threadsOf = ({ vcpus, binary }: MachineSpec): "multi" | "single" => {
  const [major = 0, minor = 0] = binary.version.split(".").map(Number);
  const isSafe = major > SAFE_THREADS[0] || (major === SAFE_THREADS[0] && minor >= SAFE_THREADS[1]);
  return vcpus === 1 || isSafe ? "multi" : "single";
};

/** The bare machine: what KVM is proved with and what VMs run on are the same. */
export const machineArguments = (spec: MachineSpec): string[] => [
  "-machine",
  optionList(
    "microvm",
    "acpi=on",
    "rtc=on",
    "pcie=off",
    "usb=off",
    "graphics=off",
    ...(isClockGiven(spec) ? ["pit=off", "pic=off"] : ["pit=on", "pic=on"]),
    // qboot finds the kernel by itself; the other firmware needs the ROM that loads it.
    ...(spec.binary.firmwareDir ? ["x-option-roms=off"] : []),
    "dump-guest-core=off",
  ),
  ...(spec.accelerator === "kvm"
    ? ["-accel", "kvm", "-cpu", "host"]
    : [
        "-accel",
        optionList("tcg", `thread=${threadsOf(spec)}`, `tb-size=${translationCacheMiB(spec.vcpus)}`),
        "-cpu",
        "max",
      ]),
  "-smp",
  String(spec.vcpus),
  "-m",
  `${spec.memoryMiB}M`,
  ...(spec.binary.firmwareDir ? ["-bios", `${spec.binary.firmwareDir}/qboot.rom`] : []),
];

const identityArguments = (spec: LaunchSpec): string[] => [
  "-name",
  // The process name is cut to 15 bytes by the kernel (prctl(2), PR_SET_NAME).
  optionList(`guest=${escaped(spec.vm.name)}`, `process=vm-${escaped(spec.vm.name)}`),
  "-uuid",
  uuidOf(spec.vm.id),
];

const driverWords = (spec: LaunchSpec): string[] => [
  // microvm has no keyboard controller: `reboot=k` would try it for a second before it falls back to this.
  "reboot=t",
  ...(spec.accelerator === "tcg" && spec.tscKhz !== null ? [`tsc_early_khz=${spec.tscKhz}`, "tsc=reliable"] : []),
  ...(spec.accelerator === "tcg" ? (spec.kernel.cmdlineEmulated ?? []) : []),
];

const kernelArguments = (spec: LaunchSpec): string[] => [
  "-kernel",
  spec.kernel.kernel,
  ...(spec.kernel.initramfs ? ["-initrd", spec.kernel.initramfs] : []),
  "-append",
  renderCmdline(spec.kernel, driverWords(spec)),
];

const diskArguments = (spec: LaunchSpec): string[] => {
  const { modules } = spec.kernel;
  const disks = [...spec.disks, ...(modules ? [{ id: "modules", path: modules, readOnly: true }] : [])];
  return disks.flatMap(({ id, path, readOnly }) => [
    "-blockdev",
    optionList(
      "driver=raw",
      `node-name=disk-${id}`,
      `read-only=${readOnly ? "on" : "off"}`,
      "discard=unmap",
      // Write-back with the guest's flushes obeyed: what a guest has fsynced survives the host's power loss.
      "cache.direct=off",
      "cache.no-flush=off",
      "file.driver=file",
      `file.filename=${escaped(path)}`,
      // Two VMMs on one writable disk would destroy it.
      "file.locking=on",
    ),
    "-device",
    // Without a bus of its own each gets the highest free transport, and that is the order in which ACPI lists them to the guest:
    // vda, vdb, vdc as given here (seen with 6.12; buses 0, 1, 2 make the first one vdc).
    optionList("virtio-blk-device", `drive=disk-${id}`, `id=${id}`),
  ]);
};

const deviceArguments = (spec: LaunchSpec): string[] => [
  ...diskArguments(spec),
  ...(spec.network
    ? [
        "-netdev",
        optionList("tap", "id=net0", `ifname=${spec.network.tap}`, "script=no", "downscript=no", "vhost=off"),
        "-device",
        optionList("virtio-net-device", "netdev=net0", `mac=${spec.network.mac}`),
      ]
    : []),
  // A guest without a source of randomness waits for seconds before sshd has a key.
  "-object",
  "rng-random,id=entropy,filename=/dev/urandom",
  "-device",
  "virtio-rng-device,rng=entropy",
];

const chardev = (id: string, path: string): string[] => [
  "-chardev",
  optionList("socket", `id=${id}`, `path=${escaped(path)}`, "server=on", "wait=off"),
];

const talkArguments = (runtimeDir: string): string[] => [
  ...chardev("channel", channelSocketPath(runtimeDir)),
  "-device",
  "virtio-serial-device,max_ports=2",
  "-device",
  optionList("virtserialport", "chardev=channel", "nr=1", `name=${CHANNEL_PORT_NAME}`),
  // signal=off: Ctrl-C at the console is for the guest.
  "-chardev",
  "stdio,id=console,signal=off",
  "-serial",
  "chardev:console",
  ...chardev("qmp", qmpSocketPath(runtimeDir)),
  "-mon",
  "chardev=qmp,mode=control",
];

const argvOf = (spec: LaunchSpec): string[] => [
  spec.binary.path,
  ...machineArguments(spec),
  ...identityArguments(spec),
  "-nodefaults",
  "-no-user-config",
  "-display",
  "none",
  "-sandbox",
  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
  // The shim starts a guest that rebooted anew, so that firmware and kernel are read again.
  "-no-reboot",
  "-global",
  "virtio-mmio.force-legacy=off",
  ...kernelArguments(spec),
  ...deviceArguments(spec),
  ...talkArguments(spec.runtimeDir),
];

/** The whole launch. A first start waits for `boot`; after a guest's reboot nobody may be there to say it, so that start does not wait. */
export const launchQemu = (spec: LaunchSpec): LaunchPlan => {
  const sockets = [qmpSocketPath(spec.runtimeDir), channelSocketPath(spec.runtimeDir)];
  for (const path of sockets) {
    const bytes = Buffer.byteLength(path);
    if (bytes > SOCKET_PATH_BYTES_MAX) throw fail("instance.path_too_long", { path, bytes });
  }
  const restartArgv = argvOf(spec);
  return {
    argv: [...restartArgv, "-S"],
    restartArgv,
    files: [],
    controlSocket: qmpSocketPath(spec.runtimeDir),
    staleSockets: sockets,
    endOnHalt: true,
  };
};
