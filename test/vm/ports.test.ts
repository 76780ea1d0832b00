// Ports of a real guest: what listens in it is told with its process, as it changes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { PortRow } from "../../src/spec/ports.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;

suite(`ports of a guest${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let web: Vm;

  const ports = () => banger.json<Output<"vm.ports">>(["vm", "ports", "web"]);
  const row = async (port: number): Promise<PortRow | undefined> =>
    (await ports()).ports.find((one) => one.port === port);
  /** A server that stays when the login that started it has ended, under a name of its own. */
  const serve = (port: number, address: string) =>
    banger.guest(
      "web",
      `setsid -f perl -MIO::Socket::INET -e '$0 = "serve-${port}"; $SIG{CHLD} = "IGNORE"; ` +
        `my $s = IO::Socket::INET->new(Listen => 99, LocalAddr => "${address}", LocalPort => ${port}, ReuseAddr => 1) or die; ` +
        `while (1) { my $c = $s->accept or next; if (fork) { close $c; next } ` +
        `while (my $l = <$c>) { print $c "${port}: $l"; $c->flush } exit }' </dev/null >/dev/null 2>&1`,
    );

  beforeAll(async () => {
    banger = await openTestInstance();
    web = await banger.create("web");
    await serve(3000, "0.0.0.0");
    await serve(3001, "127.0.0.1");
  }, 2 * BOOT_MS);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "what listens is told with its process, and how it is reached",
    async () => {
      await until(
        "both are told",
        async () => (await row(3000)) !== undefined && (await row(3001)) !== undefined,
        BOOT_MS,
      );
      const address = web.addresses.find(({ side }) => side === "host")?.address;
      expect(await row(3000)).toMatchObject({
        protocol: "tcp",
        scope: "any",
        process: "serve-3000",
        reach: `${address}:3000`,
        name: "web.vm:3000",
      });
      expect(await row(3001)).toMatchObject({
        address: "127.0.0.1",
        scope: "loopback",
        process: "serve-3001",
        reach: null,
      });
      expect((await row(3000))?.pid).toBeGreaterThan(1);
      const text = await banger.ok(["ports", "web"]);
      expect(text).toMatch(/3000\/tcp +all addresses +serve-3000 \(\d+\)/);
      expect(text).toMatch(/3001\/tcp +127\.0\.0\.1 +serve-3001 \(\d+\) +from inside the guest alone/);
    },
    BOOT_MS,
  );

  test(
    "the VM shows them without asking the guest, and forgets one that ended",
    async () => {
      const shown = async () => (await banger.show("web")).ports.map(({ port }) => port);
      await until("it is shown", async () => (await shown()).includes(3000), BOOT_MS);
      await banger.guest("web", "pkill -x serve-3001");
      await until("its end is shown", async () => !(await shown()).includes(3001), BOOT_MS);
      expect(await shown()).toContain(3000);
    },
    BOOT_MS,
  );
});
