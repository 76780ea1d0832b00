// Whether Ctrl-Alt-Del, by which Firecracker asks a guest to end, reaches the init of banger's own kernel: a keyboard of the same kind, under QEMU.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderCpio } from "../../src/vmm/cpio.ts";
import { findObstacle } from "./fixture.ts";
import { lacksOwnKernel, ownKernelPath } from "./own-kernel.ts";

const obstacle = findObstacle() ?? lacksOwnKernel();
const dir = mkdtempSync(join(tmpdir(), "bgr-keys-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const BOUND_MS = 120_000;

/** PID 1: has the keys sent to it, as systemd has, says what came, and restarts the machine. */
const INIT = `
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>
static void say(const char *line) { if (write(1, line, strlen(line)) < 0) _exit(1); }
static void asked(int signal) { (void)signal; say("init: asked\\n"); reboot(RB_AUTOBOOT); }
int main(void) {
  signal(SIGINT, asked);
  reboot(RB_DISABLE_CAD);
  say("init: waits\\n");
  for (;;) pause();
}
`;

const makeInitramfs = async (): Promise<string> => {
  const [source, init, archive] = ["init.c", "init", "initramfs"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(source, INIT);
  const done = Bun.spawnSync(["musl-gcc", "-static", "-Os", "-o", init, source], { stderr: "pipe" });
  if (!done.success) throw new Error(`musl-gcc: ${done.stderr}`);
  const content = new Uint8Array(await Bun.file(init).arrayBuffer());
  const directory = { name: "dev", mode: 0o040755 };
  const console = { name: "dev/console", mode: 0o020600, device: [5, 1] } as const;
  writeFileSync(archive, renderCpio([directory, console, { name: "init", mode: 0o100755, content }]));
  return archive;
};

test.skipIf(obstacle !== null)(
  `Ctrl-Alt-Del comes to init as a signal${obstacle === null ? "" : ` (${obstacle})`}`,
  async () => {
    const qmp = join(dir, "qmp");
    const machine = "microvm,acpi=off,pit=on,pic=on,rtc=on,x-option-roms=off,isa-serial=on";
    // The keyboard's words are those of src/vmm/firecracker.
    const words = "console=ttyS0 quiet panic=1 reboot=k i8042.noaux i8042.nomux i8042.dumbkbd";
    const vmm = Bun.spawn(
      [
        ...[
          "qemu-system-x86_64",
          "-machine",
          machine,
          "-accel",
          "tcg",
          "-cpu",
          "max",
          "-m",
          "128M",
          "-bios",
          "qboot.rom",
        ],
        ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "i8042"],
        ...["-kernel", ownKernelPath, "-initrd", await makeInitramfs(), "-append", words],
        ...["-serial", "stdio", "-qmp", `unix:${qmp},server=on,wait=off`],
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: BOUND_MS, killSignal: "SIGKILL" },
    );
    let shown = "";
    for await (const bytes of vmm.stdout) {
      const isNew = !shown.includes("init: waits");
      shown += Buffer.from(bytes).toString();
      if (isNew && shown.includes("init: waits")) pressKeys(qmp);
    }
    expect(shown).toContain("init: asked");
    // -no-reboot: it was the guest that ended the machine, by its keyboard controller.
    expect(await vmm.exited).toBe(0);
  },
  BOUND_MS,
);

const pressKeys = (path: string): void => {
  const keys = ["ctrl", "alt", "delete"].map((data) => ({ type: "qcode", data }));
  const socket = connect(path);
  socket.on("data", () => {});
  socket.write(`{"execute":"qmp_capabilities"}\n${JSON.stringify({ execute: "send-key", arguments: { keys } })}\n`);
};
