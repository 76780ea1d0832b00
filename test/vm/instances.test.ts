// Instances side by side, many VMs at once and many one after the other: nobody sees the others, and nothing piles up.
import { afterEach, describe, expect, test } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, hasRoot, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const CYCLES = Number(process.env.BANGER_TEST_CYCLES ?? 20);
const CROWD = 8;

suite(`many VMs${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  const open: Instance[] = [];
  const openOne = async () => {
    const instance = await openTestInstance();
    open.push(instance);
    return instance;
  };

  afterEach(async () => {
    for (const instance of open.splice(0)) await instance.close();
  }, 2 * TEARDOWN_MS);

  // On loopback it would be the host that answers.
  test.skipIf(!hasRoot)(
    "of two instances with a VM each, one is torn down and the other's VM does not lose a ping",
    async () => {
      const [one, other] = [await openOne(), await openOne()];
      const [vm, gone] = await Promise.all([one.create("same-name"), other.create("same-name")]);
      const address = vm.addresses.find(({ side }) => side === "host")?.address as string;
      expect(gone.addresses.map((found) => found.address)).not.toContain(address);
      expect((await one.json<Vm[]>(["ls"])).map(({ id }) => id)).toEqual([vm.id]);
      const ping = Bun.spawn(["ping", "-i", "0.2", "-W", "10", address], { stdin: "ignore", stdout: "pipe" });
      const said = new Response(ping.stdout).text();
      await other.ok(["rm", "--force", "same-name"]);
      await other.ok(["daemon", "stop"]);
      await other.close();
      open.pop();
      // Another round trip after everything is gone, then count.
      await one.guest("same-name", "true");
      ping.kill("SIGINT");
      await ping.exited;
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(await said) ?? [];
      expect(Number(sent)).toBeGreaterThan(5);
      // The last one may have been on its way when it was counted.
      expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1);
      expect(await one.audit()).toEqual({ clean: true, findings: [] });
    },
    2 * BOOT_MS,
  );

  test(
    `${CROWD} VMs start at once, each with its own address and identity, and are gone together`,
    async () => {
      const banger = await openOne();
      const names = Array.from({ length: CROWD }, (_, index) => `vm${index}`);
      const vms = await Promise.all(names.map((name) => banger.create(name)));
      const all = await banger.json<Vm[]>(["ls"]);
      expect(all.map(({ state }) => state)).toEqual(names.map(() => "running"));
      const distinct = (pick: (vm: Vm) => unknown) => new Set(vms.map(pick)).size;
      expect(distinct(({ addresses }) => addresses[0]?.address)).toBe(CROWD);
      expect(distinct(({ pid }) => pid)).toBe(CROWD);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      const pings = await Promise.all(names.map((name) => banger.json<Output<"vm.ping">>(["vm", "ping", name])));
      expect(pings.map(({ name }) => name)).toEqual(names);
      await banger.ok(["kill", "--all"]);
      expect((await banger.leftovers()).filter((line) => !line.startsWith(banger.dir))).toEqual([]);
      await banger.ok(["rm", "--all"]);
      expect(await banger.leftovers()).toEqual([]);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
    },
    3 * BOOT_MS,
  );

  test(
    `${CYCLES} cycles of create, stop and delete leave nothing and cost the daemon nothing`,
    async () => {
      const banger = await openOne();
      const measure = async () => {
        const { memoryMiB, pid } = await banger.json<Output<"system.status">>(["daemon", "status"]);
        return { memoryMiB, descriptors: new Bun.Glob("*").scanSync({ cwd: `/proc/${pid}/fd`, onlyFiles: false }) };
      };
      const count = async () => [...(await measure()).descriptors].length;
      const cycle = async (flags: readonly string[]) => {
        await banger.ok(["create", "cycle", ...flags]);
        await banger.ok(["stop", "cycle", ...(flags.length > 0 ? ["--force"] : [])]);
        await banger.ok(["rm", "cycle"]);
      };
      await cycle(["--no-wait"]);
      const before = await count();
      // Most do not wait for the guest: what is made and taken back on the host is the same.
      for (let round = 1; round < CYCLES; round++) {
        await cycle(round === CYCLES - 1 ? [] : ["--no-wait"]);
        const left = await banger.leftovers();
        expect({ round, left }).toEqual({ round, left: [] });
      }
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      await until("descriptors are as before", async () => (await count()) <= before + 2, 20_000);
      expect((await measure()).memoryMiB).toBeLessThan(150);
    },
    BOOT_MS + CYCLES * 20_000,
  );
});
