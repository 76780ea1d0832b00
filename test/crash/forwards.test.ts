// A VM with kept forwards on the modelled host, its daemon killed around their step: what is published is what the record says.
import { afterEach, expect, test } from "bun:test";
import { untilOver } from "../../src/daemon/until-over.ts";
import type { GuestPort } from "../../src/spec/ports.ts";
import { SimulatedCrash } from "../fakes/fake-host.ts";
import { createInput, type Daemon } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

const { begin: beginBare, restart, close } = createWorlds();
afterEach(close);

const begin = async () => {
  const { world, daemon } = await beginBare();
  await daemon.vm["vm.create"](createInput("web"), daemon.call());
  await keep(daemon, "8080:80");
  return { world, daemon };
};

const keep = (daemon: Daemon, forward: string) =>
  daemon.vm["vm.forward"]({ vm: "web", forward, keep: true, remove: [], list: false }, daemon.call() as never);
const list = async (daemon: Daemon) =>
  (await daemon.vm["vm.forward"]({ vm: "web", keep: false, remove: [], list: true }, daemon.call() as never)).forwards;
const start = (daemon: Daemon) => daemon.vm["vm.start"]({ vm: "web", wait: true }, daemon.call());
const remove = (daemon: Daemon) => daemon.vm["vm.delete"]({ vm: "web", force: true }, daemon.call());

for (const when of ["onBegin", "onRan"] as const)
  test(`killed at ${when} of ports.publish: nothing is published, and the next start publishes it`, async () => {
    const { world, daemon } = await begin();
    daemon.hooks[when] = (step) => {
      if (step !== "ports.publish") return;
      world.crash();
      throw new SimulatedCrash(when);
    };
    await start(daemon).catch(() => {});
    expect(world.isCrashed).toBe(true);
    const next = await restart(world);
    expect(world.leftovers({ keptVms: [(await next.vm["vm.show"]({ vm: "web" }, next.call())).id] })).toEqual([]);
    expect(await list(next)).toMatchObject([{ hostPort: 8080, state: "waiting" }]);
    await start(next);
    expect(await list(next)).toMatchObject([{ hostPort: 8080, state: "published" }]);
    await remove(next);
    expect(world.leftovers()).toEqual([]);
  });

test("the next daemon finds the proxy of a running VM and goes on; what was lent by a command is taken back", async () => {
  const { world, daemon } = await begin();
  await start(daemon);
  const lent = daemon.vm["vm.forward"](
    { vm: "web", forward: "9000:90", keep: false, remove: [], list: false },
    daemon.call() as never,
  );
  lent.catch(() => {});
  while ((await list(daemon)).length < 2) await new Promise((resolve) => setImmediate(resolve));
  world.crash();
  const next = await restart(world);
  expect(await list(next)).toMatchObject([{ hostPort: 8080, state: "published" }]);
  await remove(next);
  expect(world.leftovers()).toEqual([]);
});

const heard = (port: number): GuestPort => ({
  protocol: "tcp",
  address: "0.0.0.0",
  port,
  scope: "any",
  pid: null,
  process: null,
});

test("in a namespace what a guest says that listens is open here; the next daemon keeps it until the guest has spoken", async () => {
  const { world, daemon } = await beginBare();
  const { id } = await daemon.vm["vm.create"]({ ...createInput("web"), network: "namespace" }, daemon.call());
  await start(daemon);
  const says = async ({ context }: Daemon, told: readonly GuestPort[]) => {
    const live = context.live.get(id);
    if (live) context.live.set(id, { ...live, ports: { current: () => told, note: () => {} } });
    await context.ports.renew(id);
  };
  await says(daemon, [heard(22), heard(3000)]);
  const { addresses } = await daemon.vm["vm.show"]({ vm: "web" }, daemon.call());
  const address = addresses.find(({ side }) => side === "host")?.address ?? "";
  expect(address).toMatch(/^127\./);
  expect(daemon.context.ports.published(id)).toEqual([
    { address, port: 22 },
    { address, port: 3000 },
  ]);
  // A forward of the same socket is what was asked for, and takes its place.
  await keep(daemon, `${address}:3000:80`);
  expect(await list(daemon)).toMatchObject([{ address, hostPort: 3000, guestPort: 80, state: "published" }]);
  await daemon.vm["vm.forward"]({ vm: "web", keep: false, remove: ["3000"], list: false }, daemon.call() as never);
  world.crash();
  const next = await restart(world);
  expect(next.context.ports.published(id)).toContainEqual({ address, port: 3000 });
  await says(next, [heard(22)]);
  expect(next.context.ports.published(id)).toEqual([{ address, port: 22 }]);
  await remove(next);
  expect(world.leftovers()).toEqual([]);
});

