// Starts a shim so that it outlives this daemon, and answers when its VMM was really executed.
import { fail, hasCode } from "../spec/errors.ts";
import { connectShim, type ShimIdentity } from "./shim-control.ts";
import { describeEarlyExit } from "./shim-status.ts";

export { identifyProcess, proveProcess } from "./process-proof.ts";
export {
  connectShim,
  type ShimConsole,
  type ShimControl,
  type ShimEnd,
  type ShimEvent,
  type ShimIdentity,
  type ShimSignal,
} from "./shim-control.ts";
export { planShim, renderShimPlan, type ShimPlan } from "./shim-plan.ts";
export { describeEarlyExit, readShimStatus, type ShimCause, type ShimStatus } from "./shim-status.ts";

const RETRY_MS = 5;
/** A shim that is told to end gives its VMM 5 s; a launch that was given up does not wait that long. */
const GIVE_UP_MS = 500;

export type ShimLaunch = {
  /** Name of the VM, for errors. */
  vm: string;
  /** Absolute path of banger-shim. */
  shimPath: string;
  /** Put before it: what executes it in other namespaces, keeping its pid. */
  prefix?: readonly string[];
  /** The rendered plan, already written. */
  planPath: string;
  /** `control`, `status`, `vmmLog` and `argv` of that plan. */
  controlPath: string;
  statusPath: string;
  vmmLogPath: string;
  command: readonly string[];
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
};

const START_TIMEOUT_MS = 5000;

/**
 * Starts the shim in a session of its own and waits until it says hello, which it does once the VMM runs.
 * Errors: vmm.exited_early (the plan was refused, another shim holds the VM, or the VMM ended first), vmm.shim_timeout,
 * the signal's reason. After an error neither shim nor VMM is left.
 */
export const launchShim = async (launch: ShimLaunch): Promise<ShimIdentity> => {
  const { vm, signal, timeoutMs = START_TIMEOUT_MS } = launch;
  signal?.throwIfAborted();
  const until = performance.now() + timeoutMs;
  const child = Bun.spawn([...(launch.prefix ?? []), launch.shimPath, launch.planPath], {
    cwd: "/",
    env: { HOME: process.env.HOME ?? "/" },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  child.unref();
  const stderr = new Response(child.stderr).text().catch(() => "");
  // The shim lets go of its stderr once it listens: until then there is nobody to ask.
  await settled(stderr, { timeoutMs, signal });
  const control = connectShim({ path: launch.controlPath, vm });
  try {
    for (;;) {
      signal?.throwIfAborted();
      const leftMs = until - performance.now();
      if (leftMs <= 0) throw fail("vmm.shim_timeout", { vm, waitedMs: timeoutMs });
      const identity = await control.hello({ timeoutMs: leftMs, signal }).catch((error) => {
        // Refused or not there yet, or it hung up because the VMM ended meanwhile.
        if (hasCode(error, "vmm.shim_lost")) return null;
        throw error;
      });
      // Another shim may hold the VM and answer here: then this one has refused and is about to say so.
      if (identity?.shimPid === child.pid) return identity;
      const exitCode = await Promise.race([child.exited, Bun.sleep(RETRY_MS).then(() => null)]);
      if (exitCode === null) continue;
      throw await describeEarlyExit({
        vm,
        command: launch.command,
        statusPath: launch.statusPath,
        vmmLogPath: launch.vmmLogPath,
        shimPid: child.pid,
        fallback: { exitCode: child.exitCode, stderr: await stderr },
      });
    }
  } catch (error) {
    await giveUp(child);
    throw error;
  } finally {
    control.close();
  }
};

/** Waits for `work` to end in any way, for the time to be over or for the signal. */
const settled = (
  work: Promise<unknown>,
  limits: { timeoutMs: number; signal: AbortSignal | undefined },
): Promise<void> =>
  new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      limits.signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, limits.timeoutMs);
    limits.signal?.addEventListener("abort", finish);
    void work.then(finish, finish);
  });

/** Ends a shim that is still our child, and with it its VMM: asks it, then lets the kernel do it (PR_SET_PDEATHSIG). */
const giveUp = async (child: Bun.Subprocess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  const hasEnded = await Promise.race([child.exited.then(() => true), Bun.sleep(GIVE_UP_MS).then(() => false)]);
  if (hasEnded) return;
  child.kill("SIGKILL");
  await child.exited;
};
