// An image that no guest could boot, for what is decided before a guest is booted: a small file system and a kernel in name only.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "../../src/store/store.ts";
import type { Instance } from "../vm/fixture.ts";

export const SMALL_IMAGE_MIB = 16;

/** Enters it as `debian` into an instance whose daemon has not run yet; answers the path of its root file system. */
export const addSmallImage = (banger: Instance): string => {
  const imageDir = join(banger.dir, "data/banger/images/0123456789ab");
  const kernelDir = join(banger.dir, "data/banger/kernels/0123456789abcdef");
  for (const dir of [imageDir, kernelDir]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const root = join(imageDir, "rootfs.ext4");
  const made = Bun.spawnSync(["/sbin/mkfs.ext4", "-q", "-F", root, `${SMALL_IMAGE_MIB}M`], { stderr: "pipe" });
  if (!made.success) throw new Error(`mkfs.ext4: ${made.stderr}`);
  writeFileSync(join(kernelDir, "vmlinux"), "no kernel\n");
  mkdirSync(join(banger.dir, "state/banger"), { recursive: true, mode: 0o700 });
  const store = openStore({ path: join(banger.dir, "state/banger/banger.db") });
  const createdAt = new Date(0).toISOString();
  store.kernels.insert({ id: "0123456789abcdef", dir: kernelDir, release: "6.1.0", cmdline: [], createdAt });
  store.images.insert({
    id: "0123456789ab",
    name: "debian-13",
    aliases: ["debian"],
    dir: imageDir,
    sizeMiB: SMALL_IMAGE_MIB,
    usedMiB: 1,
    kernelId: "0123456789abcdef",
    helperVersion: "0.1.0",
    createdAt,
    origin: { how: "built", details: {} },
  });
  store.close();
  return root;
};

/** The code of the error that a command printed with --json; "none" when it printed none. */
export const codeOf = ({ err }: { err: string }): string => {
  const line =
    err
      .trim()
      .split("\n")
      .find((text) => text.startsWith("{")) ?? "{}";
  try {
    return (JSON.parse(err.trim()) as { error?: { code?: string } }).error?.code ?? "none";
  } catch {
    return (JSON.parse(line) as { error?: { code?: string } }).error?.code ?? "none";
  }
};
