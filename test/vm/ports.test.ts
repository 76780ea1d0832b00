// Ports of a real guest: what listens in it is told with its process, and what of this host leads to it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createConnection } from "node:net";
import type { PortRow } from "../../src/spec/ports.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BANGER, BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;

/** A port that was free a moment ago. */
const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  listener.stop(true);
  return listener.port;
};

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

  /** What a server of the guest answers to a line, by way of this host; null while nobody takes the connection. */
  const asked = (port: number, line: string): Promise<string | null> =>
    new Promise((resolve) => {
      const socket = createConnection({ host: "127.0.0.1", port }, () => socket.write(`${line}\n`));
      socket.once("data", (bytes) => {
        resolve(bytes.toString().trim());
        socket.destroy();
      });
      socket.on("error", () => resolve(null));
      socket.on("close", () => resolve(null));
    });
  const forwards = async () => (await banger.json<Output<"vm.forward">>(["vm", "forward", "--list", "web"])).forwards;

  test(
    "a kept forward is published at once, outlives the daemon, and is found by the next one",
    async () => {
      const port = freePort();
      await banger.ok(["vm", "forward", "--keep", "web", `${port}:3000`]);
      expect(await asked(port, "hello")).toBe("3000: hello");
      expect(await forwards()).toMatchObject([{ hostPort: port, guestPort: 3000, isKept: true, state: "published" }]);
      const open = createConnection({ host: "127.0.0.1", port });
      open.on("error", () => {});
      const said = Promise.withResolvers<string>();
      open.on("data", (bytes) => said.resolve(bytes.toString().trim()));
      await banger.killDaemon();
      open.write("without a daemon\n");
      expect(await said.promise).toBe("3000: without a daemon");
      open.destroy();
      expect(await forwards()).toMatchObject([{ hostPort: port, state: "published" }]);
      expect((await row(3000))?.forwards).toEqual([`127.0.0.1:${port}`]);
      expect((await banger.audit()).findings).toEqual([]);
      await banger.ok(["vm", "forward", "--remove", String(port), "web"]);
      expect(await asked(port, "hello")).toBeNull();
      expect(await forwards()).toEqual([]);
    },
    BOOT_MS,
  );

  test(
    "a forward lasts as long as its command; a port that is taken is told with its owner and a free one",
    async () => {
      const port = freePort();
      const child = Bun.spawn(banger.beside([BANGER, "vm", "forward", "web", `${port}:3000`, "--json"]), {
        env: banger.env,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      await until("it leads there", async () => (await asked(port, "hello")) === "3000: hello", BOOT_MS);
      child.kill("SIGINT");
      await child.exited;
      await until("it leads nowhere", async () => (await asked(port, "hello")) === null, BOOT_MS);
      const holder = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data: () => undefined } });
      const { code, err } = await banger.run(["vm", "forward", "--keep", "web", `${holder.port}:3000`]);
      holder.stop();
      expect(code).toBe(4);
      expect(err).toContain(`process ${process.pid}`);
      expect(err).toMatch(/banger vm forward web \d+:3000/);
      expect(await forwards()).toEqual([]);
    },
    BOOT_MS,
  );
});
