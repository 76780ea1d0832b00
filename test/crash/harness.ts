// A daemon on the modelled machine: the real operations, store and channel over FakeHost; it can be killed and started again.
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { audit } from "../../src/daemon/audit.ts";
import { createEventBus } from "../../src/daemon/bus.ts";
import { createClockKeeper } from "../../src/daemon/clocks.ts";
import { openConfig } from "../../src/daemon/config-file.ts";
import type { Context } from "../../src/daemon/context.ts";
import { recoverDerivations } from "../../src/daemon/derive.ts";
import { accessHandlers } from "../../src/daemon/handlers/access.ts";
import { portHandlers } from "../../src/daemon/handlers/ports.ts";
import { vmHandlers } from "../../src/daemon/handlers/vm.ts";
import { createLoopbackKeeper } from "../../src/daemon/loopback.ts";
import { onGuestEnd } from "../../src/daemon/operate.ts";
import { createPortKeeper } from "../../src/daemon/publish.ts";
import { recover } from "../../src/daemon/recover.ts";
import { createSubnetKeeper } from "../../src/daemon/subnet.ts";
import { createKeyedLock } from "../../src/engine/lock.ts";
import type { Journal } from "../../src/engine/step.ts";
import { openGuestChannel } from "../../src/guest/channel.ts";
import { createImageService } from "../../src/image/images.ts";
import { createNetwork } from "../../src/net/network.ts";
import { joinNetworks } from "../../src/net/networks.ts";
import type { Call } from "../../src/spec/rpc/contract.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { createFakeWorld, type FakeWorld } from "../fakes/fake-host.ts";
import { createFakeDriver } from "../fakes/fake-host-driver.ts";

export const IMAGE_ID = "0123456789ab";
const KERNEL_ID = "fedcba9876543210";

/** What a test does when a step is begun, done or about to be undone. */
export type Hooks = {
  onBegin?: ((step: string) => void) | undefined;
  /** After the step's effect, before its end is written. */
  onRan?: (step: string) => void;
  onDone?: (step: string) => void;
  /** After its undoing, before that is written. */
  onUndone?: (step: string) => void;
};

export type Daemon = {
  context: Context;
  vm: ReturnType<typeof vmHandlers> & ReturnType<typeof accessHandlers> & ReturnType<typeof portHandlers>;
  /** What a handler is called with; all methods on VMs take the same. */
  call: (signal?: AbortSignal) => Call<"vm.create"> & Call<"vm.start"> & Call<"vm.stop"> & Call<"vm.list">;
  hooks: Hooks;
  /** Findings of `banger audit`. */
  audit(): Promise<string[]>;
  stop(): void;
};

/** The machine with one small image on it, as `image build` leaves it. */
export const makeWorld = (options: { isJailed?: boolean } = {}): FakeWorld => {
  const world = createFakeWorld();
  if (options.isJailed) {
    mkdirSync(dirname(world.paths.configFile), { recursive: true });
    writeFileSync(world.paths.configFile, "version = 1\n[vmm]\njail = true\n");
  }
  const imageDir = `${world.paths.imagesDir}/${IMAGE_ID}`;
  const kernelDir = `${world.paths.kernelsDir}/${KERNEL_ID}`;
  for (const directory of [imageDir, kernelDir]) mkdirSync(directory, { recursive: true });
  writeFileSync(`${imageDir}/rootfs.ext4`, "an image");
  truncateSync(`${imageDir}/rootfs.ext4`, 4 * 1024 * 1024);
  writeFileSync(`${kernelDir}/vmlinux`, "a kernel");
  writeFileSync(`${world.dir}/banger-shim`, "a shim");
  writeFileSync(`${world.dir}/banger-proxy`, "a proxy");
  const store = openStore({ path: world.paths.database });
  const createdAt = new Date(0).toISOString();
  store.kernels.insert({ id: KERNEL_ID, dir: kernelDir, release: "6.0", cmdline: [], createdAt });
  store.images.insert({
    id: IMAGE_ID,
    name: "debian-13",
    aliases: ["debian"],
    dir: imageDir,
    sizeMiB: 4,
    usedMiB: 1,
    kernelId: KERNEL_ID,
    helperVersion: "0.1.0",
    createdAt,
    origin: { how: "built", details: {} },
  });
  store.close();
  return world;
};

const hooked = (journal: Journal, hooks: Hooks): Journal => ({
  begin: (step) => {
    journal.begin(step);
    hooks.onBegin?.(step);
  },
  done: (step, ms) => {
    hooks.onRan?.(step);
    journal.done(step, ms);
    hooks.onDone?.(step);
  },
  undone: (step) => {
    hooks.onUndone?.(step);
    journal.undone(step);
  },
  undoFailed: (step, detail) => journal.undoFailed(step, detail),
  standing: () => journal.standing(),
});

const quiet = { info: () => {}, warn: () => {}, error: () => {} };

