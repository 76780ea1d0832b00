// The crash matrix: every operation, killed or failing at each of its steps, on the modelled host; then a new daemon on the same files.
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync } from "node:fs";
import { isTransitional } from "../../src/core/vm-state.ts";
import { imageHandlers } from "../../src/daemon/handlers/image.ts";
import { type FakeWorld, SimulatedCrash } from "../fakes/fake-host.ts";
import { createInput, type Daemon } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

type OperationName = "create" | "start" | "stop" | "kill" | "delete";

const { begin, restart, serve, stopDaemons, close } = createWorlds();
afterEach(close);

const NAME = "web";
const ref = { vm: NAME };

/** Brings the world to where an operation can begin, and does it. */
const operations: Record<
  OperationName,
  { prepare: (daemon: Daemon) => Promise<unknown>; act: (daemon: Daemon) => Promise<unknown> }
> = {
  create: {
    prepare: async () => {},
    act: ({ vm, call }) => vm["vm.create"]({ ...createInput(NAME), start: true }, call()),
  },
  start: {
    prepare: ({ vm, call }) => vm["vm.create"](createInput(NAME), call()),
    act: ({ vm, call }) => vm["vm.start"]({ ...ref, wait: true }, call()),
  },
  stop: {
    prepare: ({ vm, call }) => vm["vm.create"]({ ...createInput(NAME), start: true }, call()),
    act: ({ vm, call }) => vm["vm.stop"]({ ...ref, force: false }, call()),
  },
  kill: {
    prepare: ({ vm, call }) => vm["vm.create"]({ ...createInput(NAME), start: true }, call()),
    act: ({ vm, call }) => vm["vm.kill"](ref, call()),
  },
  delete: {
    prepare: ({ vm, call }) => vm["vm.create"]({ ...createInput(NAME), start: true }, call()),
    act: ({ vm, call }) => vm["vm.delete"]({ ...ref, force: true }, call()),
  },
};

/** The steps an operation goes through, learnt from one run that nothing disturbs: a new step is covered the moment it exists. */
const learnSteps = async (name: OperationName, isJailed: boolean): Promise<{ begun: string[]; undone: string[] }> => {
  const { daemon } = await begin({ isJailed });
  const begun: string[] = [];
  const undone: string[] = [];
  await operations[name].prepare(daemon);
  daemon.hooks.onBegin = (step) => void begun.push(step);
  daemon.hooks.onUndone = (step) => void undone.push(step);
  await operations[name].act(daemon);
  return { begun, undone };
};

/** What must hold whatever happened: nothing in between, nothing left over, and the name can be used at once. */
const expectSound = async (world: FakeWorld, daemon: Daemon): Promise<void> => {
  const vms = await daemon.vm["vm.list"]({ label: {} }, daemon.call());
  for (const { state } of vms) expect(isTransitional(state)).toBe(false);
  expect(vms.every(({ state }) => state === "running" || state === "stopped")).toBe(true);
  expect(await daemon.audit()).toEqual([]);
  const [vm] = vms;
  if (vm?.state !== "running") expect(world.leftovers({ keptVms: vm ? [vm.id] : [] })).toEqual([]);
  if (!vm) await daemon.vm["vm.create"]({ ...createInput(NAME), start: true }, daemon.call());
  else if (vm.state === "stopped") await daemon.vm["vm.start"]({ ...ref, wait: true }, daemon.call());
  await daemon.vm["vm.delete"]({ ...ref, force: true }, daemon.call());
  expect(world.leftovers()).toEqual([]);
  expect(await daemon.audit()).toEqual([]);
};

const settled = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

/** What all operations have in common is tried once; the jail's own steps again, as part of each that has them. */
const cases = [false, true].flatMap((isJailed) =>
  (Object.keys(operations) as OperationName[]).map((name) => ({ name, isJailed })),
);

