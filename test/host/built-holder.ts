// banger-holder as it is shipped, and namespaces opened by it.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHolder } from "../../src/host/holder.ts";
import { builtNative, shippedObstacle } from "../native.ts";

const instances = join(tmpdir(), `bgr-holder-${process.pid}`);

export const removeInstances = (): void => rmSync(instances, { recursive: true, force: true });

/** Its path; the reason when it cannot be had or used here. */
export const buildHolder = (): { executable: string } | { obstacle: string } => {
  if (shippedObstacle !== null) return { obstacle: shippedObstacle };
  if (Bun.which("pasta") === null) return { obstacle: "pasta is not installed" };
  const executable = builtNative("holder");
  const probed = Bun.spawnSync([executable, "probe"], { stdout: "pipe" });
  return probed.success ? { executable } : { obstacle: probed.stdout.toString().trim() };
};

export const openHolder = async (executable: string) => {
  mkdirSync(instances, { recursive: true, mode: 0o700 });
  const dir = mkdtempSync(join(instances, "i-"));
  const socket = join(dir, "holder.sock");
  const holder = createHolder({
    executable,
    socket,
    log: join(dir, "log"),
    findPasta: () => Bun.which("pasta"),
    members: () => [],
    onAddresses: () => {},
    onMended: () => {},
  });
  await holder.ensure();
  const pids = holder.state();
  if (pids === null) throw new Error("the holder said nothing of itself");
  return {
    holder,
    socket,
    pids,
    close: (): void => {
      holder.release();
      // It would end by itself in a while, and with it all that was in there.
      try {
        process.kill(pids.holder, "SIGTERM");
      } catch {
        // A test had ended it.
      }
    },
  };
};
