// Renders one VM as Firecracker's configuration: the same object is sent piece by piece before a first boot and is the file of every restart.
import { fail } from "../../spec/errors.ts";
import { CMDLINE_BYTES_MAX, renderCmdline } from "../cmdline.ts";
import type { LaunchSpec } from "../driver.ts";
import type { Call } from "./api/client.ts";
import type { OperationName } from "./api/operations.ts";
import { FullVmConfiguration } from "./api/schemas.ts";

/** A guest sees its own and the host's (2). Firecracker leads each guest's vsock to a socket of its own, so that none needs a number to itself, and a VM restored elsewhere keeps it. */
export const GUEST_CID = 3;

export const NETWORK_ID = "net0";

export const configurationPath = (runtimeDir: string): string => `${runtimeDir}/firecracker.json`;
export const isConfiguration = (path: string): boolean => path.endsWith("/firecracker.json");

/**
 * Quicker probing of the keyboard controller, which stays (`i8042.nokbd` would take Ctrl-Alt-Del away), and the processor's
 * random numbers for a kernel that waits for some before virtio-rng is there.
 */
const driverWords = ["i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "random.trust_cpu=on"] as const;

/** What Firecracker appends itself: `pci=off`, the root device, and an address for each virtio device. */
const appendedBytes = (devices: number): number =>
  " pci=off root=/dev/vda rw".length + devices * " virtio_mmio.device=4K@0xc0001000:5".length;

const renderBootArguments = (spec: LaunchSpec, devices: number): string => {
  const line = renderCmdline(spec.kernel, driverWords);
  const room = CMDLINE_BYTES_MAX - 1 - appendedBytes(devices);
  const bytes = Buffer.byteLength(line);
  if (bytes <= room) return line;
  const detail = `its command line would be ${bytes} bytes long, and ${room} is the most besides what the VMM adds`;
  throw fail("vmm.kernel_unusable", { path: spec.kernel.kernel, detail });
};

/** Errors: vmm.kernel_unusable for a command line that is too long. */
export const renderConfiguration = (spec: LaunchSpec, udsPath: string): FullVmConfiguration => {
  const { kernel, network } = spec;
  const disks = [...spec.disks, ...(kernel.modules ? [{ id: "modules", path: kernel.modules, readOnly: true }] : [])];
  const devices = disks.length + (network ? 1 : 0) + 2;
  return {
    "machine-config": { vcpu_count: spec.vcpus, mem_size_mib: spec.memoryMiB, smt: false, track_dirty_pages: false },
    "boot-source": {
      kernel_image_path: kernel.kernel,
      ...(kernel.initramfs ? { initrd_path: kernel.initramfs } : {}),
      boot_args: renderBootArguments(spec, devices),
    },
    drives: disks.map(({ id, path, readOnly }, index) => ({
      drive_id: id,
      path_on_host: path,
      is_read_only: readOnly,
      // The root device is vda wherever it stands; the others follow in this order.
      is_root_device: index === 0,
      // The default forgets the guest's flushes: what it has fsynced would not survive the host's power loss.
      cache_type: "Writeback",
      io_engine: "Sync",
    })),
    "network-interfaces": network ? [{ iface_id: NETWORK_ID, host_dev_name: network.tap, guest_mac: network.mac }] : [],
    vsock: { guest_cid: GUEST_CID, uds_path: udsPath },
    entropy: {},
  };
};

/** The file's text as the object again; null when it is none that was rendered here. */
export const parseConfiguration = (text: string): FullVmConfiguration | null => {
  try {
    return FullVmConfiguration.parse(JSON.parse(text));
  } catch {
    return null;
  }
};

export type AnyCall = { [Name in OperationName]: Call<Name> }[OperationName];

/** The calls that make this machine and start it, in the order in which Firecracker takes them. Pure. */
export const renderBootCalls = (configuration: FullVmConfiguration): AnyCall[] => {
  const { vsock, entropy } = configuration;
  const machine = configuration["machine-config"];
  const source = configuration["boot-source"];
  return [
    ...(machine ? [{ operation: "putMachineConfig", body: machine } as const] : []),
    ...(source ? [{ operation: "putBootSource", body: source } as const] : []),
    ...(configuration.drives ?? []).map((body) => ({ operation: "putDrive", body }) as const),
    ...(configuration["network-interfaces"] ?? []).map((body) => ({ operation: "putNetworkInterface", body }) as const),
    ...(vsock ? [{ operation: "putVsock", body: vsock } as const] : []),
    ...(entropy ? [{ operation: "putEntropy", body: entropy } as const] : []),
    { operation: "putAction", body: { action_type: "InstanceStart" } },
  ];
};
