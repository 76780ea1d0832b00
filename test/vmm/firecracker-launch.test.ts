// What the Firecracker driver renders: argv, configuration, sockets, and that both ways to a machine give the same one.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasCode } from "../../src/spec/errors.ts";
import { HostOp } from "../../src/spec/host-op.ts";
import { LaunchPlan } from "../../src/spec/plan.ts";
import type { LaunchSpec } from "../../src/vmm/driver.ts";
import type { FullVmConfiguration } from "../../src/vmm/firecracker/api/schemas.ts";
import { parseConfiguration, renderBootCalls } from "../../src/vmm/firecracker/configuration.ts";
import { firecrackerDriver } from "../../src/vmm/firecracker/driver.ts";
import { checkFirecrackerKernel } from "../../src/vmm/firecracker/kernel.ts";
import { launchFirecracker } from "../../src/vmm/firecracker/launch.ts";
import { errorOf, openFirecrackerBench, specOf } from "./firecracker-bench.ts";

const ordinary: Partial<LaunchSpec> = {
  kernel: { kernel: "/k/vmlinux", initramfs: "/k/initramfs", modules: "/k/modules.squashfs", cmdline: [] },
  disks: [
    { id: "root", path: "/d/root.img", readOnly: false },
    { id: "document", path: "/d/document.tar", readOnly: true },
  ],
  network: { tap: "bgr-abcde-2", mac: "02:00:00:00:00:02" },
  vcpus: 2,
  memoryMiB: 512,
};
const launch = (changes: Partial<LaunchSpec> = {}) => launchFirecracker(specOf("/run/vm", { ...ordinary, ...changes }));
const configurationOf = (plan: LaunchPlan): FullVmConfiguration => {
  const configuration = parseConfiguration(plan.files[0]?.content ?? "");
  if (!configuration) throw new Error("the plan has no configuration");
  return configuration;
};
const bootArgumentsOf = (plan: LaunchPlan): string => configurationOf(plan)["boot-source"]?.boot_args ?? "";
const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
};

