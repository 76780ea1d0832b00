// A real guest's names, asked for by UDP: they follow start, stop, death, rename and a daemon that was killed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Resolver } from "node:dns/promises";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, type Instance, kill, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;

/** Asks as programs would that were told where: NXDOMAIN is an answer, silence is asked again. */
const ask = async (banger: Instance, name: string, type: "A" | "PTR" = "A"): Promise<string[] | "NXDOMAIN"> => {
  const { dns } = await banger.json<Output<"system.status">>(["daemon", "status"]);
  const resolver = new Resolver({ timeout: 5000, tries: 6 });
  resolver.setServers([`${dns.address}:${dns.port}`]);
  try {
    return await (type === "A" ? resolver.resolve4(name) : resolver.reverse(name));
  } catch (error) {
    if ((error as { code?: string }).code === "ENOTFOUND") return "NXDOMAIN";
    throw error;
  }
};

suite(`a guest's name${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let vm: Vm;
  const onSide =
    (wanted: "host" | "guest") =>
    ({ addresses }: Vm) =>
      addresses.find(({ side }) => side === wanted)?.address ?? "";
  const [addressOf, guestAddressOf] = [onSide("host"), onSide("guest")];

  beforeAll(async () => {
    banger = await openTestInstance();
    vm = await banger.create("one", "--dns-wildcard");
  }, BOOT_MS);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test("answers when create returns, with every name below it that was asked for, and backwards", async () => {
    expect(await ask(banger, "one.vm")).toEqual([addressOf(vm)]);
    expect(await ask(banger, "any.thing.one.vm")).toEqual([addressOf(vm)]);
    expect(await ask(banger, addressOf(vm), "PTR")).toEqual(["one.vm"]);
    expect(await ask(banger, "two.vm")).toBe("NXDOMAIN");
    expect(vm).toMatchObject({ fqdn: "one.vm", dnsWildcard: true });
    expect(await banger.ok(["dns", "query", "one"])).toContain(addressOf(vm));
  }, 60_000);

  test(
    "is found by the guest itself at its gateway, backwards and below it too",
    async () => {
      const lines = await banger.ok([
        ...["exec", "one", "--", "sh", "-c"],
        `getent ahostsv4 sub.one.vm; getent hosts ${guestAddressOf(vm)}`,
      ]);
      expect(lines).toContain(guestAddressOf(vm));
      expect(lines).toContain("one.vm");
      const asGuest = await banger.json<Output<"dns.query">>(["dns", "query", "--guest", "one"]);
      expect(asGuest.records.map(({ data }) => data)).toEqual([guestAddressOf(vm)]);
    },
    BOOT_MS,
  );

  test("is there again with the next daemon after one that was killed", async () => {
    kill(await banger.daemonPid(), "SIGKILL");
    await until("a new daemon has adopted the VM", async () => (await banger.show("one")).state === "running");
    expect(await ask(banger, "one.vm")).toEqual([addressOf(vm)]);
    expect(await ask(banger, "sub.one.vm")).toEqual([addressOf(vm)]);
  }, 120_000);

  test("is gone when the guest died, and with its name when it was given another", async () => {
    const { pid } = await banger.show("one");
    expect(pid).not.toBeNull();
    kill(pid ?? 0, "SIGKILL");
    await until("the daemon has seen it die", async () => (await banger.show("one")).state === "stopped");
    expect(await ask(banger, "one.vm")).toBe("NXDOMAIN");
    await banger.ok(["vm", "rename", "one", "two"]);
    await banger.ok(["vm", "set", "two", "--no-dns-wildcard"]);
    expect(await ask(banger, "two.vm")).toBe("NXDOMAIN");
  }, 120_000);

  test(
    "is the new one when start returns, and gone when stop returns",
    async () => {
      await banger.ok(["vm", "start", "two"]);
      expect(await ask(banger, "two.vm")).toEqual([addressOf(vm)]);
      expect(await ask(banger, "TWO.vm")).toEqual([addressOf(vm)]);
      expect(await ask(banger, "one.vm")).toBe("NXDOMAIN");
      expect(await ask(banger, "sub.two.vm")).toBe("NXDOMAIN");
      await banger.ok(["vm", "stop", "--force", "two"]);
      expect(await ask(banger, "two.vm")).toBe("NXDOMAIN");
      expect(await ask(banger, addressOf(vm), "PTR")).toBe("NXDOMAIN");
    },
    2 * BOOT_MS,
  );
});
