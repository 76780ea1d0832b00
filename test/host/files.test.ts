// Files are written whole or not at all, removed only where they are ours, and disks are copied without their holes.
import { afterEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isReflinkLacking } from "../../src/host/disk-clone.ts";
import { createFiles } from "../../src/host/files.ts";
import { BangerError } from "../../src/spec/errors.ts";
import { findLabObstacle } from "./net-lab.ts";

const MIB = 1024 * 1024;
const made: string[] = [];
const newDir = () => {
  const directory = mkdtempSync(`${tmpdir()}/bgr-`);
  made.push(directory);
  mkdirSync(`${directory}/root`);
  return { directory, root: `${directory}/root`, files: createFiles({ roots: [`${directory}/root`] }) };
};
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => null,
    (cause) => cause,
  );
  return error instanceof BangerError ? error.code : String(error?.name ?? "no error");
};

describe("writing", () => {
  test("a file appears with its mode, replaces what was there, and leaves nothing beside it", async () => {
    const { root, files } = newDir();
    await files.writeAtomic(`${root}/key`, "one", 0o600);
    await files.writeAtomic(`${root}/key`, new Uint8Array([1, 2]), 0o640);
    expect(statSync(`${root}/key`).mode & 0o777).toBe(0o640);
    expect(await files.readBytes(`${root}/key`)).toEqual(Buffer.from([1, 2]));
    expect(readdirSync(root)).toEqual(["key"]);
  });

  test("a link in the file's place is replaced, not followed", async () => {
    const { directory, root, files } = newDir();
    writeFileSync(`${directory}/precious`, "keep");
    symlinkSync(`${directory}/precious`, `${root}/file`);
    await files.writeAtomic(`${root}/file`, "new", 0o600);
    expect(readFileSync(`${directory}/precious`, "utf8")).toBe("keep");
  });

  test("twenty writers at once leave one whole file", async () => {
    const { root, files } = newDir();
    const texts = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000));
    await Promise.all(texts.map((text) => files.writeAtomic(`${root}/file`, text, 0o600)));
    expect(texts).toContain((await files.read(`${root}/file`)) ?? "");
    expect(readdirSync(root)).toEqual(["file"]);
  });

  test("a directory that is missing is named in the error", async () => {
    const { root, files } = newDir();
    expect(await codeOf(files.writeAtomic(`${root}/no/file`, "x", 0o600))).toBe("host.file_failed");
  });
});

describe("reading", () => {
  test("what is missing is null, empty or false, never an error", async () => {
    const { root, files } = newDir();
    expect(await files.read(`${root}/no`)).toBeNull();
    expect(await files.read(`${root}/no/deeper`)).toBeNull();
    expect(await files.tail(`${root}/no`, 100)).toBe("");
    expect(await files.list(`${root}/no`)).toEqual([]);
    expect(await files.exists(`${root}/no`)).toBe(false);
    expect(await files.sizeMiB(`${root}/no`)).toBeNull();
    expect(await files.diskUsedMiB(`${root}/no`)).toBe(0);
    expect(await files.freeMiB(`${root}/no/deeper`)).toBeGreaterThan(0);
  });

  test("a tail begins with a whole line", async () => {
    const { root, files } = newDir();
    writeFileSync(`${root}/log`, "first line\nsecond line\nthird\n");
    expect(await files.tail(`${root}/log`, 1000)).toBe("first line\nsecond line\nthird\n");
    expect(await files.tail(`${root}/log`, 10)).toBe("third\n");
  });

  test("entries are listed by name with their kind", async () => {
    const { root, files } = newDir();
    mkdirSync(`${root}/b`);
    writeFileSync(`${root}/a`, "12345");
    symlinkSync("a", `${root}/c`);
    const entries = await files.list(root);
    expect(entries.map(({ name, kind }) => [name, kind])).toEqual([
      ["a", "file"],
      ["b", "directory"],
      ["c", "link"],
    ]);
    expect(entries[0]?.sizeBytes).toBe(5);
  });
});