describe("a launch of Firecracker", () => {
  test("is exactly this for an ordinary VM", () => {
    expect(launch()).toMatchSnapshot();
  });

  test("is a plan that can be stored", () => {
    const plan = launch();
    expect(LaunchPlan.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
  });

  test("waits for its configuration the first time, and reads it from the plan's file after a guest's reboot", () => {
    const { argv, restartArgv, files } = launch();
    expect(argv).not.toContain("--config-file");
    expect(restartArgv).toEqual([...argv, "--config-file", files[0]?.path ?? ""]);
  });

  test("leaves seccomp alone for a static binary, and does without it for one that has no filters", () => {
    const argvOf = (isStatic: boolean | undefined) =>
      launch({
        binary: { path: "/f", version: "1.17.0", firmwareDir: null, ...(isStatic === undefined ? {} : { isStatic }) },
      }).argv;
    expect(argvOf(true)).not.toContain("--no-seccomp");
    expect(argvOf(undefined)).not.toContain("--no-seccomp");
    expect(argvOf(false)).toContain("--no-seccomp");
  });

  test("obeys every flush of the guest, on every disk", () => {
    const drives = configurationOf(launch()).drives ?? [];
    expect(drives.map(({ cache_type }) => cache_type)).toEqual(["Writeback", "Writeback", "Writeback"]);
    expect(
      drives.map(({ drive_id, is_root_device, is_read_only }) => [drive_id, is_root_device, is_read_only]),
    ).toEqual([
      ["root", true, false],
      ["document", false, true],
      ["modules", false, true],
    ]);
  });

  test("of a kernel of banger's own has neither an initramfs nor a disk of modules, and mounts its root itself", () => {
    const kernel = { kernel: "/k/vmlinux", initramfs: null, modules: null, cmdline: ["own=1"] };
    const plan = launch({ kernel });
    const { drives, ...configuration } = configurationOf(plan);
    expect(configuration["boot-source"]).toMatchObject({ kernel_image_path: "/k/vmlinux" });
    expect(configuration["boot-source"]).not.toHaveProperty("initrd_path");
    expect(drives?.map(({ drive_id }) => drive_id)).toEqual(["root", "document"]);
    expect(bootArgumentsOf(plan)).toMatch(/root=\/dev\/vda rootfstype=ext4 .*init=.* own=1$/);
  });

  test("keeps the keyboard controller that Ctrl-Alt-Del needs", () => {
    expect(bootArgumentsOf(launch())).toContain("i8042.dumbkbd");
    expect(bootArgumentsOf(launch())).not.toContain("i8042.nokbd");
    expect(bootArgumentsOf(launch())).toContain("reboot=k");
  });

  test("refuses a command line for which Firecracker would have no room left, and takes the longest that fits", () => {
    const base = Buffer.byteLength(bootArgumentsOf(launch()));
    // 2047 bytes, less what Firecracker appends for six devices, less the blank before the word.
    const added = " pci=off root=/dev/vda rw".length + 6 * " virtio_mmio.device=4K@0xc0001000:5".length;
    const room = 2047 - added - base - 1;
    const withWord = (bytes: number) => () =>
      launch({
        kernel: {
          kernel: "/k/vmlinux",
          initramfs: "/k/initramfs",
          modules: "/k/modules.squashfs",
          cmdline: ["x".repeat(bytes)],
        },
      });
    expect(thrownBy(withWord(room))).toBeNull();
    expect(hasCode(thrownBy(withWord(room + 1)), "vmm.kernel_unusable")).toBe(true);
  });

  test("refuses a runtime directory in which the guest's announcement would have too long a path", () => {
    const inDirectoryOf = (bytes: number) => () => launch({ runtimeDir: `/${"x".repeat(bytes - 1)}` });
    const longest = 107 - "/vsock_42071".length;
    expect(thrownBy(inDirectoryOf(longest))).toBeNull();
    const error = thrownBy(inDirectoryOf(longest + 1));
    expect(hasCode(error, "instance.path_too_long") && error.data.bytes).toBe(108);
  });

  test("has the shim remove the VMM's own sockets, and not the daemon's", () => {
    expect(launch().staleSockets).toEqual(["/run/vm/api.sock", "/run/vm/vsock"]);
  });

  test("leads the channel to the vsock of the machine it renders", () => {
    const address = firecrackerDriver.channelAddress({ runtimeDir: "/run/vm", cid: 1234 });
    const { vsock } = configurationOf(launch());
    expect(address).toEqual({
      kind: "vsock-uds",
      path: vsock?.uds_path ?? "",
      port: 42070,
      cid: vsock?.guest_cid ?? 0,
    });
  });
});

describe("the calls of a boot", () => {
  test("come in the order that Firecracker takes them in", () => {
    expect(renderBootCalls(configurationOf(launch())).map(({ operation }) => operation)).toEqual([
      "putMachineConfig",
      "putBootSource",
      "putDrive",
      "putDrive",
      "putDrive",
      "putNetworkInterface",
      "putVsock",
      "putEntropy",
      "putAction",
    ]);
  });
});

describe("a launch in a jail", () => {
  const way = { argv: ["/usr/bin/sudo", "-n", "--", "/lib/banger-jail", "abcde"], jailer: "/usr/local/bin/jailer" };
  const spec = specOf("/run/vm", { ...ordinary, jail: way });
  const plan = firecrackerDriver.launch(spec);

  test("names the VM to what root runs, and nothing that a user could change", () => {
    expect(plan.argv).toEqual([...way.argv, spec.vm.id]);
    expect(plan.restartArgv).toEqual([...plan.argv, "again"]);
  });

  test("is the same machine, with the paths that it has inside", () => {
    const [jailed, free] = [configurationOf(plan), configurationOf(launch())];
    expect(jailed.drives?.map((drive) => drive.path_on_host)).toEqual(["/f/root", "/f/document", "/f/modules"]);
    expect(jailed["boot-source"]).toMatchObject({ kernel_image_path: "/f/kernel", initrd_path: "/f/initramfs" });
    expect(jailed.vsock?.uds_path).toBe("/s/vsock");
    const withoutPaths = (text: string) => text.replaceAll(/"\/[^"]*"/g, '""');
    expect(withoutPaths(JSON.stringify(jailed))).toBe(withoutPaths(JSON.stringify(free)));
  });

  test("gives every file that the machine has inside, by the rights that it needs", () => {
    expect(plan.jail?.files).toEqual([
      { name: "kernel", path: "/k/vmlinux", access: "shared" },
      { name: "initramfs", path: "/k/initramfs", access: "shared" },
      { name: "modules", path: "/k/modules.squashfs", access: "shared" },
      { name: "root", path: "/d/root.img", access: "disk" },
      { name: "document", path: "/d/document.tar", access: "own" },
      { name: "config", path: "/run/vm/firecracker.json", access: "own" },
    ]);
  });

  test("meets the host in one directory, and is a plan that root's operation takes", () => {
    expect(plan.controlSocket).toBe("/run/vm/jail/api.sock");
    const channel = firecrackerDriver.channelAddress({ runtimeDir: "/run/vm", cid: 3, isJailed: true });
    expect(channel).toMatchObject({ path: "/run/vm/jail/vsock" });
    expect(LaunchPlan.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
    expect(HostOp.safeParse({ op: "jail.prepare", instance: "abcde", ...plan.jail }).success).toBe(true);
    const climbing = { ...plan.jail, sockets: "/run/vm/../../etc" };
    expect(HostOp.safeParse({ op: "jail.prepare", instance: "abcde", ...climbing }).success).toBe(false);
  });
});

describe("a machine", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "bgr-machine-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  test("is the same whether it is made call by call or from the file", async () => {
    const file = async (name: string) => {
      await writeFile(join(directory, name), name);
      return join(directory, name);
    };
    const changes: Partial<LaunchSpec> = {
      ...ordinary,
      kernel: {
        kernel: await file("vmlinux"),
        initramfs: await file("initramfs"),
        modules: await file("modules.squashfs"),
        cmdline: ["mitigations=off"],
      },
      disks: [
        { id: "root", path: await file("root.img"), readOnly: false },
        { id: "document", path: await file("document.tar"), readOnly: true },
      ],
    };
    const configurationBy = async (how: "first" | "again") => {
      const bench = openFirecrackerBench(directory);
      try {
        const started = await bench.start({ changes, how });
        if (how === "first") {
          const control = await started.attach();
          await control.boot(AbortSignal.timeout(5000));
          control.close();
        }
        const api = await started.api();
        const { state } = await api.call({ operation: "getInstance" });
        const configuration = await api.call({ operation: "getConfiguration" });
        api.close();
        return { state, configuration };
      } finally {
        await bench.close();
        for (const name of ["api.sock", "vsock"]) await rm(join(directory, name));
      }
    };
    const byCalls = await configurationBy("first");
    expect(byCalls.state).toBe("Running");
    expect(byCalls.configuration.drives).toHaveLength(3);
    expect(await configurationBy("again")).toEqual(byCalls);
  });

  test("is refused a compressed kernel by a Firecracker that is too old for it", async () => {
    const bzImage = Buffer.alloc(1024);
    bzImage.write("HdrS", 0x202);
    bzImage.writeUInt16LE(0x20f, 0x206);
    bzImage.writeUInt16LE(1, 0x236);
    const path = join(directory, "vmlinuz");
    await writeFile(path, bzImage);
    const kernel = { kernel: path, initramfs: null, modules: null, cmdline: [] };
    const check = (version: string) =>
      errorOf(checkFirecrackerKernel(kernel, { path: "/f", version, firmwareDir: null }));
    for (const version of ["1.17.0", "1.17.0-dev", "1.18.2", "2.0.0"]) expect(await check(version)).toBeNull();
    for (const version of ["1.16.3", "1.9.1", "0.25.0"]) {
      const error = await check(version);
      expect(hasCode(error, "vmm.kernel_unusable") && error.data.detail).toContain(`this is ${version}`);
    }
  });
});
