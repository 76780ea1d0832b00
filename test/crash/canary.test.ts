// Two canaries at once on the modelled host: the second waits, and takes nothing from the first.
import { afterEach, expect, test } from "bun:test";
import { type CanaryPorts, runCanary } from "../../src/daemon/canary.ts";
import { fail } from "../../src/spec/errors.ts";
import type { Daemon } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

const { begin, close } = createWorlds();
afterEach(close);

/** Canaries whose VM is made and then does not boot, when its turn has come: what follows needs a guest. */
const canariesOf = (daemon: Daemon) => {
  const boots = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let count = 0;
  const ports: CanaryPorts = {
    ...daemon.vm,
    "vm.create": async (input, call) => {
      const turn = count;
      count += 1;
      await daemon.vm["vm.create"]({ ...input, start: false }, call);
      begun[turn]?.resolve();
      await boots[turn]?.promise;
      throw fail("vmm.unavailable", { vmm: "auto", detail: "there is no guest here" });
    },
    "vm.ping": ({ vm }) => Promise.reject(fail("vm.not_found", { vm })),
    "system.audit": async () => ({ clean: true, findings: [] }),
  };
  const run = (said: string[] = [], signal?: AbortSignal) => {
    const emit = (event: { kind: string; text?: string }) => event.kind === "note" && said.push(event.text ?? "");
    return runCanary(daemon.context, ports, { ...daemon.call(signal), emit } as never);
  };
  return { run, begun, boots };
};

const turns = async () => {
  for (let count = 0; count < 50; count += 1) await new Promise((resolve) => setImmediate(resolve));
};
const namesOf = (daemon: Daemon) => daemon.context.store.vms.all().map(({ spec }) => spec.name);

test("a canary that is begun while another runs says so, and leaves the other's VM alone", async () => {
  const { world, daemon } = await begin();
  const { run, begun, boots } = canariesOf(daemon);
  const first = run();
  await begun[0]?.promise;
  const [name] = namesOf(daemon);
  const said: string[] = [];
  const second = run(said);
  await turns();
  expect(namesOf(daemon)).toEqual([name as string]);
  expect(said).toEqual(["another canary runs, and is waited for"]);
  boots[0]?.resolve();
  const torn = { id: "teardown", status: "ok", summary: `${name} is deleted with its disk, tap and rules` };
  expect((await first).hops).toContainEqual(expect.objectContaining(torn));
  await begun[1]?.promise;
  expect(namesOf(daemon)).not.toEqual([name as string]);
  boots[1]?.resolve();
  await second;
  expect(namesOf(daemon)).toEqual([]);
  expect(world.leftovers()).toEqual([]);
});

test("one that is given up while it waits makes nothing", async () => {
  const { daemon } = await begin();
  const { run, begun, boots } = canariesOf(daemon);
  const first = run();
  await begun[0]?.promise;
  const leave = new AbortController();
  const second = run([], leave.signal).catch((error) => error);
  leave.abort();
  boots[0]?.resolve();
  expect(await second).toMatchObject({ code: "operation.cancelled" });
  await first;
  expect(namesOf(daemon)).toEqual([]);
});
