// What is said in streams of kinds `copy.send` and `copy.receive` (docs/guest.md §2), whichever end sends.

export const COPY = {
  /** From the sender. */
  directory: 33,
  file: 34,
  link: 35,
  block: 36,
  fileEnd: 37,
  skipped: 38,
  all: 39,
  directoryEnd: 40,
  /** From the receiver. */
  resume: 49,
  failed: 50,
  done: 51,
} as const;

/** Files of this size and more can be gone on with where an earlier copy was cut; the sender asks where. */
export const COPY_RESUME_MIN_BYTES = 1024 * 1024;
export const COPY_BLOCK_MAX_BYTES = 65_528;
export const COPY_PATH_MAX_BYTES = 4095;

/** `mode` has permission bits only; times are nanoseconds since the epoch; paths are bytes, as the file system has them. */
export type CopyHead = { mode: number; timeNs: bigint; path: Uint8Array };

export const renderHead = ({ mode, timeNs, path }: CopyHead): Uint8Array => {
  const bytes = new Uint8Array(12 + path.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, mode, true);
  view.setBigInt64(4, timeNs, true);
  bytes.set(path, 12);
  return bytes;
};

export const renderFile = ({ mode, timeNs, path, size }: CopyHead & { size: number }): Uint8Array => {
  const bytes = new Uint8Array(20 + path.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, mode, true);
  view.setBigInt64(4, timeNs, true);
  view.setBigUint64(12, BigInt(size), true);
  bytes.set(path, 20);
  return bytes;
};

export const renderLink = (path: Uint8Array, target: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(2 + path.length + target.length);
  new DataView(bytes.buffer).setUint16(0, path.length, true);
  bytes.set(path, 2);
  bytes.set(target, 2 + path.length);
  return bytes;
};

export const renderOffset = (offset: number): Uint8Array => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(offset), true);
  return bytes;
};

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Null for bytes of the wrong form, here and below. */
export const parseHead = (bytes: Uint8Array): CopyHead | null =>
  bytes.length < 12
    ? null
    : {
        mode: viewOf(bytes).getUint32(0, true) & 0o7777,
        timeNs: viewOf(bytes).getBigInt64(4, true),
        path: bytes.slice(12),
      };

export const parseFile = (bytes: Uint8Array): (CopyHead & { size: number }) | null => {
  if (bytes.length < 20) return null;
  const size = Number(viewOf(bytes).getBigUint64(12, true));
  if (!Number.isSafeInteger(size)) return null;
  return {
    mode: viewOf(bytes).getUint32(0, true) & 0o7777,
    timeNs: viewOf(bytes).getBigInt64(4, true),
    size,
    path: bytes.slice(20),
  };
};

export const parseLink = (bytes: Uint8Array): { path: Uint8Array; target: Uint8Array } | null => {
  if (bytes.length < 2) return null;
  const length = viewOf(bytes).getUint16(0, true);
  return length > bytes.length - 2 ? null : { path: bytes.slice(2, 2 + length), target: bytes.slice(2 + length) };
};

export const parseOffset = (bytes: Uint8Array): number | null => {
  if (bytes.length < 8) return null;
  const offset = Number(viewOf(bytes).getBigUint64(0, true));
  return Number.isSafeInteger(offset) ? offset : null;
};

/** Whether a path leads down and nowhere else: relative, and of real names only. The empty path is the tree itself. */
export const isPathInside = (path: Uint8Array): boolean => {
  if (path.length === 0) return true;
  if (path.length > COPY_PATH_MAX_BYTES || path.includes(0)) return false;
  let name = "";
  for (const byte of [...path, 0x2f]) {
    if (byte !== 0x2f) {
      name += String.fromCharCode(byte);
      continue;
    }
    if (name === "" || name === "." || name === ".." || name.length > 255) return false;
    name = "";
  }
  return true;
};