describe("removing", () => {
  test("a tree is removed twice, and links in it are not followed", async () => {
    const { directory, root, files } = newDir();
    mkdirSync(`${directory}/precious`);
    writeFileSync(`${directory}/precious/file`, "keep");
    mkdirSync(`${root}/vm/deep`, { recursive: true });
    symlinkSync(`${directory}/precious`, `${root}/vm/link`);
    await files.removeTree(`${root}/vm`);
    await files.removeTree(`${root}/vm`);
    expect(readdirSync(root)).toEqual([]);
    expect(readFileSync(`${directory}/precious/file`, "utf8")).toBe("keep");
  });

  test("nothing outside of the roots is removed, by whatever spelling, nor a root itself", async () => {
    const { directory, root, files } = newDir();
    mkdirSync(`${directory}/rootless/x`, { recursive: true });
    const spellings = [
      root,
      `${root}/`,
      `${root}/.`,
      `${root}/../rootless`,
      `${directory}/rootless`,
      "/",
      "",
      "root/x",
      `${root}/vm/../../rootless`,
    ];
    for (const path of spellings) expect([path, await codeOf(files.removeTree(path))]).toEqual([path, "host.not_ours"]);
    expect(readdirSync(directory).sort()).toEqual(["root", "rootless"]);
  });

  test("a path that leads out through a linked directory is refused", async () => {
    const { directory, root, files } = newDir();
    mkdirSync(`${directory}/elsewhere/vm`, { recursive: true });
    symlinkSync(`${directory}/elsewhere`, `${root}/vms`);
    expect(await codeOf(files.removeTree(`${root}/vms/vm`))).toBe("host.not_ours");
    expect(readdirSync(`${directory}/elsewhere`)).toEqual(["vm"]);
  });

  test("a file is removed twice, and of a link only the link", async () => {
    const { directory, root, files } = newDir();
    writeFileSync(`${directory}/precious`, "keep");
    symlinkSync(`${directory}/precious`, `${root}/link`);
    await files.removeFile(`${root}/link`);
    await files.removeFile(`${root}/link`);
    expect(readdirSync(directory).sort()).toEqual(["precious", "root"]);
  });
});

/** 64 MiB with a megabyte of data at each end. */
const makeImage = async (path: string) => {
  const file = await open(path, "w");
  await file.truncate(64 * MIB);
  await file.write(Buffer.alloc(MIB, "a"), 0, MIB, 0);
  await file.write(Buffer.alloc(MIB, "z"), 0, MIB, 63 * MIB);
  await file.close();
};

