// The smallest guest that proves virtualisation: an initramfs whose init sleeps, speaks and reboots, to be run by an ordinary kernel.

/** What the guest prints on its console once it runs in user mode and a timer has fired. */
export const PROOF_LINE = "banger-proof: user mode";

/**
 * x86-64 machine code, assembled by GNU as from:
 *   nanosleep({0, 10 ms})                    without a working timer interrupt this never returns
 *   write(1, PROOF_LINE "\n", 24)
 *   reboot(LINUX_REBOOT_MAGIC1, MAGIC2, RESTART)
 *   1: jmp 1b
 * with the timespec at offset 0x40 and the text at 0x50.
 */
const CODE = [
  "b823000000 488d3d34000000 31f6 0f05",
  "b801000000 bf01000000 488d352f000000 ba18000000 0f05",
  "b8a9000000 bfaddee1fe be69191228 ba67452301 0f05",
  "ebfe",
  "0000000000000000 8096980000000000",
].join("");

const LOAD_ADDRESS = 0x400000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

/** A static ELF-64 executable with one segment (ELF-64 object file format, §§2, 9). */
const renderInit = (): Buffer => {
  const code = Buffer.concat([Buffer.from(CODE.replaceAll(" ", ""), "hex"), Buffer.from(`${PROOF_LINE}\n`)]);
  const headers = Buffer.alloc(ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  const size = headers.length + code.length;
  headers.write("\x7fELF\x02\x01\x01", 0, "latin1");
  headers.writeUInt16LE(2, 16); // e_type: executable
  headers.writeUInt16LE(62, 18); // e_machine: x86-64
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS + headers.length), 24); // e_entry
  headers.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32); // e_phoff
  headers.writeUInt16LE(ELF_HEADER_BYTES, 52);
  headers.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  headers.writeUInt16LE(1, 56); // e_phnum
  headers.writeUInt32LE(1, 64); // p_type: load
  headers.writeUInt32LE(5, 68); // p_flags: read, execute
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 80);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 88);
  headers.writeBigUInt64LE(BigInt(size), 96);
  headers.writeBigUInt64LE(BigInt(size), 104);
  headers.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([headers, code]);
};

type Member = { name: string; mode: number; content?: Uint8Array; device?: [major: number, minor: number] };

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);

/** One member of a cpio archive as kernels read it (Documentation/driver-api/early-userspace/buffer-format.rst). */
const renderMember = ({ name, mode, content = new Uint8Array(), device = [0, 0] }: Member, index: number): Buffer => {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, device[0], device[1], nameBytes.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(head), nameBytes])), padded(Buffer.from(content))]);
};

/** The initramfs, uncompressed, so that every kernel that takes one can read it. */
export const renderProofInitramfs = (): Buffer => {
  const members: Member[] = [
    { name: "dev", mode: 0o040755 },
    { name: "dev/console", mode: 0o020600, device: [5, 1] },
    { name: "init", mode: 0o100755, content: renderInit() },
    { name: "TRAILER!!!", mode: 0 },
  ];
  return Buffer.concat(members.map(renderMember));
};
