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
const PORT = 3000;
const SERVER =
  `$s = IO::Socket::INET->new(Listen => 5, LocalPort => ${PORT}, ReuseAddr => 1) or die; ` +
  'while ($c = $s->accept) { sysread $c, $asked, 4096; print $c "HTTP/1.0 200 OK\\r\\n\\r\\nfrom inside\\n"; close $c }';

/** Once root has told systemd-resolved whom to ask, any program of the host finds what listens in the guest by the VM's name. */
const answersByName = async (): Promise<void> => {
  await plain(["ssh", VM, "--", `setsid -f perl -MIO::Socket::INET -e '${SERVER}' </dev/null >/dev/null 2>&1`]);
  const { listeners } = await json<Output<"dns.status">>(["dns", "status"]);
  const port = listeners.find(({ view }) => view === "loopback")?.port;
  await host(`sudo ${BANGER} dns setup --zone vm --server 127.0.0.1:${port} --yes`);
  try {
    const curl = `curl -sf --max-time 5 http://${VM}.vm:${PORT}/`;
    expect(await host(`for _ in $(seq 30); do ${curl} && break; sleep 1; done`)).toBe("from inside");
    expect(await host(`resolvectl query --legend=no ${VM}.vm`)).toMatch(/: 127\.\d+\.\d+\.\d+/);
  } finally {
    await host(`sudo ${BANGER} dns undo --yes`);
  }
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
        await answersByName();
        // Nothing of it is on the host itself.
        expect(await host("ip -o link | grep -c bgr- || true")).toBe("0");
        const stopped = await json<Vm | Vm[]>(["vm", "stop", VM]);
        expect([stopped].flat()[0]).toMatchObject({ state: "stopped", lastEnd: { cause: "stopped" } });
        await plain(["vm", "delete", VM, "--force"]);
        expect((await json<Output<"system.audit">>(["audit"])).findings).toEqual([]);
        await plain(["daemon", "stop"]);
        // The holder of its namespaces ends when nobody has been inside for a moment.
        await host("for _ in $(seq 100); do pgrep -u plain >/dev/null || break; sleep 0.2; done");
        expect(await host("pgrep -u plain -a || true")).toBe("");
      },
    );
  });
};
