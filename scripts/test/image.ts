// Has the image of the guest tests built before they run, so that their bounds are about tests and not about a download.
import { existsSync, readdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Place } from "./place.ts";

const BUILD_TIMEOUT_MS = 25 * 60_000;

/** test/vm/guest-image.ts keeps one for each state of its sources; the directory it lies in. Takes minutes, or nothing. */
export const prepareTestImage = async (
  root: string,
  env: Place["env"],
  say: (line: string) => void,
): Promise<string> => {
  const child = Bun.spawn([process.execPath, "test/vm/guest-image.ts"], {
    cwd: root,
    env: { ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: BUILD_TIMEOUT_MS,
  });
  const started = performance.now();
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error((out + error).trim().slice(-2000));
  const directory = out.trim().split("\n").at(-1) ?? "";
  linkKernel(directory);
  say(`the image is in ${directory} (${Math.round((performance.now() - started) / 1000)} s)`);
  return directory;
};

/** Tests of VMM drivers need no more than a kernel, and look for it here. */
const linkKernel = (directory: string): void => {
  const link = join(directory, "kernel");
  const [kernel] = readdirSync(join(directory, "data/banger/kernels"));
  if (kernel !== undefined && !existsSync(link)) symlinkSync(join("data/banger/kernels", kernel), link);
};
