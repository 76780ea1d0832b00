// The guest channel through the driver's vsock: the guest announces itself, is asked, and is found again after its reboot.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { type ChannelTransport, openGuestChannel } from "../../src/guest/channel.ts";
import { VSOCK_ANNOUNCE_PORT } from "../../src/spec/guest/protocol.ts";
import { FAKE_KERNEL, fakeFirecrackerDriver } from "../fakes/fake-firecracker-driver.ts";
import { type Bench, openBench, until } from "../shim/shim-bench.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

/** A booted guest under a real shim, and its channel, opened before the boot as the daemon does. */
const boot = async (...fakes: string[]) => {
  const plan = fakeFirecrackerDriver.launch({
    vm: { id: "0123456789ab", name: "hello" },
    binary: { path: "/fake", version: "1.17.0", firmwareDir: null },
    accelerator: "kvm",
    tscKhz: null,
    kernel: { kernel: FAKE_KERNEL, initramfs: null, modules: null, cmdline: fakes.map((fake) => `fake=${fake}`) },
    disks: [],
    network: null,
    vcpus: 1,
    memoryMiB: 128,
    runtimeDir: bench.dir,
  });
  for (const { path, content } of plan.files) await writeFile(path, content);
  const { argv, restartArgv, staleSockets, endOnHalt } = plan;
  const changes = { id: "0123456789ab", argv, restartArgv, staleSockets, endsOnHalt: endOnHalt };
  const { control: shim } = await bench.start("", changes);
  const attach = () =>
    fakeFirecrackerDriver.attach(plan, { vm: "hello", timeoutMs: 5000, signal: AbortSignal.timeout(10_000) });
  const control = await attach();
  const address = fakeFirecrackerDriver.channelAddress({ runtimeDir: bench.dir, cid: 1002 });
  const channel = openGuestChannel(address as ChannelTransport, { vm: "hello" });
  await control.boot(AbortSignal.timeout(5000));
  control.close();
  return { plan, shim, channel, attach };
};

describe("the guest channel over the driver's vsock", () => {
  test("becomes ready, answers a ping, and carries a shutdown that ends the VMM", async () => {
    const { shim, channel } = await boot();
    const endings: string[] = [];
    channel.onEnding((why) => endings.push(why));
    expect((await channel.ready({ timeoutMs: 5000 })).bootId).not.toBe("");
    expect((await channel.ping({ timeoutMs: 5000 })).uptimeMs).toBeGreaterThan(0);
    await channel.shutdown("poweroff", { timeoutMs: 5000 });
    expect((await shim.untilExit()).cause).toBe("poweroff");
    expect(endings).toEqual(["poweroff"]);
    channel.close();
    shim.close();
  });

  test("is found by trying when nothing is announced", async () => {
    const { channel, shim } = await boot("no-announce");
    await channel.ready({ timeoutMs: 5000 });
    channel.close();
    shim.close();
  });

  test("comes back after a reboot, whose start the daemon's own socket does not keep from happening", async () => {
    const { channel, shim, attach } = await boot();
    const first = await channel.ready({ timeoutMs: 5000 });
    const lost = Promise.withResolvers<void>();
    channel.onStateChange(({ state }) => state === "lost" && lost.resolve());
    await channel.shutdown("reboot", { timeoutMs: 5000 });
    await lost.promise;
    const second = await channel.ready({ timeoutMs: 10_000 });
    expect(second.bootId).not.toBe(first.bootId);
    expect(existsSync(`${bench.dir}/vsock_${VSOCK_ANNOUNCE_PORT}`)).toBe(true);
    const control = await attach();
    expect(await control.hasBooted()).toBe(true);
    control.close();
    channel.close();
    shim.close();
  });

  test("does not last longer than the VMM's vCPUs, which a poweroff halts and no more", async () => {
    const { channel, shim } = await boot();
    await channel.ready({ timeoutMs: 5000 });
    const console = await shim.attach();
    await console.write(Buffer.from("poweroff\n"));
    expect((await shim.untilExit()).cause).toBe("poweroff");
    await until("the channel has noticed", () => channel.state !== "ready");
    console.close();
    channel.close();
    shim.close();
  });
});

describe("the sockets of a VM", () => {
  test("are for their user alone", async () => {
    const { plan, channel, shim } = await boot();
    const modes = await Promise.all(plan.staleSockets.map(async (path) => (await stat(path)).mode & 0o077));
    expect(modes).toEqual([0, 0]);
    channel.close();
    shim.close();
  });
});
