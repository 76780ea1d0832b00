// How the daemon asks VMM drivers what works here: which it asks, what it remembers, and what it says when nothing does.
import { describe, expect, test } from "bun:test";
import { createVmmFinder } from "../../src/daemon/vmms.ts";
import type { Host } from "../../src/host/host.ts";
import { hasCode } from "../../src/spec/errors.ts";
import type { VmmDriver, VmmProbe } from "../../src/vmm/driver.ts";
import { drivers } from "../../src/vmm/index.ts";
import { errorOf } from "./firecracker-bench.ts";

const binary = { path: "/x", version: "1", firmwareDir: null };
const works = (accelerator: "kvm" | "tcg"): VmmProbe => ({
  ok: true,
  binary,
  accelerator,
  reason: `${accelerator} works`,
});
const fails: VmmProbe = { ok: false, reason: "it is not here", package: null };

const finderOf = (
  probes: { firecracker: VmmProbe; qemu: VmmProbe },
  { kernel = "/k" as string | null, now = (): number => 0 } = {},
) => {
  const asked: string[] = [];
  const driver = (name: "firecracker" | "qemu"): VmmDriver => ({
    ...drivers[name],
    probe: async () => {
      asked.push(name);
      return probes[name];
    },
  });
  const finder = createVmmFinder({
    drivers: { firecracker: driver("firecracker"), qemu: driver("qemu") },
    host: {
      bootId: async () => "b",
      files: { makeDir: async () => {} },
      processes: {},
    } as unknown as Host,
    cacheDir: "/c",
    kernel: () => kernel,
    now,
    tscKhz: async (accelerator) => (accelerator === "kvm" ? null : 2_000_000),
  });
  return { finder, asked };
};

describe("the daemon's choice of a VMM", () => {
  test("is Firecracker by itself where KVM serves it, and says why", async () => {
    const { finder } = finderOf({ firecracker: works("kvm"), qemu: works("kvm") });
    const chosen = await finder.choose(null);
    expect([chosen.driver.name, chosen.accelerator, chosen.tscKhz]).toEqual(["firecracker", "kvm", null]);
    expect(finder.reason("firecracker")).toBe("kvm works");
  });

  test("is QEMU where Firecracker is not there, which is asked again each time because it may come", async () => {
    const { finder, asked } = finderOf({ firecracker: fails, qemu: works("tcg") });
    for (let round = 0; round < 2; round += 1) {
      const chosen = await finder.choose(null);
      expect([chosen.driver.name, chosen.tscKhz]).toEqual(["qemu", 2_000_000]);
    }
    expect(asked).toEqual(["firecracker", "qemu", "firecracker"]);
  });

  test("is made of what was found, and that is asked anew when its time is over, while nobody waits", async () => {
    let nowMs = 1000;
    const probes = { firecracker: fails, qemu: { ...works("tcg"), againMs: 5000 } as VmmProbe };
    const { finder, asked } = finderOf(probes, { now: () => nowMs });
    const accelerator = async () => (await finder.choose("qemu")).accelerator;
    expect([await accelerator(), await accelerator()]).toEqual(["tcg", "tcg"]);
    probes.qemu = works("kvm");
    nowMs = 4999;
    expect(await accelerator()).toBe("tcg");
    nowMs = 5000;
    expect(await accelerator()).toBe("tcg");
    expect([await accelerator(), await accelerator()]).toEqual(["kvm", "kvm"]);
    expect(asked).toEqual(["qemu", "qemu"]);
  });

  test("for a VM that has one is that one, and no other is even asked", async () => {
    const { finder, asked } = finderOf({ firecracker: works("kvm"), qemu: works("tcg") });
    expect((await finder.choose("qemu")).driver.name).toBe("qemu");
    expect(asked).toEqual(["qemu"]);
  });

  test("that is not possible says what is missing of the one that was named", async () => {
    const { finder } = finderOf({ firecracker: fails, qemu: works("tcg") });
    const error = await errorOf(finder.choose("firecracker"));
    expect(hasCode(error, "vmm.unavailable") && error.data).toEqual({
      vmm: "firecracker",
      detail: "firecracker: it is not here",
    });
  });

  test("names the package to install where that would help", async () => {
    const { finder } = finderOf({ firecracker: fails, qemu: { ...fails, package: "qemu-system-x86" } });
    const error = await errorOf(finder.choose(null));
    expect(hasCode(error, "host.command_missing") && error.data.package).toBe("qemu-system-x86");
  });
});
