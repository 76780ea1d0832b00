// Receives sockets that another process made, in a namespace of its own say, and passed to us with a message (unix(7), SCM_RIGHTS).
import { dlopen, ptr, read } from "bun:ffi";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const MAX_FDS = 4;
/** sizeof(struct cmsghdr): a length of 8 bytes, level and type of 4 each. */
const HEADER_BYTES = 16;

let recvmsg: ((fd: number, message: Uint8Array, flags: number) => number | bigint) | null = null;

const load = () => {
  recvmsg ??= dlopen("libc.so.6", { recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64" } }).symbols
    .recvmsg as unknown as NonNullable<typeof recvmsg>;
  return recvmsg;
};

/** One message that has arrived on the unix socket `fd`: its bytes, and the sockets that came along; null when there is none. */
export const receiveSockets = (fd: number): { bytes: Uint8Array; sockets: number[] } | null => {
  const bytes = new Uint8Array(64);
  const control = new Uint8Array(HEADER_BYTES + 4 * MAX_FDS + 8);
  const part = new BigUint64Array([BigInt(ptr(bytes)), BigInt(bytes.length)]);
  // struct msghdr of 64-bit Linux: name, its length, parts, their count, control, its length, flags.
  const message = new BigUint64Array([0n, 0n, BigInt(ptr(part)), 1n, BigInt(ptr(control)), BigInt(control.length), 0n]);
  const received = Number(load()(fd, new Uint8Array(message.buffer), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (received <= 0) return null;
  const controlLength = Number(message[5]);
  const at = ptr(control);
  const sockets: number[] = [];
  if (controlLength >= HEADER_BYTES && read.i32(at, 8) === SOL_SOCKET && read.i32(at, 12) === SCM_RIGHTS) {
    const length = Number(read.u64(at, 0));
    for (let offset = HEADER_BYTES; offset + 4 <= length; offset += 4) sockets.push(read.i32(at, offset));
  }
  return { bytes: bytes.slice(0, received), sockets };
};