for (const { name, isJailed } of cases) {
  describe(`${name}${isJailed ? " of a VM in a jail" : ""}, disturbed at each step`, async () => {
    const learnt = await learnSteps(name, isJailed);
    const isTried = (step: string) => !isJailed || /^(jail|vmm)\./.test(step);
    const begun = learnt.begun.filter(isTried);
    const undone = learnt.undone.filter(isTried);

    test("has steps to be disturbed at", () => {
      expect(learnt.begun.length + learnt.undone.length).toBeGreaterThan(3);
      expect([...begun, ...undone].some((step) => step.startsWith("jail."))).toBe(isJailed);
    });

    for (const step of new Set(begun)) {
      test(`killed after the journal has ${step}: nothing is left, and the name is free`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        daemon.hooks.onBegin = (at) => {
          if (at !== step) return;
          world.crash();
          throw new SimulatedCrash(`after begin of ${step}`);
        };
        expect(await settled(operations[name].act(daemon))).toBeInstanceOf(SimulatedCrash);
        await expectSound(world, await restart(world));
      });

      test(`killed when ${step} has taken effect: nothing is left, and the name is free`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        daemon.hooks.onRan = (at) => {
          if (at !== step) return;
          world.crash();
          throw new SimulatedCrash(`after run of ${step}`);
        };
        expect(await settled(operations[name].act(daemon))).toBeInstanceOf(SimulatedCrash);
        await expectSound(world, await restart(world));
      });

      test(`failing in ${step}: it is undone at once, with the cause in the answer`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        daemon.hooks.onBegin = (at) => {
          if (at === step) throw new Error(`made to fail in ${step}`);
        };
        expect(String(await settled(operations[name].act(daemon)))).toContain(`made to fail in ${step}`);
        daemon.hooks.onBegin = undefined;
        await expectSound(world, daemon);
      });

      test(`failing in the host while ${step} runs, and once more while that is undone: the next daemon finishes it`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        daemon.hooks.onBegin = (at) => {
          if (at === step) world.failAt(1, { times: 2 });
        };
        daemon.hooks.onDone = (at) => {
          if (at === step) world.clearFaults();
        };
        await settled(operations[name].act(daemon));
        await expectSound(world, await restart(world));
      });
    }

    for (const step of new Set(undone)) {
      test(`killed when ${step} was undone but that is not written: the next daemon finishes it`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        daemon.hooks.onUndone = (at) => {
          if (at !== step) return;
          world.crash();
          throw new SimulatedCrash(`after undo of ${step}`);
        };
        expect(await settled(operations[name].act(daemon))).toBeInstanceOf(SimulatedCrash);
        await expectSound(world, await restart(world));
      });

      test(`failing once while ${step} is undone: it is named, stays open, and the next daemon undoes it`, async () => {
        const { world, daemon } = await begin({ isJailed });
        await operations[name].prepare(daemon);
        let isFirst = true;
        daemon.hooks.onUndone = (at) => {
          if (at !== step || !isFirst) return;
          isFirst = false;
          throw new Error(`made to fail in the undo of ${step}`);
        };
        expect(String(await settled(operations[name].act(daemon)))).toContain(step);
        const [vm] = await daemon.vm["vm.list"]({ label: {} }, daemon.call());
        expect(vm?.state).toBe("error");
        expect(await daemon.audit()).not.toEqual([]);
        await expectSound(world, await restart(world));
      });
    }
  });
}

describe("a VM ends in the moment in which its start is done", () => {
  for (const [how, end] of [
    ["its shim is killed", "killShim"],
    ["the guest powers off", "powerOff"],
  ] as const)
    test(`${how}: it is stopped, says so, and starts again`, async () => {
      const { world, daemon } = await begin();
      await operations.start.prepare(daemon);
      const [made] = await daemon.vm["vm.list"]({ label: {} }, daemon.call());
      const isStopped = new Promise<void>((resolve) =>
        daemon.context.bus.subscribe(({ event }) => {
          if (event.type === "vm.state" && event.state === "stopped") resolve();
        }),
      );
      daemon.hooks.onDone = (step) => {
        if (step !== "ports.publish") return;
        daemon.hooks.onDone = () => {};
        world.machine(made?.id ?? "")[end]();
      };
      await settled(operations.start.act(daemon));
      await isStopped;
      const vm = await daemon.vm["vm.show"](ref, daemon.call());
      expect(vm).toMatchObject({ state: "stopped", lastEnd: { cause: end === "killShim" ? "killed" : "poweroff" } });
      await expectSound(world, daemon);
    });
});

test("a VM that can be neither started nor deleted again keeps its record, and its maker hears why it did not start", async () => {
  const { world, daemon } = await begin();
  world.behave({ launch: "exits-early" });
  daemon.hooks.onUndone = (step) => {
    if (step === "disk.clone") throw new Error("made to fail in the undo");
  };
  expect(await settled(operations.create.act(daemon))).toMatchObject({ code: "vmm.exited_early" });
  const vm = await daemon.vm["vm.show"](ref, daemon.call());
  expect(vm).toMatchObject({ state: "error", lastError: { message: expect.stringContaining("disk.clone") } });
  daemon.hooks.onUndone = () => {};
  await daemon.vm["vm.delete"]({ ...ref, force: true }, daemon.call());
  expect(world.leftovers()).toEqual([]);
});

