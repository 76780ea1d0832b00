// The canary on a real guest: every hop proved with its time, nothing left behind, also when it is interrupted.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BANGER, BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";
import { INTERNET, type Lab, openLab } from "./lab.ts";

const obstacle = findObstacle({ needsRoot: "an outside behind a bridge of the host" });
const suite = obstacle === null ? describe : describe.skip;

type Answer = Output<"system.doctor"> & { canary: Output<"system.canary"> };

suite(`the canary${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: Lab;
  let banger: Instance;

  beforeAll(async () => {
    lab = await openLab();
    await lab.serve("internet", "names", INTERNET.router, INTERNET.web);
    banger = await openTestInstance({ inside: lab.inside });
  }, 1_800_000);
  afterAll(async () => {
    try {
      await banger?.close();
    } finally {
      await lab?.close();
    }
  }, TEARDOWN_MS);

  test(
    "proves boot, channel, clock, name, ssh, NAT, teardown and audit, each with its time, and leaves nothing",
    async () => {
      const { out, err } = await banger.run(["doctor", "--canary", "--json"], { timeoutMs: 600_000 });
      const { checks, canary } = JSON.parse(out || `"${err}"`) as Answer;
      const told = canary.hops.map(({ id, status, ms }) => [id, status, ms === null ? "" : "timed"]);
      expect(told).toEqual([
        ["boot", "ok", "timed"],
        ["channel", "ok", "timed"],
        ["clock", "ok", "timed"],
        ["name", "ok", "timed"],
        // The resolver of this world knows nothing of banger, and that is told.
        ["resolver", "skipped", ""],
        ["ssh", "ok", "timed"],
        ["nat", "ok", "timed"],
        ["teardown", "ok", "timed"],
        ["audit", "ok", "timed"],
      ]);
      expect(canary.hops.find(({ id }) => id === "nat")?.summary).toBe(`the guest reached ${INTERNET.router}:53`);
      const bad = checks.filter(({ status }) => status === "error").map(({ id, summary }) => `${id}: ${summary}`);
      expect(bad).toEqual([]);
      expect(await banger.json<Vm[]>(["ls"])).toEqual([]);
    },
    BOOT_MS + 420_000,
  );

  test(
    "Ctrl-C in the middle takes the VM away",
    async () => {
      const child = Bun.spawn(banger.beside([BANGER, "doctor", "--canary"]), {
        env: banger.env,
        cwd: "/",
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
      });
      await until(
        "the canary boots",
        async () => {
          const [vm] = await banger.json<Vm[]>(["ls"]);
          return vm?.state === "starting" || vm?.state === "running";
        },
        BOOT_MS,
      );
      child.kill("SIGINT");
      expect(await child.exited).toBe(130);
      expect(await child.stderr.text()).toContain("cancelling");
      await until("nothing is left", async () => (await banger.json<Vm[]>(["ls"])).length === 0, BOOT_MS);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      expect(await banger.leftovers()).toEqual([]);
    },
    BOOT_MS * 2,
  );
});
