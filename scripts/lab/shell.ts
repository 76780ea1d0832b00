// Boots the lab and gives a shell in it, or runs one line there: make lab-shell [LINE='...'].
import { openLab } from "../../test/lab/lab.ts";

const line = process.argv.slice(2).join(" ");
const lab = await openLab((text) => console.error(text));
try {
  console.error(
    `the lab is up after ${Math.round(lab.bootMs / 100) / 10} s (${lab.accelerator}); its Firecracker: ${lab.firecracker ?? lab.firecrackerReason}`,
  );
  const command = line === "" ? [lab.ssh[0] as string, "-t", ...lab.ssh.slice(1)] : [...lab.ssh, line];
  const shell = Bun.spawn(command, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  process.exitCode = await shell.exited;
} finally {
  await lab.close();
}