/** A daemon that has recovered what it found. */
export const startDaemon = async (world: FakeWorld): Promise<Daemon> => {
  const host = world.host();
  const { paths } = world;
  const hooks: Hooks = {};
  const real = openStore({ path: paths.database });
  const store: Store = world.guard({
    ...real,
    journal: { ...real.journal, journalFor: (id: number) => hooked(real.journal.journalFor(id), hooks) },
  });
  const driver = createFakeDriver(world);
  const config = await openConfig({ path: paths.configFile, files: host.files, environment: {} });
  const native = {
    shim: `${world.dir}/banger-shim`,
    proxy: `${world.dir}/banger-proxy`,
    jail: "/fake/jail",
    holder: "/fake/holder",
    dnsFront: "/fake/dns-front",
    tsc: "/fake/tsc",
    guestHelpers: "/fake/guest",
    imageScripts: "/fake",
  };
  const randomHex = (digits: number) =>
    Buffer.from(crypto.getRandomValues(new Uint8Array(digits)))
      .toString("hex")
      .slice(0, digits);
  const images = createImageService({
    store,
    host,
    paths,
    native,
    version: "0.1.0",
    now: () => new Date(),
    clock: () => performance.now(),
    randomHex,
  });
  const names = new Set<string>();
  const network = createNetwork({ root: host.root, instance: paths.instance });
  const { uid } = await host.facts();
  // In a namespace the user is root; the modelled machine has one network, where he is who he is.
  const inside: typeof network = { ...network, addTap: (place, by) => network.addTap({ ...place, ownerUid: uid }, by) };
  const parts: Omit<Context, "ports"> = {
    paths,
    version: "0.1.0",
    build: "test",
    executable: "/fake/banger",
    startedAt: new Date(),
    store,
    host,
    shims: {
      launch: host.processes.launchShim,
      connect: host.processes.connectShim,
      readStatus: host.processes.readShimStatus,
    },
    openChannel: (address, { vm }) => openGuestChannel(address, { vm, version: "0.1.0" }),
    network: joinNetworks({
      networks: { bridge: network, namespace: inside },
      isUsed: (mode) => (mode === "bridge" ? "needed" : "no"),
    }),
    namespace: {
      find: async () => false,
      enterArgv: () => [],
      connectArgv: () => [],
      carryArgv: () => [],
      connect: async () => null,
      reach: async () => true,
      state: () => null,
    },
    chooseNetwork: async () => ({ mode: "bridge", reason: "a model" }),
    subnet: createSubnetKeeper({ instance: paths.instance, store, config: config.current }),
    loopback: createLoopbackKeeper({ instance: paths.instance, store, listening: async () => [] }),
    names: {
      publish: (plan) => void names.add(plan.vm.name),
      withdraw: (plan) => void names.delete(plan.vm.name),
      serveGuests: async () => {},
      dismissGuests: async () => {},
      status: () => ({
        zone: "vm",
        address: "127.0.0.1",
        port: null,
        isPreferredPort: false,
        udpError: null,
        tcpError: null,
        records: names.size,
        queries: 0,
        failed: 0,
      }),
      isWired: () => false,
      details: () => ({ zone: "vm", serial: 1, listeners: [], upstreams: [] }),
      records: () => [],
      ask: async () => null,
      close: async () => {},
    },
    clocks: createClockKeeper({ asleepMs: () => 0, context: () => context }),
    images,
    drivers: { firecracker: driver, qemu: driver },
    settleVmms: async () => {},
    chooseVmm: async () => ({
      driver,
      binary: { path: "/fake/vmm", version: "1.0", firmwareDir: null },
      accelerator: "tcg",
      tscKhz: null,
      reason: "a model",
    }),
    findJail: async () => ({ argv: ["/fake/jail"], jailer: "/fake/jailer" }),
    vmmReason: () => "a model",
    doctor: { check: async () => [], preflight: async () => {} },
    native,
    config: config.current,
    bus: createEventBus((event) => store.events.append(event)),
    log: quiet,
    locks: createKeyedLock(),
    live: new Map(),
    onGuestEnd: (id, cause) => void onGuestEnd(context, id, cause).catch(() => {}),
    clock: () => performance.now(),
    now: () => new Date(),
    randomHex,
    hostListeners: async () => [],
    hostSockets: async () => [],
    reach: async () => true,
  };
  const context: Context = { ...parts, ports: createPortKeeper(parts) };
  await recover(context);
  await recoverDerivations(context);
  return {
    context,
    hooks,
    vm: { ...vmHandlers(context), ...accessHandlers(context), ...portHandlers(context) },
    call: (signal = new AbortController().signal) =>
      ({ signal, emit: () => {}, untilRoom: async () => {}, requestedBy: "test" }) as never,
    audit: async () => (await audit(context, "test")).map(({ kind, what, detail }) => `${kind} ${what}: ${detail}`),
    stop: () => {
      context.ports.close();
      for (const live of context.live.values()) live.letGo();
      real.close();
    },
  };
};

/** The defaults of `vm.create`, filled in as the schema would. */
export const createInput = (name: string) => ({
  name,
  memory: 256,
  disk: 1024,
  start: false,
  wait: true,
  sshKey: [],
  label: {},
});
