// Renders the plan that banger-shim reads: which VMM to keep, where to log, and when to start it again.
import { fail } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";

/** One VMM's life under a shim. All paths are absolute; `control` and `staleSockets` lie inside `dir`. */
export type ShimPlan = {
  /** VM id, [A-Za-z0-9_-], at most 64 bytes. */
  id: string;
  /** Private (0700) runtime directory of the VM. */
  dir: string;
  /** Socket that the shim answers on, at most 107 bytes. */
  control: string;
  /** File whose flock admits one shim per VM. */
  lock: string;
  /** Serial console log; `console.1` beside it is the older half. */
  console: string;
  /** Where the console of the start before this one is moved (and `.1` of it); null joins all starts in one log. */
  consolePrevious: string | null;
  /** Size of both halves together, 4 KiB to 1 GiB. */
  consoleMaxBytes: number;
  vmmLog: string;
  vmmLogMaxBytes: number;
  /** Where the shim writes what `readShimStatus` reads. */
  status: string;
  restartsOnReboot: boolean;
  /** More restarts than this within 60 s end the VM with cause reboot_loop; 0 to 60. */
  restartMax: number;
  /** The VMM runs on when its guest has halted, so the shim ends it. */
  endsOnHalt: boolean;
  /** Sockets removed before each start, unless somebody answers there (then the start fails). */
  staleSockets: readonly string[];
  /** Where a program that leads a VMM of another user tells its real pid; null: the VMM is started itself. */
  vmmPid: string | null;
  /** The VMM, its absolute path first. */
  argv: readonly string[];
  /** What to run after a guest's reboot, when it differs from `argv`. */
  restartArgv: readonly string[] | null;
  /** Added to PATH, HOME and LANG, which are all that the VMM sees otherwise. */
  env: Readonly<Record<string, string>>;
};

export const SHIM_CONSOLE_MAX_BYTES = 8 * 1024 * 1024;
export const SHIM_VMM_LOG_MAX_BYTES = 1024 * 1024;
const RESTART_MAX = 5;
const PLAN_MAX_BYTES = 65_536;
const SOCKET_PATH_MAX_BYTES = 107;

/** What a start's plan means for its shim. */
export const planShim = (plan: StartPlan): ShimPlan => ({
  id: plan.vm.id,
  dir: plan.paths.runtimeDir,
  control: plan.paths.shimControl,
  lock: plan.paths.shimLock,
  console: plan.paths.console,
  consolePrevious: `${plan.paths.console}.previous`,
  consoleMaxBytes: SHIM_CONSOLE_MAX_BYTES,
  vmmLog: plan.paths.vmmLog,
  vmmLogMaxBytes: SHIM_VMM_LOG_MAX_BYTES,
  status: plan.paths.shimStatus,
  restartsOnReboot: true,
  restartMax: RESTART_MAX,
  endsOnHalt: plan.launch.endOnHalt,
  staleSockets: plan.launch.staleSockets,
  vmmPid: plan.launch.jail?.pidFile ?? null,
  argv: plan.launch.argv,
  restartArgv: plan.launch.restartArgv,
  env: {},
});

const flag = (isSet: boolean) => (isSet ? "1" : "0");

const itemsOf = (plan: ShimPlan): (readonly [key: string, value: string])[] => [
  ["version", "1"],
  ["id", plan.id],
  ["dir", plan.dir],
  ["control", plan.control],
  ["lock", plan.lock],
  ["console", plan.console],
  ...(plan.consolePrevious === null ? [] : ([["console_previous", plan.consolePrevious]] as const)),
  ["console_max", String(plan.consoleMaxBytes)],
  ["vmm_log", plan.vmmLog],
  ["vmm_log_max", String(plan.vmmLogMaxBytes)],
  ["status", plan.status],
  ...(plan.vmmPid === null ? [] : ([["vmm_pid", plan.vmmPid]] as const)),
  ["restart_on_reboot", flag(plan.restartsOnReboot)],
  ["restart_max", String(plan.restartMax)],
  ["end_on_halt", flag(plan.endsOnHalt)],
  ...plan.staleSockets.map((path) => ["remove", path] as const),
  ...plan.argv.map((argument) => ["arg", argument] as const),
  ...(plan.restartArgv ?? []).map((argument) => ["restart_arg", argument] as const),
  ...Object.entries(plan.env).map(([name, value]) => ["env", `${name}=${value}`] as const),
];

/**
 * The plan as the bytes of its file: NUL-ended key=value items (docs/shim.md).
 * Errors: input.invalid (a NUL in a value, or a plan over 64 KiB), instance.path_too_long.
 */
export const renderShimPlan = (plan: ShimPlan): Uint8Array => {
  for (const path of [plan.control, ...plan.staleSockets]) {
    const bytes = Buffer.byteLength(path);
    if (bytes > SOCKET_PATH_MAX_BYTES) throw fail("instance.path_too_long", { path, bytes });
  }
  const items = itemsOf(plan);
  const broken = items.find(([, value]) => value.includes("\0"));
  if (broken) throw fail("input.invalid", { issues: [{ path: broken[0], message: "holds a NUL character" }] });
  const bytes = new TextEncoder().encode(items.map(([key, value]) => `${key}=${value}\0`).join(""));
  if (bytes.length > PLAN_MAX_BYTES) {
    throw fail("input.invalid", { issues: [{ path: "argv", message: "the VMM's arguments are longer than 64 KiB" }] });
  }
  return bytes;
};