describe("the host goes down under a running VM", () => {
  test("after its reboot the VM is stopped, says so, and starts again", async () => {
    const { world, daemon } = await begin();
    await operations.stop.prepare(daemon);
    stopDaemons();
    world.rebootMachine();
    const next = await serve(world);
    const vm = await next.vm["vm.show"](ref, next.call());
    expect(vm.state).toBe("stopped");
    expect(vm.lastEnd?.cause).toBe("host_reboot");
    await expectSound(world, next);
  });
});

describe("the daemon is killed while a VM runs", () => {
  test("the next one adopts the same process", async () => {
    const { world, daemon } = await begin();
    await operations.stop.prepare(daemon);
    const before = await daemon.vm["vm.show"](ref, daemon.call());
    world.crash();
    const next = await restart(world);
    const after = await next.vm["vm.show"](ref, next.call());
    expect(after).toMatchObject({ state: "running", pid: before.pid });
    await expectSound(world, next);
  });
});

describe("a plan that was stored cannot be read by the next daemon", () => {
  const spoil = (world: FakeWorld, kind: string, change: string): void => {
    const database = new Database(world.paths.database);
    database.run(
      `UPDATE operations SET ${change} WHERE kind = '${kind}' AND subject = (SELECT id FROM vms WHERE name = '${NAME}')`,
    );
    database.close();
  };
  const newer = "plan_version = 2, plan = json_set(plan, '$.version', 2)";

  const beginWithTwo = async () => {
    const { world, daemon } = await begin();
    await operations.stop.prepare(daemon);
    await daemon.vm["vm.create"]({ ...createInput("other"), start: true }, daemon.call());
    world.crash();
    return world;
  };

  for (const { what, kind, change, code } of [
    { what: "of a start, by a newer banger", kind: "vm.start", change: newer, code: "store.newer_document" },
    { what: "of a start, damaged", kind: "vm.start", change: "plan = '{\"version\":1}'", code: "store.corrupt" },
  ])
    test(`${what}: the daemon runs on, the others are adopted, and the VM says why it is left alone`, async () => {
      const world = await beginWithTwo();
      spoil(world, kind, change);
      const next = await restart(world);
      const vms = await next.vm["vm.list"]({ label: {} }, next.call());
      expect(vms.map(({ name, state }) => `${name} ${state}`).sort()).toEqual(["other running", `${NAME} error`]);
      const left = await next.vm["vm.show"](ref, next.call());
      expect(left.lastError).toMatchObject({ code, message: expect.stringContaining(NAME), fix: expect.any(String) });
      for (const again of ["kill", "delete"] as const) {
        expect(await settled(operations[again].act(next))).toMatchObject({ code });
        expect((await next.vm["vm.show"](ref, next.call())).state).toBe("error");
      }
      // Its tap and its rules stay where the plan still names them.
      if (change === newer) expect(await next.audit()).toEqual([]);
    });

  test("of a start, by a newer banger, which comes back: it adopts the same process", async () => {
    const world = await beginWithTwo();
    spoil(world, "vm.start", newer);
    const older = await restart(world);
    const left = await older.vm["vm.show"](ref, older.call());
    expect([left.state, world.machine(left.id).isRunning]).toEqual(["error", true]);
    spoil(world, "vm.start", "plan_version = 1, plan = json_set(plan, '$.version', 1)");
    const next = await restart(world);
    const found = await next.vm["vm.show"](ref, next.call());
    expect(found).toMatchObject({ state: "running", lastError: null, pid: left.pid });
    await next.vm["vm.delete"]({ vm: "other", force: true }, next.call());
    await expectSound(world, next);
  });

  test("of its creation: it runs on, and is not half deleted", async () => {
    const world = await beginWithTwo();
    spoil(world, "vm.create", newer);
    const next = await restart(world);
    expect(await settled(operations.delete.act(next))).toMatchObject({ code: "store.newer_document" });
    expect((await next.vm["vm.show"](ref, next.call())).state).toBe("running");
  });
});

