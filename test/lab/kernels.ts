// Both kernels, the image's and banger's own, under each VMM of the lab.
import { describe, expect } from "bun:test";
import type { Vm } from "../../src/spec/vm.ts";
import { bangerOk, GUEST_MS, guest, labTest } from "./story.ts";

const VM = "kernels-vm";

export const bootBothKernels = (given: { vmm: "qemu" | "firecracker"; obstacle: string | null }): void => {
  const { vmm, obstacle } = given;
  const suite = obstacle === null ? describe : describe.skip;
  suite(`both kernels under ${vmm} in the lab${obstacle === null ? "" : ` (${obstacle})`}`, () => {
    labTest(`a VM boots on banger's own kernel and on the image's, and its disk is the same`, async () => {
      await bangerOk(["vm", "delete", VM, "--force"]).catch(() => {});
      const create = ["vm", "create", VM, "--vmm", vmm, "--kernel", "banger", "--json"];
      const created = JSON.parse(await bangerOk(create, { timeoutMs: GUEST_MS })) as Vm;
      expect(created).toMatchObject({ state: "running", vmm, accelerator: "kvm" });
      console.log(await bangerOk(["vm", "why-slow", VM]));
      const own = await guest(VM, "uname -r");
      await guest(VM, "systemctl is-system-running --wait || true; echo kept > note; sync", { timeoutMs: GUEST_MS });
      expect(await guest(VM, "systemctl --failed --no-legend")).toBe("");
      await bangerOk(["vm", "stop", VM], { timeoutMs: GUEST_MS });
      await bangerOk(["vm", "set", VM, "--kernel", "image"]);
      await bangerOk(["vm", "start", VM], { timeoutMs: GUEST_MS });
      console.log(await bangerOk(["vm", "why-slow", VM]));
      const image = await guest(VM, "uname -r");
      expect(own).not.toBe(image);
      expect(own).toContain("banger");
      expect(await guest(VM, "cat note")).toBe("kept");
      await bangerOk(["vm", "delete", VM, "--force"]);
    });
  });
};
