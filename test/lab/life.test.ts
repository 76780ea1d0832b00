// Guests on a real /dev/kvm, through banger as a user with sudo has it: by QEMU, by Firecracker, and by Firecracker in a jail.

import { afterAll, beforeAll, expect } from "bun:test";
import { existsSync } from "node:fs";
import { jailUid } from "../../src/spec/names.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { findFirecracker, searchPlaces } from "../../src/vmm/firecracker/binary.ts";
import { OWN_KERNEL } from "./home-disk.ts";
import { proveInside } from "./inside.ts";
import { bootBothKernels } from "./kernels.ts";
import { findLabObstacle } from "./lab.ts";
import { liveLife } from "./life.ts";
import { liveWithoutRoot } from "./rootless.ts";
import { audit, banger, bangerOk, closeStory, ensureRunning, host, labTest, OPEN_MS, openStory } from "./story.ts";

const found = await findFirecracker(searchPlaces(process.env));
const lack = "reason" in found ? found.reason : null;
if (lack !== null && (process.env.BANGER_REQUIRE ?? "").split(",").includes("firecracker")) throw new Error(lack);
const wanted = process.env.BANGER_LAB_VMM;
const labLack = findLabObstacle();
const obstacleOf = (name: string, own: string | null): string | null =>
  wanted !== undefined && !wanted.split(",").includes(name) ? `only ${wanted} is wanted` : (labLack ?? own);

/** The user of the lab. */
const DEV = 1000;

beforeAll(async () => {
  if (labLack === null) await openStory();
}, OPEN_MS);
afterAll(closeStory, 120_000);

liveLife({
  title: "qemu on KVM in the lab",
  vm: "qemu-vm",
  vmm: "qemu",
  obstacle: obstacleOf("qemu", null),
  uidOf: () => DEV,
});

liveLife({
  title: "firecracker on KVM in the lab",
  vm: "firecracker-vm",
  vmm: "firecracker",
  obstacle: obstacleOf("firecracker", lack),
  uidOf: () => DEV,
});

for (const vmm of ["qemu", "firecracker"] as const)
  proveInside({ vmm, obstacle: obstacleOf(`${vmm}-driver`, vmm === "firecracker" ? lack : null) });

const kernelLack = existsSync(OWN_KERNEL) ? null : "banger's own kernel is not built here: make kernel";
for (const vmm of ["qemu", "firecracker"] as const) {
  const own = vmm === "firecracker" ? (lack ?? kernelLack) : kernelLack;
  bootBothKernels({ vmm, obstacle: obstacleOf(`${vmm}-kernels`, own) });
}

liveWithoutRoot({ obstacle: obstacleOf("rootless", lack) });

const JAILED = "jailed-vm";

/** The programs become root's, and VMs are jailed from then on. */
const prepareJail = async (): Promise<void> => {
  const bin = "~/.cache/banger/bundle/bin";
  await host(`sudo install -o root -g root -m 0755 ${bin}/firecracker ${bin}/jailer /usr/local/bin/`);
  await bangerOk(["bundle", "use", "firecracker", "/usr/local/bin/firecracker"]);
  await bangerOk(["config", "set", "vmm.jail", "true"]);
  await bangerOk(["daemon", "restart"]);
};

liveLife({
  title: "firecracker in a jail on KVM in the lab",
  vm: JAILED,
  vmm: "firecracker",
  obstacle: obstacleOf("jail", lack),
  uidOf: ({ id }) => jailUid(id),
  prepare: prepareJail,
  more: () => {
    labTest(
      "its VMM sees its own files and nothing else, counts as a group, and its sockets are the user's alone",
      async () => {
        const { id, pid } = await ensureRunning(JAILED, "firecracker");
        const seen = await host(`sudo ls /proc/${pid}/root /proc/${pid}/root/f`);
        expect(seen.split(/\s+/)).toEqual(expect.arrayContaining(["f", "s", "config", "document", "kernel", "root"]));
        expect(await host(`sudo test -e /proc/${pid}/root/etc && echo host || echo jail`)).toBe("jail");
        expect(await host(`cat /proc/${pid}/cgroup`)).toMatch(new RegExp(`/bgr-[a-z0-9]{5}/${id}$`));
        const sockets = await host(
          `find ~/.local /run/user/1000 -path '*${id}/jail/*' -type s -printf '%f %u %m\\n' 2>/dev/null || true`,
        );
        expect(sockets.split("\n").sort()).toEqual(["api.sock dev 600", "vsock dev 600", "vsock_42071 dev 660"]);
        // Its mounts are in a namespace of its own.
        expect(await host("grep -c banger-jail /proc/self/mountinfo || true")).toBe("0");
        // Other rows may tell of a lab without a way out: what it says of the jail counts here.
        const rows = JSON.parse((await banger(["doctor", "--json"])).out) as Output<"system.doctor">;
        expect(rows.checks.find((row) => row.id === "jail")).toMatchObject({ status: "ok" });
        expect((await audit()).findings).toEqual([]);
      },
      { prepare: prepareJail },
    );
  },
});