describe("a record of a VM cannot be read by the next daemon", () => {
  const setVersion = (world: FakeWorld, version: number): void => {
    const database = new Database(world.paths.database);
    database.run(`UPDATE vms SET spec = json_set(spec, '$.version', ${version}) WHERE name = '${NAME}'`);
    database.close();
  };

  test("it runs on: its rules and files stay, nothing of it counts as left over, and its kernel is not pruned", async () => {
    const { world, daemon } = await begin();
    await operations.stop.prepare(daemon);
    await daemon.vm["vm.create"]({ ...createInput("other"), start: true }, daemon.call());
    const { id } = await daemon.vm["vm.show"](ref, daemon.call());
    const membersNow = () =>
      world.network.tables
        .values()
        .toArray()
        .map(({ members }) => members.length);
    expect(membersNow()).toEqual([2]);
    world.crash();
    setVersion(world, 2);
    const next = await restart(world);
    expect((await next.vm["vm.list"]({ label: {} }, next.call())).map(({ name }) => name)).toEqual(["other"]);
    expect(membersNow()).toEqual([2]);
    expect(await next.audit()).toEqual([expect.stringContaining(`damaged record of ${NAME}`)]);
    await next.vm["vm.delete"]({ vm: "other", force: true }, next.call());
    const images = imageHandlers(next.context);
    await images["image.delete"]({ image: "debian-13" }, next.call() as never);
    expect((await images["image.prune"]({ dryRun: false }, next.call() as never)).removed).toEqual([]);
    expect(membersNow()).toEqual([1]);
    setVersion(world, 1);
    const newer = await restart(world);
    expect(await newer.vm["vm.show"](ref, newer.call())).toMatchObject({ id, state: "running" });
  });
});

describe("a plan of a creation cannot be read where it is needed to go on", () => {
  const spoil = (world: FakeWorld): void => {
    const database = new Database(world.paths.database);
    database.run(
      "UPDATE operations SET plan_version = 2, plan = json_set(plan, '$.version', 2) WHERE kind = 'vm.create'",
    );
    database.close();
  };
  const expectLeft = async (daemon: Daemon): Promise<void> => {
    const { state, lastError } = await daemon.vm["vm.show"](ref, daemon.call());
    expect([state, lastError?.code]).toEqual(["error", "store.newer_document"]);
  };

  test("to undo one that was cut short: the VM says why it is left, instead of being made for ever", async () => {
    const { world, daemon } = await begin();
    daemon.hooks.onBegin = (step) => {
      if (step !== "disk.clone") return;
      world.crash();
      throw new SimulatedCrash("in the creation");
    };
    await settled(operations.create.act(daemon));
    spoil(world);
    await expectLeft(await restart(world));
  });

  test("to finish a deletion: the VM says why it is left, instead of being deleted for ever", async () => {
    const { world, daemon } = await begin();
    await operations.delete.prepare(daemon);
    daemon.hooks.onUndone = (step) => {
      if (step !== "disk.clone") return;
      world.crash();
      throw new SimulatedCrash("in the deletion");
    };
    await settled(operations.delete.act(daemon));
    spoil(world);
    await expectLeft(await restart(world));
  });
});

describe("while a VM is made, and has not entered the records yet", () => {
  /** As long as the answer has not come, its image and its kernel are chosen and nobody has them. */
  const beginCreating = async () => {
    const { world, daemon } = await begin();
    const { context } = daemon;
    const { chooseVmm } = context;
    const isAsked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    context.chooseVmm = async (wish) => {
      isAsked.resolve();
      await answer.promise;
      return chooseVmm(wish);
    };
    const creating = daemon.vm["vm.create"](createInput(NAME), daemon.call());
    await isAsked.promise;
    return { world, daemon, creating, answer: answer.resolve, images: imageHandlers(context) };
  };
  const turns = async () => {
    for (let count = 0; count < 50; count += 1) await new Promise((resolve) => setImmediate(resolve));
  };

  test("its image is not deleted: that is refused once the VM is there", async () => {
    const { daemon, creating, answer, images } = await beginCreating();
    const deleting = settled(images["image.delete"]({ image: "debian-13" }, daemon.call() as never));
    await turns();
    answer();
    expect((await creating).name).toBe(NAME);
    expect(await deleting).toMatchObject({ code: "image.in_use" });
  });

  test("its kernel is not pruned", async () => {
    const { world, daemon, creating, answer, images } = await beginCreating();
    const { store } = daemon.context;
    const [image] = store.images.all();
    const [kernel] = store.kernels.all();
    if (!image || !kernel) throw new Error("there is an image");
    // A kernel that was the image's when the VM chose it.
    const dir = `${world.paths.kernelsDir}/aaaaaaaaaaaaaaaa`;
    mkdirSync(dir);
    store.kernels.insert({ ...kernel, id: "aaaaaaaaaaaaaaaa", dir });
    store.images.remove(image.id);
    store.images.insert({ ...image, kernelId: "aaaaaaaaaaaaaaaa" });
    const pruning = images["image.prune"]({ dryRun: false }, daemon.call() as never);
    await turns();
    answer();
    await creating;
    expect(await pruning).toMatchObject({ removed: [] });
    expect(existsSync(kernel.dir)).toBe(true);
  });
});
