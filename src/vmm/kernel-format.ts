// Decides by its first bytes whether a file is a kernel that can be booted directly.

export type KernelFormat = "elf" | "bzImage";

/** How many bytes of a kernel `detectKernelFormat` looks at. */
export const KERNEL_HEAD_BYTES = 1024;

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const u16 = (bytes: Uint8Array, at: number) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);

/**
 * The format of a kernel by its head, or why it is none, as the end of "it is no kernel that can be booted: …".
 * Sources: ELF-64 object file format §1; Linux Documentation/arch/x86/boot.rst (magic HdrS at 0x202, protocol version at 0x206).
 */
export const detectKernelFormat = (
  head: Uint8Array,
): { ok: true; format: KernelFormat } | { ok: false; detail: string } => {
  const no = (detail: string) => ({ ok: false as const, detail });
  if (head.length === 0) return no("it is empty");
  if (text(head.subarray(0, 4)) === "\x7fELF") {
    if (head.length < 64) return no("it is an ELF file that ends within its header");
    if (head[4] !== 2) return no("it is a 32-bit ELF file");
    if (head[5] !== 1) return no("it is an ELF file with the other byte order");
    // e_type 2: an executable; a relocatable or shared object is something else that happens to be ELF.
    if (u16(head, 16) !== 2) return no("it is an ELF file, but no executable");
    // e_machine 62: x86-64.
    if (u16(head, 18) !== 62) return no(`it is an ELF file for another machine (number ${u16(head, 18)})`);
    return { ok: true, format: "elf" };
  }
  if (text(head.subarray(0x202, 0x206)) === "HdrS") {
    if (head.length < 0x238) return no("it is a bzImage that ends within its header");
    // Before 2.06 a command line had at most 255 bytes.
    if (u16(head, 0x206) < 0x206) return no("its boot protocol is older than 2.06");
    // XLF_KERNEL_64 in xloadflags: without it this is a 32-bit kernel.
    if ((u16(head, 0x236) & 1) === 0) return no("it is a 32-bit bzImage");
    return { ok: true, format: "bzImage" };
  }
  if (text(head.subarray(0, 4)) === "ARM\x64" || text(head.subarray(56, 60)) === "ARM\x64")
    return no("it is a kernel for arm64");
  if (head[0] === 0x1f && head[1] === 0x8b) return no("it is compressed with gzip; give the vmlinux inside it");
  if (text(head.subarray(1, 5)) === "7zXZ") return no("it is compressed with xz; give the vmlinux inside it");
  return no("it begins neither like an ELF vmlinux nor like a bzImage");
};
