// bangerd: takes the instance's lock, opens what it needs, recovers, serves, and leaves the VMs running when it ends.
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { openBundle } from "../bundle/bundle.ts";
import { createKeyedLock } from "../engine/lock.ts";
import { openGuestChannel } from "../guest/channel.ts";
import { createDnsFront } from "../host/dns-front.ts";
import { followDnsJournal } from "../host/dns-setup.ts";
import { ensurePrivateDir, openInstance, openingOfProcess } from "../host/instance.ts";
import { createJailFinder } from "../host/jail-way.ts";
import { findRootLaunch, openHost } from "../host/linux.ts";
import { readHostListeners, readHostSockets } from "../host/listeners.ts";
import { readLockPid, tryLockFile } from "../host/lock.ts";
import { findNative } from "../host/native.ts";
import type { RootLaunch } from "../host/root-launch.ts";
import { connectShim, launchShim, readShimStatus } from "../host/shim.ts";
import { readAsleepMs } from "../host/sleep.ts";
import { createImageService } from "../image/images.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { Handlers } from "../spec/rpc/contract.ts";
import { openStore } from "../store/store.ts";
import { drivers } from "../vmm/index.ts";
import { createTscMeter } from "../vmm/tsc.ts";
import { createEventBus } from "./bus.ts";
import { createClockKeeper } from "./clocks.ts";
import { openConfig } from "./config-file.ts";
import type { Context } from "./context.ts";
import { recoverDerivations } from "./derive.ts";
import { createDoctor } from "./doctor.ts";
import { accessHandlers } from "./handlers/access.ts";
import { dnsHandlers } from "./handlers/dns.ts";
import { imageHandlers } from "./handlers/image.ts";
import { insideHandlers } from "./handlers/inside.ts";
import { portHandlers } from "./handlers/ports.ts";
import { openGuestStream, streamHandlers, streamSocketPath } from "./handlers/streams.ts";
import { systemHandlers } from "./handlers/system.ts";
import { vmHandlers } from "./handlers/vm.ts";
import { openLog } from "./log.ts";
import { createLoopbackKeeper } from "./loopback.ts";
import { openNameService } from "./names.ts";
import { openNetworks } from "./networks.ts";
import { onGuestEnd } from "./operate.ts";
import { createPortKeeper } from "./publish.ts";
import { reach } from "./reach.ts";
import { recover } from "./recover.ts";
import { serveRpc } from "./server.ts";
import { keepSshConfig } from "./ssh-config.ts";
import { serveStreams } from "./stream-server.ts";
import { createSubnetKeeper } from "./subnet.ts";
import { createVmmFinder } from "./vmms.ts";

/** How often it is looked whether the host has slept, and whether the socket is still where clients look for it. */
const LOOK_MS = 5000;
/** How long a stop waits for operations under way. */
const DRAIN_MS = 60_000;
const DRAIN_POLL_MS = 20;

export type DaemonOptions = { version: string; build: string; executable: string };

