// Hands the checks of the host what they look at: this daemon's own state, or, where no daemon can be started, what lies there.
import manifestText from "../../runtime-bundle.toml" with { type: "text" };
import { openBundle } from "../bundle/bundle.ts";
import { hostArchitecture, parseManifest, pinnedHash } from "../bundle/manifest.ts";
import { readOwn } from "../bundle/own.ts";
import { clockReadings } from "../core/clock-readings.ts";
import { parseConfig, resolveConfig } from "../core/config.ts";
import { decideNetworkWay } from "../core/network-way.ts";
import { type InstancePaths, planBasePaths, planPaths, planRuntimeDir } from "../core/paths.ts";
import type { DoctorPorts, ImageState } from "../doctor/facts.ts";
import { type CheckRow, preflight, runChecks } from "../doctor/run-checks.ts";
import type { Host } from "../host/host.ts";
import { findInstance, openingOfProcess } from "../host/instance.ts";
import { findJailWay } from "../host/jail-way.ts";
import { findRootLaunch, openHost } from "../host/linux.ts";
import { findNative } from "../host/native.ts";
import { readNetworkFacts } from "../host/network-facts.ts";
import { readBootId } from "../host/process-proof.ts";
import { hashFile } from "../host/setup.ts";
import type { ImageService } from "../image/image-service.ts";
import { createImageService } from "../image/images.ts";
import { releaseInBundle } from "../image/own-kernel.ts";
import type { Config } from "../spec/config.ts";
import { type BangerError, describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import type { VmmName } from "../spec/vm.ts";
import { openStore, type Store } from "../store/store.ts";
import { PROBE_TIMEOUT_MS } from "../vmm/boot-proof.ts";
import type { VmmProbe } from "../vmm/driver.ts";
import { chooseDriver, drivers } from "../vmm/index.ts";
import type { Context, Doctor } from "./context.ts";
import { once } from "./once.ts";

/** Stands for the id that the first daemon will choose. */
const NO_INSTANCE = "00000";

const imageStates = (store: Store, images: Pick<ImageService, "rootOf" | "kernelOf">): Promise<ImageState[]> =>
  Promise.all(
    store.images.all().map(async (image) => {
      const { name, helperVersion } = image;
      try {
        await images.rootOf(image);
        await images.kernelOf(image.kernelId, name);
        return { name, helperVersion, failure: null };
      } catch (failure) {
        if (!isBangerError(failure)) throw failure;
        return { name, helperVersion, failure };
      }
    }),
  );

const checkDatabase = (path: string) => (): void => {
  const store = openStore({ path, readOnly: true });
  try {
    const [first] = store.integrityCheck();
    if (first !== undefined) throw fail("store.corrupt", { path, detail: first });
  } finally {
    store.close();
  }
};

/** Told by its hash: what the manifest pins, and what `banger bundle use` recorded. */
const originOf =
  (dataDir: string): DoctorPorts["originOf"] =>
  async ({ name, path, sha256 }) => {
    const own = await readOwn(dataDir, name);
    if (own !== null && own.path === path) return own.sha256 === sha256 ? "own" : "changed";
    const pinned = { path: "runtime-bundle.toml", architecture: hostArchitecture() };
    const isPinned = parseManifest(manifestText, pinned).some((artifact) => pinnedHash(artifact) === sha256);
    return isPinned ? "pinned" : "unknown";
  };

const ofHost = (host: Host) => ({
  facts: once(() => host.facts()) as Host["facts"],
  files: host.files,
  processes: host.processes,
});

/** The helper that is to be installed is a copy of the executable; in a checkout there is none to compare. */
const portsOfDaemon = (context: Context, probe: (name: VmmName) => Promise<VmmProbe>): DoctorPorts => {
  const { store, paths, config } = context;
  const status = context.names.status();
  return {
    paths,
    config: config(),
    autoMode: async () => (await context.chooseNetwork()).mode,
    native: context.native,
    host: ofHost(context.host),
    rootLaunch: findRootLaunch,
    findJail: (binary, mode) => findJailWay(binary, { jail: context.native.jail, mode }),
    proved: new Set(),
    hashFile: once(hashFile),
    originOf: originOf(paths.dataDir),
    executable: context.executable,
    probe: once(probe),
    choose: chooseDriver,
    images: () => imageStates(store, context.images),
    guestKernel: context.images.ownKernel,
    openDatabase: checkDatabase(paths.database),
    subnet: {
      current: context.subnet.known(),
      hasRunning: store.vms.all().some(({ state }) => state !== "stopped" && state !== "creating"),
    },
    guestClocks: () =>
      clockReadings(
        store.vms.all().map(({ id, spec, state }) => ({ name: spec.name, state, clock: context.clocks.reading(id) })),
      ),
    vmmPids: () =>
      store.vms
        .all()
        .flatMap(({ spec, runtime, state }) =>
          state === "running" && runtime.process ? [{ name: spec.name, pid: runtime.process.pid }] : [],
        ),
    daemon: { version: context.version, pid: process.pid },
    dns: {
      host: status.address,
      port: config().dns.port,
      udpError: status.udpError,
      tcpError: status.tcpError,
      actualPort: status.port,
    },
  };
};

/** `find` is asked late: the context holds what is made here. */
export const createDoctor = (find: () => { context: Context; probe: (name: VmmName) => Promise<VmmProbe> }): Doctor => {
  // An operation does not ask sudo again what it said yes to; people who ask get an answer of now.
  const proved: DoctorPorts["proved"] = new Set();
  const ports = () => {
    const { context, probe } = find();
    return portsOfDaemon(context, probe);
  };
  return {
    check: () => runChecks({ ...ports(), proved: new Set() }),
    preflight: async (purposes, options) => {
      const now = ports();
      const { network } = now.config;
      const config = { ...now.config, network: { ...network, mode: options?.mode ?? network.mode } };
      const host = { ...now.host, facts: options?.facts ?? now.host.facts };
      await preflight({ ...now, host, config, proved }, purposes);
    },
  };
};

/** Where this user's instance is, or would be. */
const findPaths = (): InstancePaths => {
  const opening = openingOfProcess();
  try {
    const found = findInstance(opening);
    if (found) return found;
  } catch (error) {
    if (!isBangerError(error)) throw error;
  }
  const base = planBasePaths(opening);
  const where = { env: opening.env, stateDir: base.stateDir, instance: NO_INSTANCE };
  const runtimeDir = planRuntimeDir({ ...where, isUsable: true, isLingering: false });
  return planPaths({ base, instance: NO_INSTANCE, runtimeDir });
};

/** For looking into: what changes a bundle takes its lock. */
const bundleOf = (config: Config, { dataDir }: InstancePaths) =>
  openBundle({
    ...{ env: process.env, configured: config.bundle, dataDir, now: () => new Date() },
    tryLock: () => null,
    readVersion: async () => "",
  });

const readConfig = async (host: Host, path: string): Promise<{ config: Config; failure: BangerError | null }> => {
  try {
    const text = await host.files.read(path);
    const file = text === null ? null : parseConfig(text, path);
    return { config: resolveConfig({ file, environment: process.env }).config, failure: null };
  } catch (failure) {
    if (!isBangerError(failure)) throw failure;
    return { config: resolveConfig({}).config, failure };
  }
};

const asFailure = (failure: unknown, socket: string): BangerError =>
  isBangerError(failure) ? failure : fail("daemon.unreachable", { socket, detail: describeUnknown(failure) });

/** The same checks without a daemon, which `failure` kept from being asked; nothing of the instance is changed. */
export const checkWithoutDaemon = async (options: {
  executable: string;
  version: string;
  failure: unknown;
}): Promise<CheckRow[]> => {
  const { executable, version, failure } = options;
  const paths = findPaths();
  const host = openHost({ paths, privLog: () => {} });
  const native = findNative();
  const { config, failure: configFailure } = await readConfig(host, paths.configFile);
  const bootId = await readBootId().catch(() => "");
  let store: Store | null = null;
  try {
    store = openStore({ path: paths.database, readOnly: true });
  } catch {
    // It has a row of its own.
  }
  const known = store;
  const images =
    known &&
    createImageService({
      ...{ store: known, host, paths, native, version },
      now: () => new Date(),
      clock: () => performance.now(),
      randomHex: (digits) => "0".repeat(digits),
    });
  const ports: DoctorPorts = {
    paths,
    config,
    autoMode: async () => decideNetworkWay(await readNetworkFacts({ holder: native.holder }), null).mode,
    native,
    host: ofHost(host),
    rootLaunch: findRootLaunch,
    findJail: (binary, mode) => findJailWay(binary, { jail: native.jail, mode }),
    proved: new Set(),
    hashFile: once(hashFile),
    originOf: originOf(paths.dataDir),
    executable,
    probe: once((name: VmmName) =>
      drivers[name].probe({
        cacheDir: paths.cacheDir,
        bootId,
        processes: host.processes,
        kernel: images?.anyKernel() ?? null,
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
      }),
    ),
    choose: chooseDriver,
    images: async () => (known && images ? imageStates(known, images) : []),
    guestKernel: async () => releaseInBundle(host.files, await bundleOf(config, paths).ownKernel()),
    openDatabase: checkDatabase(paths.database),
    subnet: { current: known?.meta.get("network.subnet") ?? null, hasRunning: false },
    guestClocks: () => [],
    vmmPids: () => [],
    daemon: failure ? { failure: configFailure ?? asFailure(failure, paths.socket) } : null,
    dns: null,
  };
  try {
    return await runChecks(ports);
  } finally {
    known?.close();
    await host.close();
  }
};