test("two VMs cannot have the same port: the second is told who has it, and which is free", async () => {
  const { daemon } = await begin();
  await daemon.vm["vm.create"](createInput("db"), daemon.call());
  const refused = await daemon.vm["vm.forward"](
    { vm: "db", forward: "8080:80", keep: true, remove: [], list: false },
    daemon.call() as never,
  ).catch((error) => error);
  expect(refused).toMatchObject({ code: "port.taken", fix: "banger vm forward db 8081:80" });
  expect(String(refused.message)).toContain("the VM web");
});

test("a forward that is lent is refused where the VM has ended while that was begun, and so is any wait for its end", async () => {
  const { daemon } = await begin();
  await start(daemon);
  const { context, vm, call } = daemon;
  const [record] = context.store.vms.all();
  if (!record) throw new Error("there is a VM");
  const { renew } = context.ports;
  // Between the look at the record and the wait for the end.
  context.ports.renew = async (id) => {
    context.ports.renew = renew;
    await vm["vm.stop"]({ vm: "web", force: true }, call());
    await renew(id);
  };
  const told: unknown[] = [];
  const given = { ...call(), emit: (event: unknown) => void told.push(event) } as never;
  const lent = vm["vm.forward"]({ vm: "web", forward: "8081:81", keep: false, remove: [], list: false }, given);
  await expect(lent).rejects.toMatchObject({ code: "vm.wrong_state", data: { verb: "forward to" } });
  expect(told).toEqual([]);
  const { signal } = new AbortController();
  await expect(untilOver(context, record, { verb: "watch", signal })).rejects.toMatchObject({ code: "vm.wrong_state" });
  await remove(daemon);
});

test("whoever watches the ports hears last what is true last, however long each look takes", async () => {
  const { daemon } = await begin();
  await start(daemon);
  const { context, vm, call } = daemon;
  const [record] = context.store.vms.all();
  const live = record && context.live.get(record.id);
  if (!record || !live) throw new Error("there is a VM");
  const { ready } = live.channel;
  const channel: typeof live.channel = {
    ...live.channel,
    ready: async (wish) => ({ ...(await ready(wish)), abilities: ["listen"] }),
  };
  const says = (port: number) => {
    const ports = { current: () => [heard(port)], note: () => {} };
    context.live.set(record.id, { ...live, channel, ports });
  };
  const slow = Promise.withResolvers<void>();
  context.hostListeners = async (ports) => {
    if (ports?.has(2000)) await slow.promise;
    return [];
  };
  const told: number[] = [];
  const emit = ({ ports }: { ports: { port: number }[] }) => void told.push(...ports.map(({ port }) => port));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const leave = new AbortController();
  says(1000);
  const watching = vm["vm.ports"]({ vm: "web", watch: true }, { ...call(leave.signal), emit } as never);
  while (told.length < 1) await turn();
  for (const port of [2000, 3000]) {
    says(port);
    context.bus.publish({ type: "vm.changed", vm: "web", id: record.id, fields: ["ports"] });
    for (let count = 0; count < 20; count += 1) await turn();
  }
  slow.resolve();
  while (told.length < 3) await turn();
  expect(told).toEqual([1000, 2000, 3000]);
  leave.abort();
  expect(await watching).toMatchObject({ ports: [{ port: 3000 }] });
  context.live.set(record.id, live);
  await remove(daemon);
});
