// The bodies of Firecracker's API, requests and answers, as its OpenAPI file names them.
import { z } from "zod";

const MiB = z.number().int().positive();
const Count = z.number().int().nonnegative();

export const TokenBucket = z.object({
  size: Count.describe("tokens it holds"),
  one_time_burst: Count.optional(),
  refill_time: Count.describe("until it is full again, milliseconds"),
});

export const RateLimiter = z.object({ bandwidth: TokenBucket.optional(), ops: TokenBucket.optional() });

export const MachineConfiguration = z.object({
  vcpu_count: z.number().int().min(1).max(32),
  mem_size_mib: MiB,
  smt: z.boolean().optional(),
  track_dirty_pages: z.boolean().optional(),
  cpu_template: z.enum(["C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None"]).optional(),
  huge_pages: z.enum(["None", "Transparent", "2M"]).optional(),
});

export const BootSource = z.object({
  kernel_image_path: z.string(),
  initrd_path: z.string().optional(),
  boot_args: z.string().optional(),
});

/** `[A-Za-z0-9_]`: anything else is refused, in the path and in the body. */
const ResourceId = z.string().regex(/^[A-Za-z0-9_]+$/, "an id has letters, digits and underscores");

export const Drive = z.object({
  drive_id: ResourceId,
  is_root_device: z.boolean(),
  is_read_only: z.boolean().optional(),
  path_on_host: z.string().optional(),
  partuuid: z.string().optional(),
  cache_type: z.enum(["Unsafe", "Writeback"]).optional(),
  io_engine: z.enum(["Sync", "Async"]).optional(),
  rate_limiter: RateLimiter.optional(),
  socket: z.string().optional(),
});

export const PartialDrive = z.object({
  drive_id: ResourceId,
  path_on_host: z.string().optional(),
  rate_limiter: RateLimiter.optional(),
});

export const NetworkInterface = z.object({
  iface_id: ResourceId,
  host_dev_name: z.string(),
  guest_mac: z.string().optional(),
  mtu: z.number().int().min(68).max(65_535).optional(),
  rx_rate_limiter: RateLimiter.optional(),
  tx_rate_limiter: RateLimiter.optional(),
});

export const PartialNetworkInterface = z.object({
  iface_id: ResourceId,
  rx_rate_limiter: RateLimiter.optional(),
  tx_rate_limiter: RateLimiter.optional(),
});

export const Vsock = z.object({
  guest_cid: z.number().int().min(3),
  uds_path: z.string(),
  vsock_id: z.string().optional(),
});

export const EntropyDevice = z.object({ rate_limiter: RateLimiter.optional() });

export const SerialDevice = z.object({ serial_out_path: z.string().optional(), rate_limiter: TokenBucket.optional() });

export const Balloon = z.object({
  amount_mib: Count,
  deflate_on_oom: z.boolean(),
  stats_polling_interval_s: Count.optional(),
  free_page_hinting: z.boolean().optional(),
  free_page_reporting: z.boolean().optional(),
});

export const BalloonUpdate = z.object({ amount_mib: Count });
export const BalloonStatsUpdate = z.object({ stats_polling_interval_s: Count });

export const BalloonStats = z.object({
  target_pages: Count,
  actual_pages: Count,
  target_mib: Count,
  actual_mib: Count,
  swap_in: Count.optional(),
  swap_out: Count.optional(),
  major_faults: Count.optional(),
  minor_faults: Count.optional(),
  free_memory: Count.optional(),
  total_memory: Count.optional(),
  available_memory: Count.optional(),
  disk_caches: Count.optional(),
  hugetlb_allocations: Count.optional(),
  hugetlb_failures: Count.optional(),
  oom_kill: Count.optional(),
  alloc_stall: Count.optional(),
  async_scan: Count.optional(),
  direct_scan: Count.optional(),
  async_reclaim: Count.optional(),
  direct_reclaim: Count.optional(),
});

export const Logger = z.object({
  log_path: z.string().optional(),
  level: z.enum(["Error", "Warning", "Info", "Debug", "Trace", "Off"]).optional(),
  show_level: z.boolean().optional(),
  show_log_origin: z.boolean().optional(),
  module: z.string().optional(),
});

export const Metrics = z.object({ metrics_path: z.string() });

export const InstanceActionInfo = z.object({
  action_type: z.enum(["FlushMetrics", "InstanceStart", "SendCtrlAltDel"]),
});

export const Vm = z.object({ state: z.enum(["Paused", "Resumed"]) });

export const SnapshotCreateParams = z.object({
  snapshot_path: z.string(),
  mem_file_path: z.string(),
  snapshot_type: z.enum(["Full", "Diff"]).optional(),
});

export const MemoryBackend = z.object({ backend_type: z.enum(["File", "Uffd"]), backend_path: z.string() });
export const NetworkOverride = z.object({ iface_id: ResourceId, host_dev_name: z.string() });
export const VsockOverride = z.object({ uds_path: z.string() });

export const SnapshotLoadParams = z.object({
  snapshot_path: z.string(),
  mem_backend: MemoryBackend.optional(),
  resume_vm: z.boolean().optional(),
  track_dirty_pages: z.boolean().optional(),
  network_overrides: z.array(NetworkOverride).optional(),
  vsock_override: VsockOverride.optional(),
  clock_realtime: z.boolean().optional(),
  huge_pages: z.enum(["Snapshot", "None", "Transparent", "2M"]).optional(),
});

export const InstanceInfo = z.object({
  id: z.string(),
  state: z.enum(["Not started", "Running", "Paused"]),
  vmm_version: z.string(),
  app_name: z.string(),
});

export const FirecrackerVersion = z.object({ firecracker_version: z.string() });

/** What `GET /vm/config` answers, and equally what the file of `--config-file` holds. */
export const FullVmConfiguration = z.object({
  "machine-config": MachineConfiguration.optional(),
  "boot-source": BootSource.optional(),
  drives: z.array(Drive).optional(),
  "network-interfaces": z.array(NetworkInterface).optional(),
  vsock: Vsock.optional(),
  entropy: EntropyDevice.optional(),
  balloon: Balloon.optional(),
  logger: Logger.optional(),
  metrics: Metrics.optional(),
});
export type FullVmConfiguration = z.infer<typeof FullVmConfiguration>;

/** The body of every refusal. */
export const Fault = z.object({ fault_message: z.string() });
