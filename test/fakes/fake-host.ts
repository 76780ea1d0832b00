// A modelled machine: network, files in a real temporary directory, shims and guests; it can fail, and its daemon can die.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { planBasePaths, planPaths } from "../../src/core/paths.ts";
import { createFiles } from "../../src/host/files.ts";
import type { FilePort, Host, HostFacts } from "../../src/host/host.ts";
import { reportOf } from "../../src/spec/errors.ts";
import type { PrivLogEntry } from "../../src/spec/host-op.ts";
import type { VmmControl } from "../../src/vmm/driver.ts";
import { createFaults, type Faults, type Life } from "./fake-host-faults.ts";
import { createFakeFleet } from "./fake-host-fleet.ts";
import type { Behaviour, FakeMachine } from "./fake-host-machine.ts";
import { createFakeNetwork, type FakeNetwork } from "./fake-host-network.ts";
import { createFakeProxies } from "./fake-host-proxy.ts";

export { SimulatedCrash } from "./fake-host-faults.ts";
export type { Behaviour, FakeMachine } from "./fake-host-machine.ts";

/** The machine, seen from outside: tests arrange and assert here, never by counting calls. */
export type FakeWorld = Pick<Faults, "failAt" | "crashAt"> & {
  /** Real temporary directory in which all paths of the instance lie. */
  readonly dir: string;
  readonly paths: ReturnType<typeof planPaths>;
  readonly network: FakeNetwork;
  readonly privLog: PrivLogEntry[];
  facts: HostFacts;
  /** Names of the operations since the last `forgetOperations`: `root.tap.create`, `files.cloneDisk`, `processes.launchShim`… */
  readonly operations: readonly string[];
  forgetOperations(): void;
  clearFaults(): void;
  /** The port of the daemon that lives now. */
  host(): Host;
  readonly isCrashed: boolean;
  /** SIGKILL to the daemon, now: whatever it still tries throws SimulatedCrash and does nothing. */
  crash(): void;
  /** A new daemon's port on the same machine; planned faults are forgotten. The old daemon is dead, crashed or not. */
  restartDaemon(): Host;
  /** Power off and on: processes, links, tables and the runtime directory are gone, the boot id is new, files stay. */
  rebootMachine(): Host;
  /** Any other port of the living daemon (its store), made to die with it. */
  guard<Port extends object>(port: Port): Port;
  /** How VMs behave that are launched from now on: all of them, or the one of this id. */
  behave(behaviour: Partial<Behaviour>, vmId?: string): void;
  /** The last machine that was launched for this VM id. */
  machine(vmId: string): FakeMachine;
  /** The VMM behind a control socket, as a driver's `attach` would give it; the fake driver uses this. */
  attach(controlSocket: string, vm: string): VmmControl;
  /** Everything on the machine that is the instance's, save the data and state directories of the VMs in `keptVms`. */
  leftovers(options?: { keptVms?: readonly string[] }): string[];
  close(): void;
};

const defaultFacts = (home: string): HostFacts => ({
  cpus: 4,
  memoryMiB: 16_384,
  uid: 1000,
  gid: 1000,
  userName: "ada",
  home,
  shell: "/bin/bash",
  bootId: "",
  hasKvmDevice: false,
  routes: [
    { destination: "0.0.0.0/0", device: "eth0", gateway: "192.0.2.1", table: "main" },
    { destination: "192.0.2.0/24", device: "eth0", gateway: null, table: "main" },
  ],
  resolvers: ["192.0.2.53"],
  timezone: "Europe/Berlin",
  locale: "C.UTF-8",
  proxy: {},
  caCertificates: [],
  publicKeys: [],
});

const effects: ReadonlySet<keyof FilePort> = new Set<keyof FilePort>([
  "writeAtomic",
  "rewrite",
  "removeFile",
  "removeTree",
  "makeDir",
  "rename",
  "cloneDisk",
  "growDisk",
]);

