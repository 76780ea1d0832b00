// The same boot without banger: its image, kernel and VMM arguments, with copy, tap, process and ssh done by a few plain commands.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Output } from "../src/spec/rpc/contract.ts";
import { asRoot, type Instance } from "../test/vm/fixture.ts";
import { sshCommand } from "../test/vm/ssh.ts";

export type HandRun = { copyMs: number; tapMs: number; answerMs: number; sshMs: number; totalMs: number };

export type ByHand = { run(): Promise<HandRun>; close(): void };

const must = (argv: readonly string[]): void => {
  const done = Bun.spawnSync(argv as string[], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  if (!done.success) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
};

const isOpen = (host: string, port: number, waitMs: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (found: boolean) => {
      clearTimeout(timer);
      // One that is given up must not come through later: each is an sshd that the guest starts.
      socket.destroy();
      resolve(found);
    };
    // A first packet that is lost is sent again after a second; asking anew is quicker.
    const timer = setTimeout(() => finish(false), waitMs);
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });

/** Resolves when something accepts a connection there. */
const untilAnswered = async (host: string, port: number, timeoutMs: number): Promise<void> => {
  const deadline = performance.now() + timeoutMs;
  while (!(await isOpen(host, port, 200))) {
    if (performance.now() > deadline) throw new Error(`nobody answers at ${host}:${port}`);
    await Bun.sleep(10);
  }
};

/** Learns from a VM that banger runs how to boot the like by hand; the VM is gone when this returns. */
export const prepareByHand = async (banger: Instance, imagePath: string): Promise<ByHand> => {
  const dir = join(banger.dir, "hand");
  mkdirSync(dir, { recursive: true });
  await banger.create("model");
  const plan = await banger.json<Output<"vm.plan">>(["vm", "start", "--plan", "model"]);
  const access = JSON.parse(await banger.ok(["ssh", "--json", "model"])) as Output<"vm.access">;
  const document = join(dir, "document.tar");
  const knownHosts = join(dir, "known_hosts");
  copyFileSync(plan.paths.document, document);
  copyFileSync(access.knownHostsPath, knownHosts);
  await banger.ok(["rm", "--force", "model"]);

  const disk = join(dir, "disk.raw");
  const { tap, bridge, gateway, mac: _, address } = plan.network;
  const argv = (plan.launch.restartArgv ?? plan.launch.argv)
    .filter((word) => word !== "-S")
    .map((word) =>
      word
        .replaceAll(plan.paths.disk, disk)
        .replaceAll(plan.paths.document, document)
        .replaceAll(plan.paths.runtimeDir, dir),
    );
  const sizeBytes = Math.round((await Bun.file(imagePath).stat()).size);
  const wantedBytes = Math.max(sizeBytes, 40 * 2 ** 30);

  const run = async (): Promise<HandRun> => {
    const startedMs = performance.now();
    must(["cp", "--reflink=auto", "--sparse=auto", imagePath, disk]);
    must(["truncate", "-s", String(wantedBytes), disk]);
    const copiedMs = performance.now();
    must(asRoot(["ip", "link", "add", bridge, "type", "bridge"]));
    must(asRoot(["ip", "address", "add", `${gateway}/24`, "dev", bridge]));
    must(asRoot(["ip", "link", "set", bridge, "up"]));
    must(asRoot(["ip", "tuntap", "add", tap, "mode", "tap", "user", String(process.getuid?.() ?? 0)]));
    must(asRoot(["ip", "link", "set", tap, "master", bridge, "up"]));
    const tappedMs = performance.now();
    const vmm = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
    try {
      await untilAnswered(address, 22, 180_000);
      const answeredMs = performance.now();
      const ssh = Bun.spawn(sshCommand({ ...access, knownHostsPath: knownHosts }, "true"), {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
      });
      if ((await ssh.exited) !== 0) throw new Error("ssh by hand failed");
      const endedMs = performance.now();
      return {
        copyMs: copiedMs - startedMs,
        tapMs: tappedMs - copiedMs,
        answerMs: answeredMs - tappedMs,
        sshMs: endedMs - answeredMs,
        totalMs: endedMs - startedMs,
      };
    } finally {
      vmm.kill("SIGKILL");
      await vmm.exited;
      must(asRoot(["ip", "link", "delete", tap]));
      must(asRoot(["ip", "link", "delete", bridge]));
      rmSync(disk, { force: true });
    }
  };
  return { run, close: () => rmSync(dir, { recursive: true, force: true }) };
};
