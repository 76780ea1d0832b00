// Decides and checks everything about a new VM before anything is made: name, slot, image, user, keys, first-boot script.
import { randomInt } from "node:crypto";
import { generateName } from "../core/generated-name.ts";
import { chooseSlot } from "../core/net-plan.ts";
import { planVmPaths } from "../core/paths.ts";
import { planCreate, planSpec, planUser } from "../core/plan-create.ts";
import { mergeKeys, parsePublicKeys } from "../core/ssh-keys.ts";
import { fail } from "../spec/errors.ts";
import type { ParsedInput } from "../spec/rpc/contract.ts";
import { emptyRuntime, type NetworkMode, type VmRecord } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { ensureKeyPair } from "./key-pair.ts";

/** Held from here until the record is in the store: names and slots are chosen once, and no image or kernel goes that was chosen. Taken after the lock on images. */
export const CREATE_LOCK = "create";

/** Errors: vm.name_taken, image.*, bundle.*, vmm.unavailable, net.addresses_exhausted, ssh.*, host.memory_short, host.file_failed. */
export const prepareCreate = async (
  context: Context,
  input: ParsedInput<"vm.create">,
  options: { mode: NetworkMode; vmId?: string },
) => {
  const { store, images, host, paths, config } = context;
  const records = store.vms.all();
  const names = new Set(records.map(({ spec }) => spec.name));
  if (input.name !== undefined && names.has(input.name)) throw fail("vm.name_taken", { name: input.name });
  const { vm: defaults, vmm } = config();
  const image = images.resolve(input.image ?? defaults.image);
  const [root, facts, kernel, chosen] = await Promise.all([
    images.rootOf(image),
    host.facts(),
    images.kernelFor(image, wishOf(input.kernel ?? defaults.kernel)),
    context.chooseVmm(wishOf(input.vmm ?? vmm.prefer)),
  ]);
  const slot = chooseSlot(records.flatMap(({ spec }) => spec.networks.map(({ slot }) => slot)));
  if (slot === null) throw fail("net.addresses_exhausted", { subnet: context.subnet.choose(facts.routes) });
  const { mode: networkMode, vmId = context.randomHex(12) } = options;
  const given = await Promise.all(input.sshKey.map((key) => readKeys(context, key)));
  const own = defaults.sshKeys
    ? await Promise.all(defaults.sshKeys.map((key) => readKeys(context, key)))
    : facts.publicKeys.map(({ path, text }) => safeKeys(text, path));
  const spec = planSpec(
    {
      name: input.name ?? generateName(names, () => randomInt(2 ** 32) / 2 ** 32),
      vcpus: input.vcpu ?? defaults.vcpus,
      memoryMiB: input.memory ?? defaults.memoryMiB,
      diskMiB: input.disk ?? Math.max(defaults.diskMiB, root.sizeMiB),
      labels: input.label,
      authorizedKeys: mergeKeys([[await bangerKey(context)], ...own, ...given]),
      hasUserData: input.userData !== undefined,
      hasWildcardName: input.dnsWildcard ?? false,
    },
    {
      vmId,
      instance: paths.instance,
      machineId: context.randomHex(32),
      slot,
      image: { id: image.id, name: image.name, rootPath: root.path, sizeMiB: root.sizeMiB },
      kernelId: kernel.id,
      vmm: chosen.driver.name,
      networkMode,
      host: { cpus: facts.cpus, memoryMiB: facts.memoryMiB },
      user: planUser(facts, defaults.user),
    },
  );
  const vmPaths = planVmPaths(paths, vmId);
  const record: VmRecord = {
    id: vmId,
    state: "creating",
    spec,
    runtime: { ...emptyRuntime, vmmReason: chosen.reason },
    createdAt: context.now().toISOString(),
  };
  return {
    record,
    plan: planCreate({ vmId, spec, paths: vmPaths, imagePath: root.path }),
    userData: input.userData === undefined ? null : await readUserData(context, input.userData),
    userDataPath: vmPaths.userData,
  };
};

const wishOf = <Choice extends string>(choice: Choice | null): Exclude<Choice, "auto"> | null =>
  choice === null || choice === "auto" ? null : (choice as Exclude<Choice, "auto">);

/** How a new VM is connected: as its maker says, as the configuration says, or as it works here. */
export const chooseMode = async (context: Context, wish: NetworkMode | "auto" | undefined): Promise<NetworkMode> => {
  const mode = wish ?? context.config().network.mode ?? "auto";
  return mode === "auto" ? (await context.chooseNetwork()).mode : mode;
};

/** A key's own text, or the keys in the file of that name. */
const readKeys = async (context: Context, key: string): Promise<string[]> => {
  if (!key.startsWith("/") && !key.startsWith("~/")) return parsePublicKeys(key, "--ssh-key");
  const path = key.startsWith("~/") ? `${(await context.host.facts()).home}${key.slice(1)}` : key;
  const text = await context.host.files.read(path);
  if (text === null) throw fail("host.file_failed", { path, operation: "read", detail: "there is no such file" });
  return parsePublicKeys(text, path);
};

/** The user's own key files are taken as they are found: one that is broken does not keep a VM from being made. */
const safeKeys = (text: string, path: string): string[] => {
  try {
    return parsePublicKeys(text, path);
  } catch {
    return [];
  }
};

const readUserData = async (context: Context, path: string): Promise<string> => {
  const text = await context.host.files.read(path);
  if (text === null) throw fail("host.file_failed", { path, operation: "read", detail: "there is no such file" });
  return text.startsWith("#!") ? text : `#!/bin/sh\n${text}`;
};

/** banger's own key pair, made once per instance: it lets `banger ssh` in whatever keys the user has. */
export const bangerKeyPath = (context: Context): string => `${context.paths.keysDir}/id_ed25519`;

const bangerKey = async (context: Context): Promise<string> => {
  const { host, paths } = context;
  await host.files.makeDir(paths.keysDir);
  return ensureKeyPair(host, { path: bangerKeyPath(context), comment: `banger-${paths.instance}` });
};
