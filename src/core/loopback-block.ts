// Decides the instance's block of loopback addresses: in a namespace nothing leads to a guest's own address, so each VM gets one of this host's.

import { hash, isOverlapping, parseCidr } from "./net-plan.ts";

/** Below them others have settled (systemd-resolved at 127.0.0.53, Debian's own name at 127.0.1.1), and the last is no host's address. */
const FIRST = 64;
const COUNT = 191;
const BLOCKS = COUNT * 256;

const blockAt = (index: number): string => `127.${FIRST + Math.floor(index / 256)}.${index % 256}.0/24`;

/** IPv4 addresses in the kernel's tables may be written as IPv6 ones. */
const isWithin = (block: string, address: string): boolean =>
  isOverlapping(block, `${address.replace(/^::ffff:/, "")}/32`);

/**
 * The `/24` an instance goes on with: the one it has, unless somebody else listens in it while no VM of ours is published there;
 * else the first free one from a place that depends on the instance. Whoever listens on all addresses is in no block.
 */
export const decideLoopbackBlock = (options: {
  instance: string;
  current: string | null;
  /** VMs of ours are published there now: what listens in it is ours. */
  hasRunning: boolean;
  /** Addresses that anything on this host listens on. */
  listening: readonly string[];
}): string => {
  const { instance, current, hasRunning, listening } = options;
  const isFree = (block: string) => !listening.some((address) => isWithin(block, address));
  if (current !== null && parseCidr(current) !== null && (hasRunning || isFree(current))) return current;
  const start = hash(`loopback/${instance}`);
  for (let step = 0; step < BLOCKS; step += 1) {
    const block = blockAt((start + step) % BLOCKS);
    if (isFree(block)) return block;
  }
  return blockAt(start % BLOCKS);
};