/** Runs until it is told to stop; answers with the exit code. Errors: daemon.already_running, and whatever keeps it from starting. */
export const runDaemon = async (options: DaemonOptions): Promise<number> => {
  process.umask(0o077);
  const opening = openingOfProcess();
  const paths = openInstance(opening);
  const lock = tryLockFile(paths.lock);
  if (!lock) throw fail("daemon.already_running", { pid: readLockPid(paths.lock) ?? 0 });
  for (const directory of [paths.dataDir, paths.logDir]) ensurePrivateDir(directory, opening.uid);

  const store = openStore({ path: paths.database });
  const host = openHost({ paths, privLog: (entry) => store.privLog.append(entry) });
  const config = await openConfig({ path: paths.configFile, files: host.files, environment: process.env });
  const log = await openLog({ path: paths.daemonLog, level: config.current().daemon.logLevel });
  process.on("unhandledRejection", (error) => log.error("an error that nobody caught", { detail: detailOf(error) }));
  process.on("uncaughtException", (error) => log.error("an error that nobody caught", { detail: detailOf(error) }));

  const bus = createEventBus((event) => store.events.append(event));
  const bundle = openBundle({
    ...{ env: process.env, configured: config.current().bundle, dataDir: paths.dataDir, tryLock: tryLockFile },
    readVersion: async (path) =>
      (await host.processes.runCommand({ argv: [path, "--version"], timeoutMs: 10_000 })).stdout,
    now: () => new Date(),
  });
  const native = findNative(bundle.place.directory);
  const connected = openNetworks({
    instance: paths.instance,
    paths,
    store,
    host,
    native,
    config: config.current,
    log,
  });
  const { networks: network, holder: namespace } = connected;
  const randomHex = (digits: number) =>
    randomBytes(Math.ceil(digits / 2))
      .toString("hex")
      .slice(0, digits);
  const images = createImageService({
    store,
    host,
    paths,
    native,
    version: options.version,
    now: () => new Date(),
    clock: () => performance.now(),
    randomHex,
    readyImage: bundle.readyImage,
    ownKernel: bundle.ownKernel,
    wantedKernel: () => config.current().vm.kernel,
  });
  const subnet = createSubnetKeeper({ instance: paths.instance, store, config: config.current });
  const loopback = createLoopbackKeeper({ instance: paths.instance, store, listening: readHostSockets });
  const names = await openNameService({
    config: config.current,
    network,
    front: createDnsFront({ helper: native.dnsFront, directory: paths.runtimeDir }),
    bindInside: namespace.bind,
    subnet: subnet.known,
    loopback: loopback.known,
    readSetup: followDnsJournal(),
    log,
  });
  connected.onLeft(() => names.dismissGuests("namespace"));
  const vmms = createVmmFinder({
    drivers,
    host,
    cacheDir: paths.cacheDir,
    kernel: () => images.anyKernel(),
    tscKhz: createTscMeter({ host, native, cacheDir: paths.cacheDir }),
    program: bundle.program,
  });

  const parts: Omit<Context, "ports"> = {
    paths,
    ...options,
    startedAt: new Date(),
    store,
    host,
    shims: { launch: launchShim, connect: connectShim, readStatus: readShimStatus },
    openChannel: (address, { vm }) => openGuestChannel(address, { vm, version: options.version }),
    network,
    namespace,
    chooseNetwork: connected.choose,
    subnet,
    loopback,
    names,
    clocks: createClockKeeper({ asleepMs: readAsleepMs, context: () => context }),
    images,
    drivers,
    settleVmms: vmms.settle,
    chooseVmm: vmms.choose,
    findJail: createJailFinder({ native, instance: paths.instance }),
    vmmReason: vmms.reason,
    doctor: createDoctor(() => ({ context, probe: vmms.probe })),
    native,
    config: config.current,
    bus,
    log,
    locks: createKeyedLock(),
    live: new Map(),
    onGuestEnd: (id, cause) => {
      onGuestEnd(context, id, cause).catch((error) =>
        log.error("tidying up after a guest failed", { detail: detailOf(error) }),
      );
    },
    clock: () => performance.now(),
    now: () => new Date(),
    randomHex,
    hostListeners: readHostListeners,
    hostSockets: readHostSockets,
    reach,
  };
  const context: Context = { ...parts, ports: createPortKeeper(parts) };

  for (const detail of await images.recover()) log.warn("a build of an image was not undone", { detail });
  await recover(context);
  await recoverDerivations(context);
  keepSshConfig(context);

  const stopping = new AbortController();
  const stop = Promise.withResolvers<{ isForced: boolean }>();
  const vms = { ...vmHandlers(context), ...accessHandlers(context), ...insideHandlers(context) };
  const handlers: Handlers = {
    ...vms,
    ...portHandlers(context),
    ...streamHandlers(context),
    ...imageHandlers(context),
    ...dnsHandlers(context),
    ...systemHandlers(context, {
      config,
      busy: () => [...server.busy(), ...streams.busy()],
      stop: stop.resolve,
      vms,
      privilege: () => describeLaunch(findRootLaunch()),
    }),
  };
  const streams = serveStreams({
    socket: streamSocketPath(context),
    open: (request) => openGuestStream(context, request),
    log,
  });
  const server = serveRpc({
    socket: paths.socket,
    handlers,
    version: options.version,
    build: options.build,
    log,
    stopping: stopping.signal,
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.resolve({ isForced: false }));
  // The terminal that started us may go; we stay.
  process.on("SIGHUP", () => {
    config.reload().catch((error) => log.error("the configuration was not read", { detail: describeUnknown(error) }));
  });
  bus.publish({ type: "daemon.started", version: options.version, pid: process.pid });
  log.info("bangerd serves", { pid: process.pid, version: options.version, socket: paths.socket });

  const isReachable = watchSocket(paths.socket);
  const look = setInterval(() => {
    void context.clocks.look();
    if (isReachable()) return;
    log.warn("the socket is gone, so that nobody can reach this bangerd any more; another will be started", {});
    stop.resolve({ isForced: false });
  }, LOOK_MS);
  const { isForced } = await stop.promise;
  clearInterval(look);
  stopping.abort();
  streams.stop();
  const until = performance.now() + (isForced ? 0 : DRAIN_MS);
  // What cannot be cancelled is brought to its end: a stop that was half done would be finished by the next daemon, but later.
  while (server.busy().length > 0 && performance.now() < until) await Bun.sleep(DRAIN_POLL_MS);
  await server.stop();
  for (const live of context.live.values()) live.letGo();
  context.ports.close();
  await names.close();
  await connected.close();
  await host.close();
  store.close();
  log.info("bangerd has stopped; VMs go on running", { pid: process.pid });
  lock.release();
  return 0;
};

/** Whether `path` is still the socket that it is now; whatever clears away runtime directories may have taken it. */
const watchSocket = (path: string): (() => boolean) => {
  const inodeOf = () => statSync(path, { throwIfNoEntry: false })?.ino;
  const own = inodeOf();
  return () => {
    try {
      return inodeOf() === own;
    } catch {
      return true;
    }
  };
};

/** How operations that need root would be run just now, in words. */
const describeLaunch = (launch: RootLaunch): string =>
  launch.kind === "refusal"
    ? `not available: ${launch.detail}`
    : launch.argv0 === null
      ? `by sudo: ${launch.argv.join(" ")}`
      : "directly, as root";

const detailOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
