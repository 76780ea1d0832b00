// Which files are taken for kernels.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { hasCode } from "../../src/spec/errors.ts";
import { checkKernelFiles } from "../../src/vmm/kernel-file.ts";
import { detectKernelFormat, KERNEL_HEAD_BYTES } from "../../src/vmm/kernel-format.ts";

const elf = (changes: (bytes: Buffer) => void = () => {}): Buffer => {
  const bytes = Buffer.alloc(KERNEL_HEAD_BYTES);
  bytes.write("\x7fELF\x02\x01\x01", 0, "latin1");
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(62, 18);
  changes(bytes);
  return bytes;
};
const bzImage = (changes: (bytes: Buffer) => void = () => {}): Buffer => {
  const bytes = Buffer.alloc(KERNEL_HEAD_BYTES);
  bytes.write("HdrS", 0x202, "latin1");
  bytes.writeUInt16LE(0x20f, 0x206);
  bytes.writeUInt16LE(1, 0x236);
  changes(bytes);
  return bytes;
};
const detailOf = (bytes: Uint8Array) => {
  const found = detectKernelFormat(bytes);
  return found.ok ? found.format : found.detail;
};

describe("a kernel's format", () => {
  const cases: readonly [claim: string, bytes: Uint8Array, says: string][] = [
    ["a vmlinux is taken", elf(), "elf"],
    ["a bzImage is taken", bzImage(), "bzImage"],
    ["an empty file is named", new Uint8Array(), "it is empty"],
    ["a cut ELF header is named", elf().subarray(0, 20), "ends within its header"],
    ["a cut bzImage header is named", bzImage().subarray(0, 0x210), "ends within its header"],
    ["a 32-bit vmlinux is named", elf((bytes) => bytes.writeUInt8(1, 4)), "32-bit"],
    ["a big-endian ELF is named", elf((bytes) => bytes.writeUInt8(2, 5)), "byte order"],
    ["an arm64 vmlinux is named", elf((bytes) => bytes.writeUInt16LE(183, 18)), "another machine (number 183)"],
    ["a shared library is named", elf((bytes) => bytes.writeUInt16LE(3, 16)), "no executable"],
    ["a 32-bit bzImage is named", bzImage((bytes) => bytes.writeUInt16LE(0, 0x236)), "32-bit"],
    ["an ancient bzImage is named", bzImage((bytes) => bytes.writeUInt16LE(0x202, 0x206)), "boot protocol"],
    ["an arm64 Image is named", Buffer.concat([Buffer.alloc(56), Buffer.from("ARM\x64"), Buffer.alloc(900)]), "arm64"],
    ["a gzip file is named", Buffer.from([0x1f, 0x8b, 8, 0]), "gzip"],
    ["a text file is named", Buffer.from("<html>not found</html>"), "neither"],
  ];
  for (const [claim, bytes, says] of cases) test(claim, () => expect(detailOf(bytes)).toContain(says));

  test("is decided for any bytes without an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: KERNEL_HEAD_BYTES }), (bytes) => expect(detailOf(bytes)).toBeString()),
    );
  });
});

describe("the files of a kernel", () => {
  let directory: string;
  const path = (name: string) => join(directory, name);
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "bgr-kernel-"));
    await writeFile(path("vmlinux"), elf());
    await writeFile(path("text"), "hello");
    await writeFile(path("empty"), "");
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  const check = async (kernel: string, initramfs: string | null = null) => {
    try {
      await checkKernelFiles({
        kernel: path(kernel),
        initramfs: initramfs && path(initramfs),
        modules: null,
        cmdline: [],
      });
      return "fine";
    } catch (error) {
      if (!hasCode(error, "vmm.kernel_unusable")) throw error;
      return `${error.data.path.slice(directory.length + 1)}: ${error.data.detail}`;
    }
  };

  test("are fine when the kernel is one and the rest is there", async () => {
    expect(await check("vmlinux", "text")).toBe("fine");
  });

  test("are refused by name and reason", async () => {
    expect(await check("text")).toStartWith("text: it begins neither");
    expect(await check("missing")).toContain("missing: it cannot be read (ENOENT");
    expect(await check("vmlinux", "missing")).toContain("missing: it cannot be read (ENOENT");
    expect(await check("vmlinux", "empty")).toBe("empty: it is empty");
    expect(await check("")).toContain("it cannot be read (EISDIR");
  });
});
