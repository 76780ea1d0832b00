// The port through which everything else acts on this machine: root operations, files, processes and facts.
import type { HostRoute } from "../core/net-routes.ts";
import type { HostOp, NetInventory, PrivLogEntry } from "../spec/host-op.ts";
import type { ProcessProof } from "../spec/vm.ts";
import type { ProxyPort } from "./proxy.ts";
import type { ShimControl, ShimIdentity, ShimLaunch, ShimStatus } from "./shim.ts";

/** Everything that banger does to or learns from the machine it runs on. FakeHost (test/fakes) is the other implementation. */
export type Host = {
  root: RootPort;
  files: FilePort;
  processes: ProcessPort;
  proxies: ProxyPort;
  /** What this machine is; read anew on each call, because routes and resolvers change. */
  facts(): Promise<HostFacts>;
  /** Which boot of this machine this is; one of the facts, without the rest of them. */
  bootId(): Promise<string>;
  /** Ends the privileged helper. VMs and their shims are not touched. */
  close(): Promise<void>;
};

/** The closed set of root operations, done by banger-root one after another. */
export type RootPort = {
  /**
   * Does `op` and answers `net.list` with an inventory, all others with null. `requestedBy` goes to `banger priv log`.
   * Every operation is idempotent. Errors: root.unavailable, root.refused, host.not_ours, host.command_failed, operation.timeout.
   */
  run(op: HostOp, requestedBy: string): Promise<NetInventory | null>;
};

/** Receives one entry for each privileged operation, when it has ended. */
export type PrivLogSink = (entry: PrivLogEntry) => void;

export type CloneRequest = {
  /** Raw disk or image to copy. */
  from: string;
  /** Path of the copy, which must not exist; it appears whole or not at all. */
  to: string;
  /** Size of the copy as the guest sees it, MiB; not below that of `from`. */
  sizeMiB: number;
  signal?: AbortSignal;
};

export type CloneResult = {
  /** reflink: the blocks are shared with the source; sparse: the data extents were copied. */
  method: "reflink" | "sparse";
  ms: number;
};

export type FileEntry = { name: string; kind: "file" | "directory" | "link" | "socket" | "other"; sizeBytes: number };

/** Files as the user who runs the daemon. All paths are absolute. Errors: host.file_failed, host.no_space. */
export type FilePort = {
  /** Replaces `path` as one: a temporary file beside it, fsync, rename, fsync of the directory. Mode as in chmod, e.g. 0o600. */
  writeAtomic(path: string, content: string | Uint8Array, mode: number): Promise<void>;
  /** The same for a file that is the user's own: a link stays one, what it leads to is replaced, and keeps its mode; `mode` is for a file that is new. */
  rewrite(path: string, content: string, mode: number): Promise<void>;
  /** The whole content as UTF-8, null when there is no such file. Refuses more than 16 MiB. */
  read(path: string): Promise<string | null>;
  readBytes(path: string): Promise<Uint8Array | null>;
  /** Removes one file, socket or link (never what it points to); succeeds when there is none. */
  removeFile(path: string): Promise<void>;
  /** Removes a directory and all below it, following no link; only below banger's own roots. Succeeds when there is none. */
  removeTree(path: string): Promise<void>;
  /** Makes a directory (0700) and its parents; succeeds when it exists. */
  makeDir(path: string): Promise<void>;
  /** Renames on one file system, replacing what is there. */
  rename(from: string, to: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** Entries by name, in order; empty when there is no such directory. */
  list(path: string): Promise<FileEntry[]>;
  /** The last `bytes` of a file, from its first whole line on; empty when there is no such file. */
  tail(path: string, bytes: number): Promise<string>;
  /** Makes a disk out of another: by reflink where the file system can, else by copying what is not a hole. */
  cloneDisk(request: CloneRequest): Promise<CloneResult>;
  /** Makes a stopped VM's disk larger; a smaller size is refused (host.file_failed). */
  growDisk(path: string, sizeMiB: number): Promise<void>;
  /** Size of a file as a reader sees it, MiB, rounded up; null when there is none. */
  sizeMiB(path: string): Promise<number | null>;
  /** What a file or tree really occupies on this host, MiB, rounded up; 0 when there is none. */
  diskUsedMiB(path: string): Promise<number>;
  /** What the user may still write on the file system that holds `path` (or its nearest existing parent), MiB. */
  freeMiB(path: string): Promise<number>;
};

export type CommandRequest = {
  /** Absolute path of the executable first; never a shell line. */
  argv: readonly string[];
  timeoutMs: number;
  stdin?: string | Uint8Array;
  /** Added to a clean environment (PATH, HOME, LC_ALL=C). */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** Ends the command and all it started (SIGTERM, then SIGKILL); the promise rejects with operation.cancelled. */
  signal?: AbortSignal;
  /** Each whole line as it comes. */
  onLine?: (line: string, stream: "stdout" | "stderr") => void;
  /** What is kept of each stream: the first half and the last half of this many bytes; 1 MiB by default. */
  keepBytes?: number;
  /** Debian package to name when the executable is missing. */
  package?: string;
};

/** A command that ran to its end, well or not. `exitCode` is 128+n after signal n. */
export type CommandResult = { stdout: string; stderr: string; exitCode: number };

export type ProcessPort = {
  /** The identity of a live process, null when there is none. */
  identify(pid: number): Promise<ProcessProof | null>;
  /** Whether the proven process still lives; "other" when its pid now belongs to someone else. Zombies are gone. */
  prove(proof: ProcessProof): Promise<"same" | "gone" | "other">;
  /** Runs a command to its end. Errors: host.command_missing, operation.timeout, operation.cancelled. */
  runCommand(request: CommandRequest): Promise<CommandResult>;
  /** Starts a shim that outlives this daemon and waits until its VMM runs. Errors: vmm.exited_early, vmm.shim_timeout. */
  launchShim(launch: ShimLaunch): Promise<ShimIdentity>;
  /** The control of the shim that listens at `path`; nothing is connected before the first call. */
  connectShim(options: { path: string; vm: string }): ShimControl;
  /** What a shim last wrote about its VMM, null when there is nothing to be read. */
  readShimStatus(path: string): Promise<ShimStatus | null>;
};

export type PublicKeyFile = { path: string; text: string };

/** What this machine and its user are. */
export type HostFacts = {
  cpus: number;
  memoryMiB: number;
  uid: number;
  gid: number;
  userName: string;
  home: string;
  shell: string;
  /** /proc/sys/kernel/random/boot_id */
  bootId: string;
  /** /dev/kvm exists and this user may open it; whether a guest boots on it is another question. */
  hasKvmDevice: boolean;
  /** IPv4 routes of all tables. */
  routes: readonly HostRoute[];
  /** The resolvers the host itself asks, never a stub on loopback when the real ones are known. */
  resolvers: readonly string[];
  /** IANA name, null when unknown. */
  timezone: string | null;
  /** Value of LANG, null when unset. */
  locale: string | null;
  /** Proxy variables of the environment by their lower-case names (http_proxy, https_proxy, ftp_proxy, all_proxy, no_proxy). */
  proxy: Readonly<Record<string, string>>;
  /** PEM files that the administrator added to the trust store (/usr/local/share/ca-certificates). */
  caCertificates: readonly string[];
  /** The user's public SSH keys (~/.ssh/*.pub). */
  publicKeys: readonly PublicKeyFile[];
};
