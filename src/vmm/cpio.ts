// Renders cpio archives as kernels unpack them into their first root file system.

/** `mode` with the file type's bits; `device` for device nodes. */
export type CpioMember = { name: string; mode: number; content?: Uint8Array; device?: readonly [number, number] };

const ALIGNMENT_BYTES = 4;

const padded = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes, Buffer.alloc((ALIGNMENT_BYTES - (bytes.length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES)]);

const renderMember = (member: CpioMember, index: number): Buffer => {
  const { name, mode, content = new Uint8Array(), device = [0, 0] } = member;
  const nameBytes = Buffer.from(`${name}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, device of the file (2), of the node (2), namesize, checksum.
  const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, ...device, nameBytes.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(head), nameBytes])), padded(Buffer.from(content))]);
};

/** The whole archive, format newc (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */
export const renderCpio = (members: readonly CpioMember[]): Buffer =>
  Buffer.concat([...members, { name: "TRAILER!!!", mode: 0 }].map(renderMember));
