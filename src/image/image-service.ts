// What the daemon asks of images: find one, its kernel, and build, register, delete and prune them.
import type { ProgressEvent } from "../spec/events.ts";
import type { Image, KernelForVms } from "../spec/image.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { Output } from "../spec/rpc/contract.ts";
import type { KernelChoice } from "../spec/vm.ts";
import type { KernelFiles } from "../vmm/driver.ts";
import type { DerivedDisk } from "./derive.ts";
import type { NameWish } from "./keep.ts";
import type { GuestKernel } from "./own-kernel.ts";

export type ImageCaller = { signal: AbortSignal; emit: (event: ProgressEvent) => void; requestedBy: string };

export type BuildWish = {
  name: string;
  mirror?: string | undefined;
  package: readonly string[];
  script: readonly string[];
  replace: boolean;
  fresh: boolean;
};

export type ImageService = {
  /** The image a reference means: name, alias, id or unique prefix of it. Errors: image.not_found. */
  resolve(ref: string): ImageRecord;
  /** What a VM is cloned from, checked to be whole. Errors: image.broken, image.without_helper. */
  rootOf(image: ImageRecord): Promise<{ path: string; sizeMiB: number }>;
  /** The kernel that a VM of this image gets; null leaves it to banger. Errors: bundle.missing or bundle.stale when its own is wished for. */
  kernelFor(image: ImageRecord, wish: KernelChoice | null): Promise<KernelForVms & { id: string }>;
  /** banger's own kernel as the bundle has it, or why it has none. */
  ownKernel(): Promise<GuestKernel>;
  /** The files of a kernel object. Errors: image.broken when one is gone. */
  kernelOf(kernelId: string, image: string): Promise<KernelFiles>;
  /** Whether the runtime bundle has what is wanted, so that nothing must be built. */
  isReady(input: Omit<BuildWish, "replace">): Promise<boolean>;
  build(input: BuildWish, caller: ImageCaller): Promise<Output<"image.build">>;
  register(input: { name: string; path: string; kernelOf?: string | undefined }, caller: ImageCaller): Promise<Image>;
  list(): Promise<Image[]>;
  show(ref: string): Promise<Output<"image.show">>;
  remove(ref: string): Promise<{ id: string; name: string }>;
  /** Also finishes what an earlier daemon left of builds. */
  prune(options: { dryRun: boolean }): Promise<{ removed: string[]; freedMiB: number }>;
  /** Undoes builds and registrations that a crash interrupted; called once at daemon start. Answers what was not undone, and why. Never fails for that. */
  recover(): Promise<readonly string[]>;
  /** Errors: image.name_taken. */
  requireName(wish: NameWish): void;
  /** Copies a VM's disk to where the image's will be; its record is entered by whoever wanted it. Errors: image.build_failed, image.without_helper, host.no_space. */
  keepDisk(derived: DerivedDisk, signal: AbortSignal): Promise<ImageRecord>;
  /** What `keepDisk` made or began to make is gone. */
  dropDisk(imageId: string): Promise<void>;
  enter(record: ImageRecord): void;
  describe(record: ImageRecord): Promise<Output<"image.build">>;
};
