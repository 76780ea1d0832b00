// Builds banger-holder as it is shipped, and opens namespaces by it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHolder } from "../../src/host/holder.ts";

const built = mkdtempSync(join(tmpdir(), "bgr-holder-"));

export const removeBuiltHolder = (): void => rmSync(built, { recursive: true, force: true });

/** Its path; the reason when it cannot be had or used here. */
export const buildHolder = (): { executable: string } | { obstacle: string } => {
  if (Bun.which("musl-gcc") === null) return { obstacle: "musl-gcc is not installed" };
  if (Bun.which("pasta") === null) return { obstacle: "pasta is not installed" };
  const script = join(import.meta.dir, "../../native/build.sh");
  const { success, stderr } = Bun.spawnSync(["sh", script, "holder", built], { stdout: "ignore", stderr: "pipe" });
  if (!success) throw new Error(stderr.toString());
  const executable = join(built, "banger-holder");
  const probed = Bun.spawnSync([executable, "probe"], { stdout: "pipe" });
  return probed.success ? { executable } : { obstacle: probed.stdout.toString().trim() };
};

export const openHolder = async (executable: string) => {
  const dir = mkdtempSync(join(built, "i-"));
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
