// What SIGKILL does to each of our processes while real guests run: nothing is lost that was promised, and nothing is left.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import {
  BANGER,
  BOOT_MS,
  commandOf,
  findObstacle,
  type Instance,
  kill,
  openTestInstance,
  TEARDOWN_MS,
  until,
  untilGone,
} from "./fixture.ts";
import { childrenOf, parentOf } from "./processes.ts";
import { sshCommand } from "./ssh.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const ROUNDS = Number(process.env.BANGER_TEST_CRASHES ?? 8);
const SEED = Number(process.env.BANGER_TEST_SEED ?? Date.now() % 2 ** 31);

/** A small generator (Park and Miller), so that a failing round can be run again by its seed. */
const randomFrom = (seed: number) => {
  let state = (seed % 2147483646) + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
};

suite(`crashes${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  const sessions: Bun.Subprocess[] = [];

  afterEach(async () => {
    for (const session of sessions.splice(0)) {
      session.kill("SIGKILL");
      await session.exited;
    }
  });
  beforeAll(async () => {
    banger = await openTestInstance();
    await banger.create("vm");
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "kill -9 of bangerd leaves an open SSH session alone; the next command adopts the VM and the audit is clean",
    async () => {
      const before = await banger.show("vm");
      const access = (await JSON.parse(await banger.ok(["ssh", "--json", "vm"]))) as Output<"vm.access">;
      const session = Bun.spawn(sshCommand(access, "cat"), { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
      sessions.push(session);
      const reader = session.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const echo = async (word: string) => {
        session.stdin.write(`${word}\n`);
        await session.stdin.flush();
        let heard = "";
        while (!heard.includes("\n")) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`the session ended after ${JSON.stringify(heard)}`);
          heard += value;
        }
        return heard.trim();
      };
      expect(await echo("before")).toBe("before");
      const killed = await banger.killDaemon();
      expect(killed).toBeGreaterThan(1);
      expect(await echo("without a daemon")).toBe("without a daemon");
      const after = await banger.show("vm");
      const { diskUsedMiB, clock, ports } = after;
      expect(after).toEqual({ ...before, diskUsedMiB, clock, ports });
      expect(await banger.daemonPid()).not.toBe(killed as number);
      expect(await echo("adopted")).toBe("adopted");
      // Its questions went to the daemon that is gone: the new one has to answer them.
      const gateway = before.addresses[0]?.address.replace(/\d+$/, "1") as string;
      expect(await banger.guest("vm", "timeout 60 getent ahostsv4 ns.vm")).toContain(gateway);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      expect((await banger.json<Output<"vm.ping">>(["vm", "ping", "vm"])).name).toBe("vm");
      session.stdin.end();
      expect(await session.exited).toBe(0);
    },
    BOOT_MS,
  );

  test(
    "SIGKILL of the helper in the guest: it comes back, and the channel with it",
    async () => {
      const before = await banger.guest("vm", "sudo pkill -KILL -o -f 'vsock-[p]ingd' && echo done");
      expect(before).toBe("done");
      await until("the helper answers again", async () => (await banger.run(["vm", "ping", "vm"])).code === 0, 60_000);
      expect((await banger.show("vm")).state).toBe("running");
    },
    BOOT_MS,
  );

  test(
    "SIGKILL of banger-root: the next operation starts another",
    async () => {
      const daemon = await banger.daemonPid();
      await banger.audit();
      const helper = childrenOf(daemon).find((pid) => commandOf(pid).includes("banger-root"));
      if (helper !== undefined) {
        kill(helper, "SIGKILL");
        await untilGone(helper);
      }
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      await banger.ok(["create", "other", "--no-wait"]);
      await banger.ok(["rm", "--force", "other"]);
    },
    BOOT_MS,
  );

  test(
    "SIGKILL of the shim takes its VMM along: the VM is recorded as killed, and nothing is left",
    async () => {
      const { pid } = await banger.show("vm");
      const shim = parentOf(pid as number);
      expect(commandOf(shim)).toContain("banger-shim");
      kill(shim, "SIGKILL");
      await untilGone(pid as number);
      const ended = await until("the end is recorded", async () => {
        const vm = await banger.show("vm");
        return vm.state === "stopped" ? vm : null;
      });
      expect(ended.lastEnd?.cause).toBe("killed");
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      const left = (await banger.leftovers()).filter((line) => !line.startsWith(banger.dir));
      expect(left).toEqual([]);
      await banger.ok(["start", "vm"]);
    },
    BOOT_MS,
  );

  test(
    "twenty commands at once after a crash start one daemon",
    async () => {
      await banger.killDaemon();
      const pids = await Promise.all(Array.from({ length: 20 }, () => banger.daemonPidStarting()));
      expect(new Set(pids).size).toBe(1);
      expect((await banger.show("vm")).state).toBe("running");
    },
    BOOT_MS,
  );

  test(
    `SIGKILL of bangerd at random moments of every operation leaves what was promised and nothing else (BANGER_TEST_SEED=${SEED})`,
    async () => {
      await banger.ok(["rm", "--force", "vm"]);
      const random = randomFrom(SEED);
      const operations: { name: string; args: (vm: string) => string[]; needs: Vm["state"] | null; upToMs: number }[] =
        [
          { name: "create", args: (vm) => ["create", vm, "--no-wait"], needs: null, upToMs: 900 },
          { name: "start", args: (vm) => ["start", vm, "--no-wait"], needs: "stopped", upToMs: 400 },
          { name: "stop", args: (vm) => ["stop", "--force", vm], needs: "running", upToMs: 250 },
          { name: "delete", args: (vm) => ["rm", "--force", vm], needs: "running", upToMs: 350 },
        ];
      for (let round = 0; round < ROUNDS; round++) {
        const operation = operations[round % operations.length]!;
        const vm = `crash${round}`;
        const label = `round ${round}, ${operation.name}`;
        if (operation.needs === "stopped") await banger.ok(["create", vm, "--no-start"]);
        if (operation.needs === "running") await banger.ok(["create", vm, "--no-wait"]);
        const child = Bun.spawn([BANGER, ...operation.args(vm), "--json"], {
          env: banger.env,
          stdin: "ignore",
          stdout: "pipe",
          stderr: "pipe",
        });
        // The moment itself is what is random here.
        await Bun.sleep(random() * operation.upToMs);
        await banger.killDaemon();
        const acknowledged = (await child.exited) === 0;
        const [found] = (await banger.json<Vm[]>(["ls"])).filter(({ name }) => name === vm);
        const audited = await banger.audit();
        expect({ label, findings: audited.findings }).toEqual({ label, findings: [] });
        if (acknowledged) {
          const wanted = { create: "running", start: "running", stop: "stopped", delete: undefined }[operation.name];
          expect({ label, state: found?.state }).toEqual({ label, state: wanted as Vm["state"] });
        } else if (found) {
          expect({ label, isSettled: ["running", "stopped"].includes(found.state) }).toEqual({
            label,
            isSettled: true,
          });
          expect({ label, error: found.lastError?.code }).toEqual({ label, error: undefined });
        }
        // The same name can be had at once.
        if (found) await banger.ok(["rm", "--force", vm]);
        await banger.ok(["create", vm, "--no-start"]);
        await banger.ok(["rm", vm]);
        expect({ label, left: await banger.leftovers() }).toEqual({ label, left: [] });
      }
    },
    BOOT_MS + ROUNDS * 30_000,
  );
});
