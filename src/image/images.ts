// The images of an instance: found by name, listed with their real size, deleted when nobody uses them.
import { existsSync } from "node:fs";
import { chooseKernel } from "../core/choose-kernel.ts";
import { nearest } from "../core/resolve-vm.ts";
import type { FilePort, Host } from "../host/host.ts";
import type { NativePaths } from "../host/native.ts";
import { fail } from "../spec/errors.ts";
import type { Image, KernelForVms } from "../spec/image.ts";
import type { ImageRecord, KernelRecord } from "../spec/records.ts";
import type { KernelChoice } from "../spec/vm.ts";
import type { Store } from "../store/store.ts";
import type { KernelFiles } from "../vmm/driver.ts";
import { buildImage, undoImageOperations } from "./build.ts";
import { derivedDir, keepDisk } from "./derive.ts";
import type { ImageService } from "./image-service.ts";
import { enterImage, requireName } from "./keep.ts";
import { parseKernelEnvironment } from "./kernels.ts";
import { readOrigin } from "./origin.ts";
import { type BundledKernel, createOwnKernel } from "./own-kernel.ts";
import { takeReadyImage } from "./ready.ts";
import { registerImage } from "./register.ts";

export type ImageContext = {
  store: Store;
  host: Host;
  paths: { imagesDir: string; kernelsDir: string };
  native: NativePaths;
  version: string;
  now: () => Date;
  clock: () => number;
  randomHex: (digits: number) => string;
  /** The archive of the ready default image, verified; null where the bundle has none. */
  readyImage?: () => Promise<string | null>;
  /** The bundle's kernel; left out where there is no bundle. */
  ownKernel?: () => Promise<BundledKernel>;
  /** The kernel that the configuration wants for new VMs; null leaves it to banger. */
  wantedKernel?: () => KernelChoice | null;
};

type ReadyWish = Parameters<ImageService["isReady"]>[0];

/** The one image that can be ready in a bundle, and what it is also called. */
const READY = { name: "debian-13", aliases: ["debian"] };

export const rootPathOf = (image: Pick<ImageRecord, "dir">): string => `${image.dir}/rootfs.ext4`;

/** The uncompressed kernel boots faster than the one that unpacks itself, where a bundle has both. */
export const kernelFilesOf = async (files: FilePort, kernel: KernelRecord): Promise<KernelFiles | null> => {
  const present = new Set((await files.list(kernel.dir)).map(({ name }) => name));
  const file = (name: string) => (present.has(name) ? `${kernel.dir}/${name}` : null);
  const binary = file("vmlinux") ?? file("vmlinuz");
  if (binary === null) return null;
  const environment = parseKernelEnvironment((await files.read(`${kernel.dir}/kernel.env`)) ?? "");
  return {
    kernel: binary,
    initramfs: file("initramfs"),
    modules: file("modules.squashfs"),
    cmdline: kernel.cmdline,
    cmdlineEmulated: (environment.get("cmdline_emulated") ?? "").split(" ").filter(Boolean),
  };
};

