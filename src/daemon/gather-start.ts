// Gathers what a start's plan needs to know, and has it planned: the last place where anything is looked up.
import { planVmPaths } from "../core/paths.ts";
import { planLink, planStart } from "../core/plan-start.ts";
import { describePrivilege } from "../core/privilege.ts";
import type { Host } from "../host/host.ts";
import { fail } from "../spec/errors.ts";
import { jailUid } from "../spec/names.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { VmRecord } from "../spec/vm.ts";
import type { VmmDriver } from "../vmm/driver.ts";
import type { Context } from "./context.ts";

/** Guests of a bridge whose way out has a smaller MTU are served by the TCP clamp in the instance's rules. */
const GUEST_MTU = 1500;
/** vsock context ids 0 to 2 are taken; a slot is unique within an instance, and the socket's path within the host. */
const cidOf = (slot: number): number => slot + 1000;

/** Errors: image.without_helper, vmm.unavailable, vmm.jail_unusable, image.broken, root.unavailable, net.subnet_exhausted, net.subnet_taken: all before any effect. */
export const gatherStart = async (
  context: Context,
  record: VmRecord,
  options: { readyTimeoutMs: number | null; facts?: Host["facts"] },
): Promise<{ plan: StartPlan; driver: VmmDriver; vmmReason: string; privilege: string }> => {
  const { host, images, paths, config } = context;
  const { spec } = record;
  const link = spec.networks[0];
  if (!link) throw fail("internal.bug", { detail: `${spec.name} has no network` });
  // An image of long ago may have none; one that is gone had it when this VM was made.
  if (context.store.images.get(spec.imageId)?.helperVersion === null)
    throw fail("image.without_helper", { image: spec.imageName });
  const [chosen, facts, kernel, loopback] = await Promise.all([
    context.chooseVmm(spec.vmm),
    (options.facts ?? host.facts)(),
    images.kernelOf(spec.kernelId, spec.imageName),
    link.mode === "namespace" ? context.loopback.choose() : null,
  ]);
  const subnet = context.subnet.choose(facts.routes);
  const { timeouts } = config();
  if (!(await host.files.exists(context.native.shim))) {
    const { shim } = context.native;
    throw fail("bundle.missing", {
      artifact: "banger-shim",
      directory: shim.slice(0, shim.lastIndexOf("/")),
    });
  }
  const vmPaths = planVmPaths(paths, record.id);
  const { tap } = planLink({ instance: paths.instance, subnet, slot: link.slot });
  const { driver } = chosen;
  await driver.checkKernel(kernel, chosen.binary);
  const isJailed = config().vmm.isJailed && driver.facts.jail;
  const jail = isJailed ? await context.findJail(chosen.binary, link.mode) : undefined;
  const plan = planStart({
    record,
    paths: vmPaths,
    facts: {
      instance: paths.instance,
      subnet,
      loopback,
      zone: config().dns.zone,
      // Inside, the user is root, and there is no other.
      uid: jail ? jailUid(record.id) : link.mode === "namespace" ? 0 : facts.uid,
      mtu: GUEST_MTU,
      timezone: facts.timezone,
      locale: facts.locale,
      proxy: facts.proxy,
      caCertificates: facts.caCertificates,
      accelerator: chosen.accelerator,
      shimPath: context.native.shim,
      readyTimeoutMs: options.readyTimeoutMs ?? timeouts.readyMs,
      stopTimeouts: {
        askMs: timeouts.askMs,
        buttonMs: timeouts.buttonMs,
        termMs: timeouts.termMs,
        killMs: timeouts.killMs,
      },
    },
    rendering: {
      channel: driver.channelAddress({ runtimeDir: vmPaths.runtimeDir, cid: cidOf(link.slot), isJailed }),
      launch: driver.launch({
        vm: { id: record.id, name: spec.name },
        binary: chosen.binary,
        accelerator: chosen.accelerator,
        tscKhz: chosen.tscKhz,
        kernel,
        disks: [
          { id: "root", path: vmPaths.disk, readOnly: false },
          { id: "document", path: vmPaths.document, readOnly: true },
        ],
        network: { tap, mac: link.mac },
        vcpus: spec.vcpus,
        memoryMiB: spec.memoryMiB,
        runtimeDir: vmPaths.runtimeDir,
        jail,
      }),
    },
  });
  const privilege = describePrivilege({
    uid: facts.uid,
    userName: facts.userName,
    mode: link.mode,
    jail: plan.launch.jail,
  });
  return { plan, driver, vmmReason: chosen.reason, privilege };
};
