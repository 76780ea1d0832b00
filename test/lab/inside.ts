// What is asked of a VMM's driver inside the lab, on its KVM: the contract that all drivers keep, and how much of a start is the daemon's own.
import { describe, expect } from "bun:test";
import { host, labTest } from "./story.ts";

const CHECKOUT = "~/banger";
/** An emulated KVM boots a tiny guest in seconds, not in milliseconds. */
const PATIENCE = 20;
/** The whole of it takes two to three minutes; a lab that locks up meanwhile is noticed only then. */
const SUITE_MS = 480_000;
const OWN_SHARE_MS = 50;

/** Any of them that there is: each boots a guest that obeys words. */
const kernelDir = "$(ls -d ~/.local/share/banger/kernels/* | head -n 1)";

const inCheckout = (line: string, timeoutMs: number): Promise<string> =>
  host(`cd ${CHECKOUT} && BANGER_TEST_IMAGE_DIR=${kernelDir} ${line}`, { timeoutMs });

export const proveInside = (options: { vmm: "qemu" | "firecracker"; obstacle: string | null }): void => {
  const { vmm, obstacle } = options;
  const suite = obstacle === null ? describe : describe.skip;
  suite(`the driver of ${vmm} in the lab${obstacle === null ? "" : ` (${obstacle})`}`, () => {
    labTest(
      "keeps the contract of all drivers with real guests on KVM",
      async () => {
        const file = vmm === "qemu" ? "test/vmm/conformance.test.ts" : "test/vmm/firecracker-conformance.test.ts";
        const env = `BANGER_REQUIRE=${vmm} BANGER_TEST_ACCEL=kvm BANGER_TEST_PATIENCE=${PATIENCE}`;
        const said = await inCheckout(`${env} ./bun test ${file} 2>&1`, SUITE_MS);
        console.log(
          said
            .split("\n")
            .filter((line) => /^\(|^ *\d+ (pass|fail|skip)/.test(line))
            .join("\n"),
        );
        expect(said).toMatch(/^ *0 fail$/m);
        expect(said).toContain(vmm === "qemu" ? "QEMU with KVM keeps" : "Firecracker with KVM keeps");
        expect(said).not.toMatch(/^\(skip\)/m);
      },
      { timeoutMs: SUITE_MS },
    );

    if (vmm !== "firecracker") return;

    labTest(
      `adds at most ${OWN_SHARE_MS} ms of its own to what the same calls take when curl sends them`,
      async () => {
        const said = await inCheckout("./bun test/lab/own-share.ts", SUITE_MS);
        console.log(said);
        const { ownMs } = JSON.parse(said.split("\n").at(-1) ?? "{}") as { ownMs: number };
        expect(ownMs).toBeLessThanOrEqual(OWN_SHARE_MS);
      },
      { timeoutMs: SUITE_MS },
    );
  });
};