describe("disks", () => {
  test("a clone has the image's content, the size that was asked for, and no more blocks than the image", async () => {
    const { root, files } = newDir();
    await makeImage(`${root}/image`);
    const { method } = await files.cloneDisk({ from: `${root}/image`, to: `${root}/disk`, sizeMiB: 1024 });
    expect(["reflink", "sparse"]).toContain(method);
    expect(await files.sizeMiB(`${root}/disk`)).toBe(1024);
    expect(await files.diskUsedMiB(`${root}/disk`)).toBeLessThanOrEqual((await files.diskUsedMiB(`${root}/image`)) + 1);
    const clone = Bun.file(`${root}/disk`);
    expect(await clone.slice(0, 2).text()).toBe("aa");
    expect(await clone.slice(64 * MIB - 2, 64 * MIB + 2).text()).toBe("zz\0\0");
    expect(statSync(`${root}/disk`).mode & 0o777).toBe(0o600);
    expect(readdirSync(root).sort()).toEqual(["disk", "image"]);
  });

  test("a clone that is smaller than its image, exists already or has no image leaves nothing", async () => {
    const { root, files } = newDir();
    await makeImage(`${root}/image`);
    writeFileSync(`${root}/old`, "keep");
    const clone = (from: string, to: string, sizeMiB: number) => codeOf(files.cloneDisk({ from, to, sizeMiB }));
    expect(await clone(`${root}/image`, `${root}/disk`, 63)).toBe("host.file_failed");
    expect(await clone(`${root}/image`, `${root}/old`, 128)).toBe("host.file_failed");
    expect(await clone(`${root}/nothing`, `${root}/disk`, 128)).toBe("host.file_failed");
    expect(readdirSync(root).sort()).toEqual(["image", "old"]);
    expect(readFileSync(`${root}/old`, "utf8")).toBe("keep");
  });

  test("a cancelled clone leaves nothing", async () => {
    const { root, files } = newDir();
    await makeImage(`${root}/image`);
    const signal = AbortSignal.abort();
    expect(await codeOf(files.cloneDisk({ from: `${root}/image`, to: `${root}/disk`, sizeMiB: 128, signal }))).toBe(
      "operation.cancelled",
    );
    expect(readdirSync(root)).toEqual(["image"]);
  });

  test("sharing blocks is given up for good where the file system cannot, not for what passes", () => {
    const said = (reason: string) => `/bin/cp: failed to clone '/d/disk.part' from '/d/image': ${reason}\n`;
    const lasting = ["Operation not supported", "Inappropriate ioctl for device", "Invalid cross-device link"];
    const passing = ["No space left on device", "Disk quota exceeded", "Input/output error", "Text file busy"];
    expect(lasting.map(said).map(isReflinkLacking)).toEqual([true, true, true]);
    expect(passing.map(said).map(isReflinkLacking)).toEqual([false, false, false, false]);
    const { root } = newDir();
    writeFileSync(`${root}/image`, "a");
    const env = { PATH: "/bin", LC_ALL: "C" };
    const here = Bun.spawnSync(["/bin/cp", "--reflink=always", "--", `${root}/image`, `${root}/disk`], { env });
    expect(here.success || isReflinkLacking(here.stderr.toString())).toBe(true);
    expect(isReflinkLacking("/bin/cp: cannot open '/d/image' for reading: Permission denied\n")).toBe(false);
  });

  test("a disk grows and never shrinks", async () => {
    const { root, files } = newDir();
    await makeImage(`${root}/disk`);
    await files.growDisk(`${root}/disk`, 100);
    expect(await files.sizeMiB(`${root}/disk`)).toBe(100);
    expect(await codeOf(files.growDisk(`${root}/disk`, 99))).toBe("host.file_failed");
    expect(await files.sizeMiB(`${root}/disk`)).toBe(100);
  });

  const obstacle = findLabObstacle();
  const onSmallDisk = obstacle === null ? test : test.skip;
  onSmallDisk(
    `an image that does not fit is refused before a byte is copied${obstacle ? ` (${obstacle})` : ""}`,
    async () => {
      const { directory } = newDir();
      const script = `
      import { createFiles } from ${JSON.stringify(`${import.meta.dir}/../../src/host/files.ts`)};
      const files = createFiles({ roots: [] });
      const error = await files.cloneDisk({ from: "${directory}/image", to: "${directory}/small/disk", sizeMiB: 128 }).catch((e) => e);
      const full = await files.writeAtomic("${directory}/small/file", Buffer.alloc(9 << 20), 0o600).catch((e) => e);
      console.log(JSON.stringify([error.code, error.data.neededMiB > error.data.freeMiB, full.code, await files.list("${directory}/small")]));`;
      await makeImage(`${directory}/image`);
      mkdirSync(`${directory}/small`);
      const userns = process.getuid?.() === 0 ? [] : ["-Ur"];
      const mounted = `mount -t tmpfs -o size=8m tmpfs ${directory}/small && exec ${process.execPath} -e "$0"`;
      const child = Bun.spawnSync(["unshare", ...userns, "-m", "sh", "-c", mounted, script]);
      expect(child.stderr.toString()).toBe("");
      expect(JSON.parse(child.stdout.toString())).toEqual(["host.no_space", true, "host.no_space", []]);
    },
  );
});
