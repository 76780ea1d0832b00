// The model of the host keeps its own promises, or the crash matrix proves nothing.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { planVmPaths } from "../../src/core/paths.ts";
import { openGuestChannel } from "../../src/guest/channel.ts";
import type { Host } from "../../src/host/host.ts";
import { renderShimPlan } from "../../src/host/shim-plan.ts";
import { createNetwork, type NetPlace } from "../../src/net/network.ts";
import { BangerError } from "../../src/spec/errors.ts";
import { createFakeWorld, type FakeWorld } from "../fakes/fake-host.ts";

const VM = "0123456789ab";
const worlds: FakeWorld[] = [];
const newWorld = () => {
  const world = createFakeWorld();
  worlds.push(world);
  return world;
};
afterEach(() => {
  for (const world of worlds.splice(0)) world.close();
});

const place: NetPlace = {
  tap: "bgr-fakes-2",
  mac: "02:00:00:00:00:02",
  address: "10.77.5.2",
  subnet: "10.77.5.0/24",
  ownerUid: 1000,
};

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (cause) => cause,
  );
  return error instanceof BangerError ? error.code : (error?.name ?? "no error");
};

const launch = async (world: FakeWorld, host: Host = world.host()) => {
  const paths = planVmPaths(world.paths, VM);
  const control = `${paths.runtimeDir}/vmm`;
  const channel = `${paths.runtimeDir}/ch`;
  const argv = ["/fake/vmm", "--id", VM, "--control", control, "--channel", channel];
  await host.files.makeDir(paths.runtimeDir);
  await host.files.makeDir(paths.stateDir);
  await host.files.writeAtomic(
    paths.shimPlan,
    renderShimPlan({
      id: VM,
      dir: paths.runtimeDir,
      control: paths.shimControl,
      lock: paths.shimLock,
      console: paths.console,
      consolePrevious: null,
      consoleMaxBytes: 65_536,
      vmmLog: paths.vmmLog,
      vmmLogMaxBytes: 65_536,
      status: paths.shimStatus,
      restartsOnReboot: true,
      restartMax: 5,
      endsOnHalt: true,
      staleSockets: [],
      vmmPid: null,
      argv,
      restartArgv: null,
      env: {},
    }),
    0o600,
  );
  const identity = await host.processes.launchShim({
    vm: "hello",
    shimPath: "/fake/shim",
    planPath: paths.shimPlan,
    controlPath: paths.shimControl,
    statusPath: paths.shimStatus,
    vmmLogPath: paths.vmmLog,
    command: argv,
  });
  return { paths, control, channel, identity };
};

describe("faults", () => {
  test("the nth operation fails once, and what it would have done was not done", async () => {
    const world = newWorld();
    const { root } = world.host();
    world.failAt(2);
    const network = createNetwork({ root, instance: "fakes" });
    expect(await codeOf(network.addTap(place, "test"))).toBe("host.command_failed");
    expect(world.leftovers()).toEqual([]);
    await network.addTap(place, "test");
    expect(world.leftovers()).toEqual(["link bgr-fakes", "link bgr-fakes-2"]);
  });

  test("an operation that fails afterwards has had its effect", async () => {
    const world = newWorld();
    world.failAt("files.makeDir", { when: "after" });
    const path = `${world.paths.vmsDir}/${VM}`;
    expect(await codeOf(world.host().files.makeDir(path))).toBe("host.command_failed");
    expect(existsSync(path)).toBe(true);
  });

  test("a crashed daemon can do nothing more, and the next one can", async () => {
    const world = newWorld();
    const old = world.host();
    const store = world.guard({ write: () => "written" });
    world.crashAt("files.makeDir", "after");
    const path = `${world.paths.vmsDir}/${VM}`;
    expect(await codeOf(old.files.makeDir(path))).toBe("SimulatedCrash");
    expect(await codeOf(old.files.removeTree(path))).toBe("SimulatedCrash");
    expect(await codeOf(old.files.exists(path))).toBe("SimulatedCrash");
    expect(() => store.write()).toThrow("dead");
    const next = world.restartDaemon();
    expect(await codeOf(old.files.removeTree(path))).toBe("SimulatedCrash");
    expect(await next.files.exists(path)).toBe(true);
    await next.files.removeTree(path);
    expect(world.leftovers()).toEqual([]);
  });

  test("operations are named in the order they were asked", async () => {
    const world = newWorld();
    await createNetwork({ root: world.host().root, instance: "fakes" }).addTap(place, "test");
    expect(world.operations).toEqual(["root.sysctl.forward", "root.bridge.ensure", "root.tap.create"]);
  });
});

