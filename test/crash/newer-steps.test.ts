// A journal with a step that this banger does not know, as one of a newer banger after a downgrade: nothing is claimed undone, and all else is served.
import { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { type FakeWorld, SimulatedCrash } from "../fakes/fake-host.ts";
import { createInput, type Daemon } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

const { begin, restart, stopDaemons, close } = createWorlds();
afterEach(close);

const NEWER = "share.mount";
const ref = { vm: "web" };
const code = "operation.step_unknown";
const told = { code, message: expect.stringMatching(/web.*share\.mount/), fix: expect.stringContaining("banger") };

/** Two VMs that run. */
const beginWithTwo = async (): Promise<{ world: FakeWorld; daemon: Daemon }> => {
  const { world, daemon } = await begin();
  for (const name of ["web", "other"])
    await daemon.vm["vm.create"]({ ...createInput(name), start: true }, daemon.call());
  return { world, daemon };
};

const change = <Result>(world: FakeWorld, work: (database: Database) => Result): Result => {
  const database = new Database(world.paths.database);
  try {
    return work(database);
  } finally {
    database.close();
  }
};
const open = (kind: string) =>
  `(SELECT max(id) FROM operations WHERE kind = '${kind}' AND subject = (SELECT id FROM vms WHERE name = 'web'))`;
const addStep = (world: FakeWorld, kind: string): void =>
  change(world, (database) => {
    database.run(
      `INSERT INTO steps (operation_id, ordinal, name, phase, ms, detail) VALUES (${open(kind)}, 99, '${NEWER}', 'done', 1, NULL)`,
    );
  });
/** The newer banger is back, which knows it; here, by taking it out again. */
const knowStep = (world: FakeWorld): void =>
  change(world, (database) => void database.run(`DELETE FROM steps WHERE name = '${NEWER}'`));
const phasesOf = (world: FakeWorld, kind: string): unknown[] =>
  change(world, (database) =>
    database.query(`SELECT name, phase FROM steps WHERE operation_id = ${open(kind)} ORDER BY ordinal`).all(),
  );

const settled = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );
const statesOf = async ({ vm, call }: Daemon): Promise<string[]> =>
  (await vm["vm.list"]({ label: {} }, call())).map(({ name, state }) => `${name} ${state}`).sort();

test("of a start: its VM is served, a stop takes nothing back and says why, and the newer banger finds all as it was", async () => {
  const { world } = await beginWithTwo();
  world.crash();
  addStep(world, "vm.start");
  const next = await restart(world);
  expect(await statesOf(next)).toEqual(["other running", "web running"]);
  const before = phasesOf(world, "vm.start");
  for (const stop of [
    () => next.vm["vm.stop"]({ ...ref, force: false }, next.call()),
    () => next.vm["vm.kill"](ref, next.call()),
    () => next.vm["vm.delete"]({ ...ref, force: true }, next.call()),
  ]) {
    expect(await settled(stop())).toMatchObject({ code });
    const { id, state, lastError } = await next.vm["vm.show"](ref, next.call());
    expect([state, world.machine(id).isRunning]).toEqual(["error", true]);
    expect(lastError).toMatchObject(told);
    expect(phasesOf(world, "vm.start")).toEqual(before);
  }
  expect(await next.audit()).toEqual([]);
  await next.vm["vm.delete"]({ vm: "other", force: true }, next.call());
  knowStep(world);
  const newer = await restart(world);
  expect(await statesOf(newer)).toEqual(["web running"]);
  await newer.vm["vm.delete"]({ ...ref, force: true }, newer.call());
  expect(world.leftovers()).toEqual([]);
});

test("of a start whose guest ended meanwhile: the daemon starts, the VM is told as left, and the newer banger tidies up", async () => {
  const { world, daemon } = await beginWithTwo();
  const { id } = await daemon.vm["vm.show"](ref, daemon.call());
  stopDaemons();
  world.machine(id).signal("KILL");
  addStep(world, "vm.start");
  const before = phasesOf(world, "vm.start");
  const next = await restart(world);
  expect(await statesOf(next)).toEqual(["other running", "web error"]);
  expect((await next.vm["vm.show"](ref, next.call())).lastError).toMatchObject(told);
  expect(phasesOf(world, "vm.start")).toEqual(before);
  knowStep(world);
  expect(await statesOf(await restart(world))).toEqual(["other running", "web stopped"]);
});

test("of a creation: its disk stays, and it is deleted by the banger that knows the step", async () => {
  const { world, daemon } = await beginWithTwo();
  await daemon.vm["vm.stop"]({ ...ref, force: false }, daemon.call());
  addStep(world, "vm.create");
  const before = phasesOf(world, "vm.create");
  const remove = ({ vm, call }: Daemon) => settled(vm["vm.delete"]({ ...ref, force: true }, call()));
  expect(await remove(daemon)).toMatchObject({ code });
  const next = await restart(world);
  expect(await statesOf(next)).toEqual(["other running", "web error"]);
  expect(phasesOf(world, "vm.create")).toEqual(before);
  expect(await next.audit()).toEqual([]);
  knowStep(world);
  const newer = await restart(world);
  expect(await remove(newer)).toBeNull();
  await newer.vm["vm.delete"]({ vm: "other", force: true }, newer.call());
  expect(world.leftovers()).toEqual([]);
});

test("of a creation that was cut short: the VM does not stay half made for ever, but says why it is left", async () => {
  const { world, daemon } = await beginWithTwo();
  await daemon.vm["vm.delete"]({ ...ref, force: true }, daemon.call());
  daemon.hooks.onBegin = (step) => {
    if (step !== "disk.clone") return;
    world.crash();
    throw new SimulatedCrash("in the creation");
  };
  await settled(daemon.vm["vm.create"](createInput("web"), daemon.call()));
  addStep(world, "vm.create");
  const next = await restart(world);
  expect(await statesOf(next)).toEqual(["other running", "web error"]);
  expect((await next.vm["vm.show"](ref, next.call())).lastError).toMatchObject(told);
  knowStep(world);
  expect(await statesOf(await restart(world))).toEqual(["other running"]);
});
