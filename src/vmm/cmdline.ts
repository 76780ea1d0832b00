// The guest kernel's command line: the boot contract's words (docs/guest.md §1), the driver's and the kernel's own.
import { fail } from "../spec/errors.ts";
import type { KernelFiles } from "./driver.ts";

/** x86 kernels keep this many bytes of a command line, the final NUL included (COMMAND_LINE_SIZE). */
export const CMDLINE_BYTES_MAX = 2048;

const contract = [
  "root=/dev/vda",
  "rootfstype=ext4",
  "rw",
  "init=/usr/lib/banger/init",
  "console=ttyS0",
  "quiet",
  "loglevel=1",
  "panic=1",
  "reboot=k",
  "net.ifnames=0",
] as const;

/** The whole command line. A later word wins in the kernel, so the driver's and then the kernel's own come last. Errors: vmm.kernel_unusable. */
export const renderCmdline = (kernel: KernelFiles, driverWords: readonly string[]): string => {
  const line = [...contract, ...driverWords, ...kernel.cmdline].join(" ");
  const bytes = Buffer.byteLength(line);
  const refuse = (detail: string) => fail("vmm.kernel_unusable", { path: kernel.kernel, detail });
  if (bytes >= CMDLINE_BYTES_MAX)
    throw refuse(`its command line would be ${bytes} bytes long, and ${CMDLINE_BYTES_MAX - 1} is the most`);
  if (/[\p{Cc}]/u.test(line)) throw refuse("its command line has a control character in it");
  return line;
};
