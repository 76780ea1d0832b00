// Decides which tests belong together: three speeds and a machine of their own, each with its bounds.
import { Glob } from "bun";

export type Group = {
  name: string;
  what: string;
  /** Files side by side; 1 where they would take each other's processor time or names. */
  width: number;
  /** Bound on one test, and on one file: what hangs is killed, and the rest goes on. */
  testTimeoutMs: number;
  fileTimeoutMs: number;
  /** It boots the image of the guest tests. */
  hasGuests: boolean;
  /** Its output is shown as it comes, because it takes minutes. */
  isStreamed: boolean;
};

export const groups = [
  {
    name: "fast",
    what: "pure functions, the modelled host, and generated files",
    width: 2,
    testTimeoutMs: 30_000,
    fileTimeoutMs: 120_000,
    hasGuests: false,
    isStreamed: false,
  },
  {
    name: "host",
    what: "processes, compilers, sockets and network namespaces of this machine",
    width: 1,
    testTimeoutMs: 60_000,
    fileTimeoutMs: 300_000,
    hasGuests: false,
    isStreamed: false,
  },
  {
    name: "vm",
    what: "real guests",
    width: 1,
    testTimeoutMs: 300_000,
    fileTimeoutMs: 1_500_000,
    hasGuests: true,
    isStreamed: true,
  },
  {
    name: "lab",
    what: "guests on a host with KVM, which is a virtual machine itself",
    width: 1,
    // A lab that locks up is found out in minutes, and its tests bring bounds of their own.
    testTimeoutMs: 1_260_000,
    fileTimeoutMs: 3_600_000,
    hasGuests: true,
    isStreamed: true,
  },
] as const satisfies readonly Group[];

export type GroupName = (typeof groups)[number]["name"];

/** By directory, the first that fits; what is in none of them is fast. */
const places: readonly [prefix: string, group: GroupName][] = [
  ["test/lab/", "lab"],
  ["test/vm/", "vm"],
  ["test/vmm/conformance.test.ts", "vm"],
  ["test/vmm/firecracker-conformance.test.ts", "vm"],
  ["test/vmm/qemu-guest.test.ts", "vm"],
  ["test/host/fake-host.test.ts", "fast"],
  ["test/host/", "host"],
  ["test/net/", "host"],
  ["test/shim/", "host"],
  ["test/jail/", "host"],
  ["test/proxy/", "host"],
  ["test/guest-channel/", "host"],
  ["test/guest-init/", "host"],
  ["test/vmm/", "host"],
  ["test/dns/", "host"],
  ["test/daemon/", "host"],
  // Modelled, but too long for a check before each commit.
  ["test/crash/", "host"],
  ["test/cli/", "host"],
  ["test/bundle/", "host"],
  ["test/tui/terminal.test.ts", "host"],
  ["test/image/", "host"],
  ["test/make/", "host"],
];

export const groupOf = (file: string): GroupName => places.find(([prefix]) => file.startsWith(prefix))?.[1] ?? "fast";

/** Whether it asks for real Firecracker where somebody has one; all others are to run the same on every machine. */
export const asksForFirecracker = (file: string): boolean => /^test\/(lab\/|vmm\/firecracker-)/.test(file);

/** Every test file, relative to the root, in a fixed order. */
export const findTestFiles = (root: string): string[] =>
  [...new Glob("test/**/*.test.{ts,tsx}").scanSync({ cwd: root })].sort();