export const createFakeWorld = (options: { instance?: string } = {}): FakeWorld => {
  const instance = options.instance ?? "fakes";
  const dir = mkdtempSync(`${tmpdir()}/bgr-`);
  const base = planBasePaths({ env: {}, home: dir });
  const paths = planPaths({ base, instance, runtimeDir: `${dir}/r` });
  for (const path of [base.dataDir, base.stateDir, paths.runtimeDir]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const faults = createFaults();
  const privLog: PrivLogEntry[] = [];
  const isHeld = (tap: string) => fleet.running().some(({ plan }) => plan.argv.some((word) => word.includes(tap)));
  const network = createFakeNetwork(isHeld);
  const fleet = createFakeFleet(faults, (name) => network.links.has(name));
  const proxies = createFakeProxies(faults, (pid) =>
    fleet.machines.some(({ isKept, identity }) => isKept && identity.shimPid === pid),
  );
  const realFiles = createFiles({ roots: [base.dataDir, base.stateDir, paths.runtimeDir] });

  const createFilePort = (life: Life): FilePort =>
    new Proxy(realFiles, {
      get(target, name: keyof FilePort) {
        const real = target[name] as (...values: unknown[]) => Promise<unknown>;
        return async (...values: unknown[]) => {
          if (effects.has(name)) return faults.perform(life, `files.${name}`, () => real(...values));
          faults.requireAlive(life);
          return real(...values);
        };
      },
    });

  const runRoot =
    (life: Life): Host["root"]["run"] =>
    async (op, requestedBy) => {
      const log = (error: unknown) =>
        privLog.push({
          at: new Date().toISOString(),
          requestedBy,
          op: op.op,
          detail: op.instance,
          ok: error === null,
          ms: 0,
          error: error === null ? null : reportOf(error).message,
        });
      try {
        const result = await faults.perform(life, `root.${op.op}`, () => network.run(op, world.facts.uid));
        log(null);
        return result;
      } catch (error) {
        if (!life.isCrashed) log(error);
        throw error;
      }
    };

  const openPort = (life: Life): Host => ({
    root: { run: runRoot(life) },
    files: createFilePort(life),
    processes: fleet.createProcesses(life),
    proxies: proxies.createPort(life),
    async facts() {
      faults.requireAlive(life);
      return { ...world.facts, bootId: fleet.bootId };
    },
    async bootId() {
      faults.requireAlive(life);
      return fleet.bootId;
    },
    close: async () => {},
  });

  const startLife = (): Host => {
    faults.life.isCrashed = true;
    faults.life = { isCrashed: false };
    faults.clear();
    for (const machine of fleet.running()) machine.hangUp();
    port = openPort(faults.life);
    return port;
  };

  const filesBelow = (path: string): string[] => {
    try {
      return readdirSync(path).map((name) => `${path}/${name}`);
    } catch {
      return [];
    }
  };

  let port = openPort(faults.life);
  const world: FakeWorld = {
    dir,
    paths,
    network,
    privLog,
    facts: defaultFacts(dir),
    get operations() {
      return faults.operations;
    },
    forgetOperations: () => void faults.operations.splice(0),
    failAt: faults.failAt,
    crashAt: faults.crashAt,
    clearFaults: faults.clear,
    host: () => port,
    get isCrashed() {
      return faults.life.isCrashed;
    },
    crash() {
      faults.life.isCrashed = true;
    },
    restartDaemon: startLife,
    rebootMachine() {
      fleet.reboot();
      for (const [name, { alias }] of network.links) if (alias?.startsWith("banger:")) network.links.delete(name);
      network.tables.clear();
      network.jails.clear();
      network.isForwarding = false;
      rmSync(paths.runtimeDir, { recursive: true, force: true });
      mkdirSync(paths.runtimeDir, { mode: 0o700 });
      return startLife();
    },
    guard(target) {
      const { life } = faults;
      return new Proxy(target, {
        get(real, name, receiver) {
          const value = Reflect.get(real, name, receiver);
          if (typeof value === "object" && value !== null) return world.guard(value);
          if (typeof value !== "function") return value;
          return (...values: unknown[]) => {
            faults.requireAlive(life);
            return value.apply(real, values);
          };
        },
      });
    },
    behave: fleet.behave,
    machine(vmId) {
      const found = fleet.machines.findLast(({ plan }) => plan.id === vmId);
      if (!found) throw new Error(`no machine was launched for ${vmId}`);
      return found;
    },
    attach: (controlSocket, vm) => fleet.attach(faults.life, { controlSocket, vm }),
    leftovers({ keptVms = [] } = {}) {
      const { bridges, taps, tables, jails } = network.inventory(instance);
      const isKept = (path: string) => keptVms.some((id) => path.endsWith(`/${id}`));
      return [
        ...[...bridges, ...taps].map((name) => `link ${name}`),
        ...tables.map((name) => `table ${name}`),
        ...jails.map((vm) => `jail of ${vm}`),
        ...fleet.machines.flatMap(({ isKept: isAlive, plan }) => (isAlive ? [`shim of ${plan.id}`] : [])),
        ...fleet.running().map(({ plan }) => `vmm of ${plan.id}`),
        ...proxies.running().map((id) => `proxy of ${id}`),
        ...[paths.vmsDir, paths.stateVmsDir].flatMap(filesBelow).filter((path) => !isKept(path)),
        ...filesBelow(paths.runtimeVmsDir),
      ];
    },
    close() {
      fleet.reboot();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return world;
};
