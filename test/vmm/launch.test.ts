// What the QEMU driver renders: argv, sockets and command line.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hasCode } from "../../src/spec/errors.ts";
import { LaunchPlan } from "../../src/spec/plan.ts";
import { CMDLINE_BYTES_MAX } from "../../src/vmm/cmdline.ts";
import type { LaunchSpec } from "../../src/vmm/driver.ts";
import { launchQemu, uuidOf, vmIdOf } from "../../src/vmm/qemu/launch.ts";

const spec = (changes: Partial<LaunchSpec> = {}): LaunchSpec => ({
  vm: { id: "0123456789ab", name: "hello" },
  binary: { path: "/usr/bin/qemu-system-x86_64", version: "7.2.22", firmwareDir: "/usr/share/qemu" },
  accelerator: "tcg",
  tscKhz: 2_596_120,
  kernel: { kernel: "/k/vmlinux", initramfs: "/k/initramfs", modules: "/k/modules.squashfs", cmdline: [] },
  disks: [
    { id: "root", path: "/d/root.img", readOnly: false },
    { id: "document", path: "/d/document.tar", readOnly: true },
  ],
  network: { tap: "bgr-abcde-2", mac: "02:00:00:00:00:02" },
  vcpus: 2,
  memoryMiB: 512,
  runtimeDir: "/run/vm",
  ...changes,
});

const argvOf = (changes: Partial<LaunchSpec> = {}) => launchQemu(spec(changes)).argv;
const after = (argv: readonly string[], option: string): string => argv[argv.indexOf(option) + 1] ?? "";
const allAfter = (argv: readonly string[], option: string): string[] =>
  argv.flatMap((argument, index) => (argument === option ? [argv[index + 1] ?? ""] : []));

const errorOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
};

describe("a launch of QEMU", () => {
  test("emulated processors run side by side only where QEMU keeps them from each other's half-patched code", () => {
    const threads = (version: string, vcpus: number) =>
      /thread=(\w+)/.exec(after(argvOf({ vcpus, binary: { ...spec().binary, version } }), "-accel"))?.[1];
    expect(["7.2.22", "8.0.4", "8.1.0", "10.0.2"].map((version) => threads(version, 2))).toEqual([
      "single",
      "single",
      "multi",
      "multi",
    ]);
    expect(threads("7.2.22", 1)).toBe("multi");
  });

  test("is exactly this for an ordinary VM under emulation", () => {
    expect(launchQemu(spec())).toMatchSnapshot();
  });

  test("is exactly this for an ordinary VM under KVM", () => {
    expect(launchQemu(spec({ accelerator: "kvm", tscKhz: null })).argv).toMatchSnapshot();
  });

  test("is a plan that can be stored", () => {
    const plan = launchQemu(spec());
    expect(LaunchPlan.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
  });

  test("waits for boot the first time and not after a guest's reboot", () => {
    const { argv, restartArgv } = launchQemu(spec());
    expect(argv).toEqual([...(restartArgv ?? []), "-S"]);
    expect(restartArgv).not.toContain("-S");
  });

  test("names root, document and modules in the order of vda, vdb and vdc, and pins none to a transport", () => {
    const disks = allAfter(argvOf(), "-device").filter((device) => device.startsWith("virtio-blk-device,"));
    expect(disks.map((disk) => /,id=(\w+)$/.exec(disk)?.[1])).toEqual(["root", "document", "modules"]);
  });

  test("writes only where it may", () => {
    const modes = allAfter(argvOf(), "-blockdev").map((text) => /read-only=(\w+)/.exec(text)?.[1]);
    expect(modes).toEqual(["off", "on", "on"]);
  });

  test("tells an emulated guest the measured clock and takes the PIT away; without a measurement the PIT stays", () => {
    const given = argvOf();
    expect(after(given, "-append")).toEndWith("reboot=t tsc_early_khz=2596120 tsc=reliable");
    expect(after(given, "-machine")).toContain("pit=off,pic=off");
    const unknown = argvOf({ tscKhz: null });
    expect(after(unknown, "-append")).not.toContain("tsc");
    expect(after(unknown, "-machine")).toContain("pit=on,pic=on");
  });

  test("leaves the clock of a KVM guest to KVM", () => {
    expect(after(argvOf({ accelerator: "kvm" }), "-append")).not.toContain("tsc");
  });

  test("lets the kernel object's own words win by being last", () => {
    const kernel = { ...spec().kernel, cmdline: ["quiet", "mitigations=off"] };
    expect(after(argvOf({ kernel }), "-append")).toEndWith(" quiet mitigations=off");
  });

  test("refuses a command line that the kernel would cut, and takes the longest that it would not", () => {
    const room = CMDLINE_BYTES_MAX - 1 - Buffer.byteLength(after(argvOf(), "-append")) - 1;
    const withWord = (bytes: number) => () => argvOf({ kernel: { ...spec().kernel, cmdline: ["x".repeat(bytes)] } });
    expect(Buffer.byteLength(after(withWord(room)(), "-append"))).toBe(CMDLINE_BYTES_MAX - 1);
    expect(hasCode(errorOf(withWord(room + 1)), "vmm.kernel_unusable")).toBe(true);
  });

  test("refuses a runtime directory whose sockets would have too long a path", () => {
    const inDirectoryOf = (bytes: number) => () => argvOf({ runtimeDir: `/${"x".repeat(bytes - 1)}` });
    const longest = 107 - "/channel.sock".length;
    expect(errorOf(inDirectoryOf(longest))).toBeNull();
    const error = errorOf(inDirectoryOf(longest + 1));
    expect(hasCode(error, "instance.path_too_long") && error.data.bytes).toBe(108);
  });

  test("keeps commas in paths inside their option", () => {
    const path = "/d/a,readonly=on,,b.img";
    const blockdev = after(argvOf({ disks: [{ id: "root", path, readOnly: false }] }), "-blockdev");
    expect(blockdev).toContain(",file.filename=/d/a,,readonly=on,,,,b.img,file.locking=on");
  });

  test("gives no path a way to become an option of its own", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z,= -]{1,40}$/), (name) => {
        const path = `/d/${name}`;
        const blockdev = after(argvOf({ disks: [{ id: "root", path, readOnly: false }] }), "-blockdev");
        // As QEMU reads it: a single comma ends an item, a double one is a comma.
        const items = blockdev.replaceAll(",,", "\0").split(",");
        expect(items.filter((item) => item.startsWith("file.filename="))).toEqual([
          `file.filename=${path.replaceAll(",", "\0")}`,
        ]);
        expect(items).toHaveLength(9);
      }),
    );
  });

  test("has no network device where there is no network", () => {
    expect(argvOf({ network: null }).join(" ")).not.toContain("net0");
  });
});

describe("a VM's identity", () => {
  test("comes back out of the UUID that it went into", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{12}$/), (id) => {
        expect(vmIdOf(uuidOf(id))).toBe(id);
        expect(vmIdOf(uuidOf(id).toUpperCase())).toBe(id);
      }),
    );
  });

  test("is in no UUID but ours", () => {
    expect(vmIdOf("00000000-0000-0000-0000-000000000000")).toBeNull();
    expect(vmIdOf("")).toBeNull();
  });
});