export const createImageService = (context: ImageContext): ImageService & { anyKernel: () => string | null } => {
  const { store, host } = context;
  const ownKernel = createOwnKernel(context);

  const releaseOf = (kernelId: string): string => store.kernels.get(kernelId)?.release ?? "unknown";

  const kernelFor = async (image: ImageRecord, wish: KernelChoice | null) => {
    const own = await ownKernel.find();
    const { choice, hint } = chooseKernel({
      wish,
      image: { release: releaseOf(image.kernelId), isOurs: image.origin.how === "built" },
      own,
    });
    if (choice === "image") return { choice, hint, id: image.kernelId, release: releaseOf(image.kernelId) };
    if ("absence" in own) throw own.error;
    return { choice, hint, id: own.id, release: own.release };
  };

  /** For reading: what cannot be had is said by whoever makes the VM. */
  const newVms = async (image: ImageRecord): Promise<KernelForVms> => {
    const { choice, hint, release } = await kernelFor(image, context.wantedKernel?.() ?? null).catch(() =>
      kernelFor(image, "image"),
    );
    return { choice, hint, release };
  };

  const resolve = (ref: string): ImageRecord => {
    const images = store.images.all();
    const exact = store.images.byName(ref) ?? images.find(({ id }) => id === ref);
    if (exact) return exact;
    const matches = images.filter(({ id, name }) => name.startsWith(ref) || (ref.length >= 3 && id.startsWith(ref)));
    if (matches.length === 1 && matches[0]) return matches[0];
    const names = images.flatMap(({ name, aliases }) => [name, ...aliases]);
    const meant = nearest(ref, names);
    throw fail("image.not_found", { image: ref, known: meant.length > 0 ? meant : names.slice(0, 8) });
  };

  const usersOf = (image: ImageRecord): string[] =>
    store.vms.all().flatMap(({ spec }) => (spec.imageId === image.id ? [spec.name] : []));

  const view = async (image: ImageRecord): Promise<Image> => ({
    id: image.id,
    name: image.name,
    aliases: image.aliases,
    isDefault: image.aliases.includes("debian"),
    sizeMiB: Math.round(image.sizeMiB),
    usedMiB: Math.round(await host.files.diskUsedMiB(image.dir)),
    kernel: image.kernelId,
    kernelRelease: releaseOf(image.kernelId),
    helperVersion: image.helperVersion,
    origin: image.origin.how,
    usedBy: usersOf(image),
    createdAt: image.createdAt,
  });

  const findReady = async (input: ReadyWish): Promise<string | null> => {
    const isOrdinary =
      input.name === READY.name &&
      input.mirror === undefined &&
      input.package.length === 0 &&
      input.script.length === 0;
    return isOrdinary && !input.fresh ? ((await context.readyImage?.()) ?? null) : null;
  };

  return {
    resolve,
    // One that is gone would prove nothing but that, and what it proves is remembered until the host boots again.
    anyKernel: () =>
      store.kernels
        .all()
        .map(({ dir }) => `${dir}/vmlinux`)
        .findLast((path) => existsSync(path)) ?? null,
    rootOf: async (image) => {
      const path = rootPathOf(image);
      const sizeMiB = await host.files.sizeMiB(path);
      if (sizeMiB === null) throw fail("image.broken", { image: image.name, detail: `${path} is gone` });
      if (sizeMiB < image.sizeMiB)
        throw fail("image.broken", {
          image: image.name,
          detail: `${path} was cut short: ${sizeMiB} MiB instead of ${image.sizeMiB}`,
        });
      if (image.helperVersion === null) throw fail("image.without_helper", { image: image.name });
      return { path, sizeMiB };
    },
    kernelFor,
    ownKernel: ownKernel.peek,
    kernelOf: async (kernelId, image) => {
      const kernel = store.kernels.get(kernelId);
      const files = kernel && (await kernelFilesOf(host.files, kernel));
      if (!files) throw fail("image.broken", { image, detail: `its kernel ${kernelId} is gone` });
      return files;
    },
    isReady: async (input) => (await findReady(input)) !== null,
    build: async (input, caller) => {
      const archive = await findReady(input);
      const image =
        archive === null
          ? await buildImage(context, input, caller)
          : await takeReadyImage(context, { ...READY, replace: input.replace, archive }, caller);
      return { ...(await view(image)), newVms: await newVms(image) };
    },
    register: async (input, caller) => {
      const findKernel = () => resolve(input.kernelOf ?? "debian").kernelId;
      return view(await registerImage(context, { name: input.name, path: input.path, findKernel }, caller));
    },
    list: () => Promise.all(store.images.all().map(view)),
    show: async (ref) => {
      const image = resolve(ref);
      const record = store.kernels.get(image.kernelId);
      const text = record && (await host.files.read(`${record.dir}/kernel.env`));
      const kernel = record && { record, environment: parseKernelEnvironment(text ?? "") };
      return {
        ...(await view(image)),
        made: readOrigin(image, kernel),
        rootPath: rootPathOf(image),
        kernelDir: record?.dir ?? null,
        newVms: await newVms(image),
      };
    },
    remove: async (ref) => {
      const image = resolve(ref);
      const vms = usersOf(image);
      if (vms.length > 0) throw fail("image.in_use", { image: image.name, vms });
      // The record goes first: files without a record are pruned, a record without files would be a broken image.
      store.images.remove(image.id);
      await host.files.removeTree(image.dir);
      return { id: image.id, name: image.name };
    },
    prune: async (options) => {
      await ownKernel.find();
      return prune(context, { ...options, kernelInUse: ownKernel.currentId() });
    },
    recover: () => undoImageOperations(context),
    requireName: (wish) => requireName(store, wish),
    keepDisk: (derived, signal) => keepDisk(context, derived, signal),
    dropDisk: (imageId) => host.files.removeTree(derivedDir(context, imageId)),
    enter: (record) => enterImage(store, record),
    describe: async (record) => ({ ...(await view(record)), newVms: await newVms(record) }),
  };
};

/** Kernels that no VM pins and no image names, and directories that no record owns. */
const prune = async (context: ImageContext, options: { dryRun: boolean; kernelInUse: string | null }) => {
  const { store, host, paths } = context;
  const images = store.images.all();
  const pinned = new Set([
    ...images.map(({ kernelId }) => kernelId),
    ...store.vms.all().map(({ spec }) => spec.kernelId),
    // Whoever makes a VM just now is about to pin it.
    options.kernelInUse,
  ]);
  const kernels = store.kernels.all();
  // Which kernel a VM pins whose record cannot be read, nobody can say.
  const isKnown = store.vms.unreadable().length === 0;
  const kept = new Set([
    ...images.map(({ dir }) => dir),
    ...kernels.filter(({ id }) => !isKnown || pinned.has(id)).map(({ dir }) => dir),
  ]);
  const found = await Promise.all(
    [paths.imagesDir, paths.kernelsDir].map(async (directory) =>
      (await host.files.list(directory)).map(({ name }) => `${directory}/${name}`),
    ),
  );
  const removed: string[] = [];
  let freedMiB = 0;
  for (const path of found.flat().filter((candidate) => !kept.has(candidate))) {
    freedMiB += await host.files.diskUsedMiB(path);
    removed.push(path);
    if (options.dryRun) continue;
    const kernel = kernels.find(({ dir }) => dir === path);
    if (kernel) store.kernels.remove(kernel.id);
    await host.files.removeTree(path);
  }
  return { removed, freedMiB: Math.round(freedMiB) };
};