describe("machines", () => {
  test("a guest becomes ready over a real channel, answers, and powers off when asked", async () => {
    const world = newWorld();
    const { paths, control, channel, identity } = await launch(world);
    const { processes } = world.host();
    expect(await processes.prove(identity)).toBe("same");
    expect((await processes.readShimStatus(paths.shimStatus))?.state).toBe("running");
    const vmm = world.attach(control, "hello");
    expect(await vmm.identify()).toBe(VM);
    const guest = openGuestChannel({ kind: "stream-socket", path: channel }, { vm: "hello" });
    await vmm.boot(AbortSignal.timeout(1000));
    expect(await codeOf(vmm.boot(AbortSignal.timeout(1000)))).toBe("vmm.api_failed");
    expect((await guest.ready({ timeoutMs: 2000 })).bootId).not.toBe("");
    await guest.ping({ timeoutMs: 1000 });
    const shim = processes.connectShim({ path: paths.shimControl, vm: "hello" });
    const exit = shim.untilExit();
    await guest.shutdown("poweroff", { timeoutMs: 1000 });
    expect((await exit).cause).toBe("poweroff");
    guest.close();
    expect(await processes.prove(identity)).toBe("gone");
    expect((await processes.readShimStatus(paths.shimStatus))?.cause).toBe("poweroff");
    expect(await codeOf(shim.hello())).toBe("vmm.shim_lost");
  });

  test("a machine outlives its daemon, and the next daemon reaches shim and guest", async () => {
    const world = newWorld();
    const { paths, control, channel, identity } = await launch(world);
    await world.attach(control, "hello").boot(AbortSignal.timeout(1000));
    const before = openGuestChannel({ kind: "stream-socket", path: channel }, { vm: "hello" });
    await before.ready({ timeoutMs: 2000 });
    before.close();
    world.crash();
    const { processes } = world.restartDaemon();
    expect(await processes.prove(identity)).toBe("same");
    expect(await processes.connectShim({ path: paths.shimControl, vm: "hello" }).hello()).toEqual(identity);
    const after = openGuestChannel({ kind: "stream-socket", path: channel }, { vm: "hello" });
    expect((await after.ready({ timeoutMs: 2000 })).sshd).toBe("early");
    after.close();
  });

  test("a reboot starts the VMM again under the same shim, unless that was prevented", async () => {
    const world = newWorld();
    const { paths, control } = await launch(world);
    const { processes } = world.host();
    await world.attach(control, "hello").boot(AbortSignal.timeout(1000));
    const shim = processes.connectShim({ path: paths.shimControl, vm: "hello" });
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of shim.watch()) {
        seen.push(event.type === "started" ? `started ${event.starts}` : event.type);
        if (seen.length === 3) {
          await shim.preventRestart();
          world.machine(VM).reboot();
        }
      }
    })();
    world.machine(VM).reboot();
    await watching;
    expect(seen).toEqual(["started 1", "ended", "started 2", "ended", "exit"]);
  });

  test("a guest that ignores everything still ends by SIGKILL", async () => {
    const world = newWorld();
    world.behave({ agent: "ignores", button: "ignores", term: "ignores" });
    const { paths, control } = await launch(world);
    const { processes } = world.host();
    await world.attach(control, "hello").askToStop();
    const shim = processes.connectShim({ path: paths.shimControl, vm: "hello" });
    await shim.signal("TERM");
    expect(world.machine(VM).isRunning).toBe(true);
    const exit = shim.untilExit();
    await shim.signal("KILL");
    expect(await exit).toEqual({ cause: "killed", code: null, signal: 9 });
  });

  test("a machine's reboot ends all processes and links and keeps the files", async () => {
    const world = newWorld();
    const { paths, identity } = await launch(world);
    await createNetwork({ root: world.host().root, instance: "fakes" }).addTap(place, "test");
    const host = world.rebootMachine();
    expect(await host.processes.prove(identity)).toBe("gone");
    expect(world.leftovers({ keptVms: [VM] })).toEqual([]);
    expect(existsSync(paths.shimStatus)).toBe(true);
  });

  test("a VMM without its tap, and a second shim for one VM, end at once", async () => {
    const world = newWorld();
    await launch(world);
    expect(await codeOf(launch(world))).toBe("vmm.exited_early");
    world.behave({ launch: "exits-early" });
    world.machine(VM).killShim();
    expect(await codeOf(launch(world))).toBe("vmm.exited_early");
  });
});
