// A start as one list that can be read: each step does one thing to the host and knows how to take it back.
import { createHash } from "node:crypto";
import { planDocument, renderDocument } from "../core/guest-document.ts";
import type { Step } from "../engine/step.ts";
import { planShim, renderShimPlan, type ShimControl } from "../host/shim.ts";
import { fail } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { EarlyEnd, VmmControl, VmmDriver } from "../vmm/driver.ts";
import type { Context } from "./context.ts";
import { endVmm, type Rung } from "./ladder.ts";
import { openLive } from "./live.ts";
import { sanitise, untilReady } from "./ready.ts";

export type StartOptions = {
  driver: VmmDriver;
  requestedBy: string;
  /** Whether the start ends only when the guest can be reached. */
  isWaiting: boolean;
  /** The first means by which `vmm.launch` is undone: a start that failed does not ask its guest. */
  undoFrom: Rung;
};

const LAUNCH_TIMEOUT_MS = 10_000;
const ATTACH_TIMEOUT_MS = 30_000;
const STDERR_TAIL_BYTES = 2000;

/** The steps of a start, from its plan alone: recovery makes the same list from a stored plan in order to undo it. */
export const startSteps = (context: Context, plan: StartPlan, options: StartOptions): readonly Step[] => {
  const { host, shims, network, live, names } = context;
  const { id, name } = plan.vm;
  const { jail } = plan.launch;
  let control: VmmControl | null = null;

  return [
    {
      name: "dirs.make",
      run: async () => {
        await host.files.makeDir(plan.paths.runtimeDir);
        await host.files.makeDir(plan.paths.stateDir);
      },
      // The state directory keeps the logs of this run; it goes with the VM.
      undo: () => host.files.removeTree(plan.paths.runtimeDir),
    },
    {
      name: "tap.create",
      run: () => network.addTap(plan.network, options.requestedBy),
      undo: () => network.removeTap(plan.network, options.requestedBy),
    },
    {
      name: "net.rules",
      run: async () => {
        await names.serveGuests(plan.network, options.requestedBy);
        await network.addMember(plan.network, options.requestedBy);
      },
      undo: () => network.removeMember(plan.network, options.requestedBy),
    },
    {
      name: "document.write",
      run: async () => {
        const members = planDocument(await readDocument(context, plan));
        const revision = createHash("sha256").update(JSON.stringify(members)).digest("hex").slice(0, 32);
        await host.files.writeAtomic(plan.paths.document, renderDocument(members, revision), 0o600);
        for (const file of plan.launch.files) await host.files.writeAtomic(file.path, file.content, 0o600);
      },
      // The VMM's own files go with the runtime directory.
      undo: () => host.files.removeFile(plan.paths.document),
    },
    ...(jail
      ? [
          {
            name: "jail.prepare",
            run: async () => {
              await host.files.makeDir(jail.sockets);
              await host.root.run({ op: "jail.prepare", instance: plan.instance, ...jail }, options.requestedBy);
            },
            undo: async () => {
              const { instance } = plan;
              await host.root.run({ op: "jail.remove", instance, vm: id }, options.requestedBy);
            },
          },
        ]
      : []),
    {
      name: "vmm.launch",
      run: async (signal) => {
        await host.files.writeAtomic(plan.paths.shimPlan, renderShimPlan(planShim(plan)), 0o600);
        await shims.launch({
          vm: name,
          shimPath: plan.shimPath,
          prefix: plan.network.mode === "namespace" ? context.namespace.enterArgv({ isLeased: true }) : [],
          planPath: plan.paths.shimPlan,
          controlPath: plan.paths.shimControl,
          statusPath: plan.paths.shimStatus,
          vmmLogPath: plan.paths.vmmLog,
          command: plan.launch.argv,
          timeoutMs: LAUNCH_TIMEOUT_MS,
          signal,
        });
      },
      undo: async () => {
        control?.close();
        live.get(id)?.expectEnd();
        await endVmm(context, plan, { driver: options.driver, from: options.undoFrom });
        live.get(id)?.letGo();
        live.delete(id);
      },
    },
    {
      name: "vmm.boot",
      run: async (signal) => {
        const shim = shims.connect({ path: plan.paths.shimControl, vm: name });
        try {
          const timeoutMs = ATTACH_TIMEOUT_MS;
          const ended = earlyEnd(context, plan, shim);
          // Once the guest runs nobody waits for it any more.
          ended.catch(() => {});
          control = await options.driver.attach(plan.launch, { vm: name, timeoutMs, signal, ended });
          const identity = await control.identify();
          if (identity !== id)
            throw fail("vmm.api_failed", { vm: name, call: "identify", detail: `it says ${identity}` });
          live.set(id, openLive(context, plan));
          await control.boot(signal);
          control.close();
        } finally {
          shim.close();
        }
      },
      // The vCPUs end with their VMM, and the guest is asked over the channel that was opened here.
      undo: async () => {},
    },
    {
      name: "guest.ready",
      run: async (signal) => {
        if (options.isWaiting) await untilReady(context, plan, signal);
      },
      undo: async () => {},
    },
    {
      name: "dns.publish",
      run: async () => names.publish(plan),
      undo: async () => names.withdraw(plan),
    },
    {
      name: "ports.publish",
      run: () => context.ports.publish(plan),
      undo: () => context.ports.withdraw(plan),
    },
  ];
};

/** What the shim says of a VMM that ends before anybody could talk to it; never settles while it runs. */
const earlyEnd = async (context: Context, plan: StartPlan, shim: ShimControl): Promise<EarlyEnd> => {
  const exitCode = await shim.untilExit().then(
    ({ code }) => code,
    async () => (await context.shims.readStatus(plan.paths.shimStatus))?.code ?? null,
  );
  return { exitCode, stderr: sanitise(await context.host.files.tail(plan.paths.vmmLog, STDERR_TAIL_BYTES)).trim() };
};

/** The parts of the document that lie in files: keys, certificates, the first-boot script. */
const readDocument = async (context: Context, plan: StartPlan) => {
  const { files } = context.host;
  const { guest, network } = plan;
  const read = async (path: string) => {
    const text = await files.read(path);
    if (text === null) throw fail("host.file_failed", { path, operation: "read", detail: "it is gone" });
    return text;
  };
  const certificates = await Promise.all(
    guest.caCertificates.map(async (path) => ({
      name: path.split("/").at(-1) ?? "host.crt",
      pem: await files.read(path),
    })),
  );
  return {
    hostname: guest.hostname,
    fqdn: guest.fqdn,
    machineId: guest.machineId,
    user: guest.user,
    authorizedKeys: guest.authorizedKeys,
    hostKey: { privateKey: await read(guest.hostKeyPath), publicKey: await read(`${guest.hostKeyPath}.pub`) },
    network: {
      address: network.address,
      prefixLength: 24,
      gateway: network.gateway,
      mac: network.mac,
      mtu: guest.mtu,
    },
    resolver: network.gateway,
    searchDomain: guest.searchDomain,
    timezone: guest.timezone,
    locale: guest.locale,
    proxy: guest.proxy,
    // A certificate that went away since the plan was made is no reason not to start.
    caCertificates: certificates.flatMap(({ name, pem }) => (pem === null ? [] : [{ name, pem }])),
    firstBoot: guest.userDataPath === null ? null : await read(guest.userDataPath),
  };
};
