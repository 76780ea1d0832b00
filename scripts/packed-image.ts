// Packs an image that banger built as one archive for the bundle, once: what an archive was made of is recorded beside it.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore } from "../src/store/store.ts";

type Source = { rootfs: string; kernelDir: string; made: object };

const readSource = (template: string): Source => {
  const store = openStore({ path: join(template, "state/banger/banger.db"), readOnly: true });
  const image = store.images.byName("debian-13");
  const kernel = image && store.kernels.get(image.kernelId);
  store.close();
  if (!image || !kernel) throw new Error(`${template} has no image debian-13`);
  const made = { version: 1, helperVersion: image.helperVersion ?? "unknown", details: image.origin.details };
  return { rootfs: join(image.dir, "rootfs.ext4"), kernelDir: kernel.dir, made };
};

/** Which files these are and that nobody wrote to them since: a time alone tells neither, and a hash would read them whole. */
const describeFile = (path: string): string[] => {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [realpathSync(path), ...[dev, ino, size, mtimeNs, ctimeNs].map(String)];
};

const describeSource = ({ rootfs, kernelDir, made }: Source): string => {
  const kernel = readdirSync(kernelDir, { recursive: true, encoding: "utf8" }).sort();
  const files = [rootfs, ...kernel.map((name) => join(kernelDir, name))].map(describeFile);
  return `${JSON.stringify({ made, files }, null, 2)}\n`;
};

/** One archive without the time or the owner of anything. */
const packImage = ({ rootfs, kernelDir, made }: Source, target: string): void => {
  // Links and a note alone: nothing is copied before it is packed.
  const stage = mkdtempSync(join(tmpdir(), "banger-image-"));
  try {
    symlinkSync(rootfs, join(stage, "rootfs.ext4"));
    symlinkSync(kernelDir, join(stage, "kernel"));
    writeFileSync(join(stage, "made.json"), `${JSON.stringify(made, null, 2)}\n`);
    const tar =
      "tar --dereference --sparse --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX";
    const line = `set -eu; ${tar} -C "$1" -cf - made.json kernel rootfs.ext4 | zstd -q -T2 -6 -f -o "$2.new"; mv "$2.new" "$2"`;
    const done = Bun.spawnSync(["sh", "-c", line, "sh", stage, target], { stderr: "inherit" });
    if (!done.success) throw new Error("the image could not be packed");
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
};

/** The archive of the image in `template`; packed anew, which takes a while, only where the one in `directory` is of anything else. */
export const packedImage = (template: string, directory: string, say: (line: string) => void): string => {
  const target = join(directory, "debian-13.tar.zst");
  const record = `${target}.source`;
  const source = readSource(template);
  const description = describeSource(source);
  if (existsSync(target) && existsSync(record) && readFileSync(record, "utf8") === description) return target;
  say("==> the default image, packed");
  mkdirSync(directory, { recursive: true });
  // Never beside an archive of something else, wherever this is interrupted.
  rmSync(record, { force: true });
  packImage(source, target);
  writeFileSync(record, description);
  return target;
};
