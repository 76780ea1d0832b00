// Firecracker for a user of the lab who has no sudo and no helper of root's, only the group that may use KVM.
import { describe, expect } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { quote } from "./lab.ts";
import { BANGER, GUEST_MS, host, labTest } from "./story.ts";

const VM = "plain-vm";
const PLAIN = 1001;

/** With an environment of its own, as at a login; sudo here is the lab's, and the way to become that user. */
const plain = (args: readonly string[]): Promise<string> => {
  const env = "env -i HOME=/home/plain USER=plain LANG=C.UTF-8 PATH=/usr/bin:/bin";
  return host(`cd / && sudo -u plain -- ${env} ${[BANGER, ...args].map(quote).join(" ")}`, { timeoutMs: GUEST_MS });
};
const json = async <Value>(args: readonly string[]): Promise<Value> =>
  JSON.parse(await plain([...args, "--json"])) as Value;

export const liveWithoutRoot = (options: { obstacle: string | null }): void => {
  const { obstacle } = options;
  const suite = obstacle === null ? describe : describe.skip;
  suite(`firecracker without root in the lab${obstacle === null ? "" : ` (${obstacle})`}`, () => {
    labTest(
      "an ordinary user of the group kvm creates, enters, pings, stops and deletes a VM, and nothing is left",
      async () => {
        // Neither is the user allowed to become root, nor has anybody set a helper of root's up for it.
        expect(await host("sudo sudo -l -U plain 2>&1 || true")).toContain("not allowed to run sudo");
        await plain(["vm", "delete", VM, "--force"]).catch(() => {});
        const created = await json<Vm>(["vm", "create", VM, "--vmm", "firecracker"]);
        console.log(await plain(["vm", "why-slow", VM]));
        expect(created).toMatchObject({
          state: "running",
          vmm: "firecracker",
          accelerator: "kvm",
          network: "namespace",
        });
        expect(created.privilege).toContain(`as plain (uid ${PLAIN}) in the namespaces`);
        expect(await host(`stat -c %u /proc/${created.pid}`)).toBe(String(PLAIN));
        expect(await plain(["ssh", VM, "--", "hostname; id -un"])).toBe(`${VM}\nplain`);
        expect((await json<Output<"vm.ping">>(["vm", "ping", VM])).roundTripMs).toBeGreaterThan(0);
        // Nothing of it is on the host itself.
        expect(await host("ip -o link | grep -c bgr- || true")).toBe("0");
        const stopped = await json<Vm | Vm[]>(["vm", "stop", VM]);
        expect([stopped].flat()[0]).toMatchObject({ state: "stopped", lastEnd: { cause: "stopped" } });
        await plain(["vm", "delete", VM, "--force"]);
        expect((await json<Output<"system.audit">>(["audit"])).findings).toEqual([]);
        await plain(["daemon", "stop"]);
        expect(await host("pgrep -u plain -a || true")).toBe("");
      },
    );
  });
};
