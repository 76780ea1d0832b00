// banger-vsock-pingd by itself: its size, its ends, its one place in a guest, and how it shuts the guest down.
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { createFrameReader, type Frame } from "../../src/spec/guest/frames.ts";
import { FRAME, SYNC_BYTES } from "../../src/spec/guest/protocol.ts";
import { builtPingd } from "../native.ts";
import { buildProblem, type RealHelper, startPretendedInit, startRealHelper, until } from "./real-helper.ts";

const problem = buildProblem();
const units = join(import.meta.dir, "../../guest/units");

let helper: RealHelper | undefined;
let channel: GuestChannel | undefined;
const others: Bun.Subprocess[] = [];

afterEach(async () => {
  channel?.close();
  for (const child of others.splice(0)) {
    child.kill(9);
    await child.exited;
  }
  await helper?.stop();
  helper = undefined;
});

const meet = async (
  options: Parameters<typeof startRealHelper>[0] = {},
): Promise<{ helper: RealHelper; channel: GuestChannel }> => {
  helper = await startRealHelper(options);
  channel = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: "blue" });
  return { helper, channel };
};

const statusOf = (pid: number, key: string): number =>
  Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

describe.skipIf(problem !== null)(`banger-vsock-pingd${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  test("is static and at most 100 KiB", () => {
    expect(statSync(builtPingd()).size).toBeLessThanOrEqual(100 * 1024);
    const program = readFileSync(builtPingd());
    expect(program.includes("/ld-musl")).toBe(false);
    expect(program.includes("/ld-linux")).toBe(false);
  });

  test("stays within 1 MiB of memory with 64 full streams", async () => {
    const { helper, channel } = await meet();
    await channel.ready({ timeoutMs: 5_000 });
    const streams = await Promise.all(Array.from({ length: 64 }, () => channel.open("echo")));
    for (const stream of streams)
      stream.writable
        .getWriter()
        .write(new Uint8Array(1024 * 1024))
        .catch(() => undefined);
    const first = streams[0]?.readable.getReader();
    for (let bytes = 0; bytes < 1024 * 1024; ) bytes += (await first?.read())?.value?.length ?? 0;
    expect(statusOf(helper.pid(), "VmHWM")).toBeLessThanOrEqual(1024);
  });

  test("tells the host of the guest's end, at once and to whoever asks later", async () => {
    const { helper, channel } = await meet();
    const heard: string[] = [];
    channel.onEnding((why) => heard.push(why));
    await channel.ready({ timeoutMs: 5_000 });
    expect(helper.run("--ending", "kexec")).toEqual({ exitCode: 0, stderr: "" });
    await until("the ending is heard", () => heard.length === 1);
    const later = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: "blue" });
    later.onEnding((why) => heard.push(`later ${why}`));
    await until("the ending is heard again", () => heard.includes("later kexec"));
    later.close();
    expect(heard[0]).toBe("kexec");
  });

  test("an ending that no host hears delays the guest by no more than a moment", async () => {
    helper = await startRealHelper();
    const beganMs = performance.now();
    expect(helper.run("--ending", "poweroff").exitCode).toBe(0);
    expect(performance.now() - beganMs).toBeLessThan(500);
    await helper.stop();
    expect(helper.run("--ending", "poweroff").exitCode).toBe(1);
  });

  test("refuses arguments that it does not know", () => {
    for (const args of [["--ending", "boredom"], ["--sshd", "late"], ["--early", "--stand-by"], ["x"], ["--what"]]) {
      const result = Bun.spawnSync([builtPingd(), ...args], { stderr: "pipe" });
      expect(result.exitCode).toBe(2);
      expect(result.stderr.toString()).toContain("usage:");
    }
  });

  test("is alone in its guest, and one that stands by takes its place when it dies", async () => {
    const { helper, channel } = await meet();
    const info = await channel.ready({ timeoutMs: 5_000 });
    const second = helper.run("--unix", helper.path);
    expect(second).toEqual({ exitCode: 3, stderr: "banger-vsock-pingd: another one is running\n" });
    const standBy = helper.spawn("--stand-by");
    await until("it waits for the lock", () =>
      readFileSync("/proc/locks", "utf8").includes(`-> FLOCK  ADVISORY  WRITE ${standBy.pid} `),
    );
    const lost = Promise.withResolvers<void>();
    channel.onStateChange(({ state }) => {
      if (state === "lost") lost.resolve();
    });
    process.kill(helper.pid(), 9);
    await lost.promise;
    expect(await channel.ready({ timeoutMs: 5_000 })).toMatchObject({ version: info.version, bootId: info.bootId });
    expect(standBy.exitCode).toBe(null);
    expect(readFileSync(`/proc/${standBy.pid}/cmdline`, "latin1").startsWith("@")).toBe(true);
    expect(helper.run("--ending", "halt").exitCode).toBe(0);
  });

  test("started early it goes to the background, marked so that systemd spares it", async () => {
    helper = await startRealHelper();
    const directory = join(helper.directory, "early");
    const early = Bun.spawnSync([
      builtPingd(),
      "--early",
      "--sshd",
      "early",
      "--unix",
      `${directory}.sock`,
      "--run-dir",
      directory,
    ]);
    expect(early.exitCode).toBe(0);
    channel = openGuestChannel({ kind: "stream-socket", path: `${directory}.sock` }, { vm: "blue" });
    expect((await channel.ready({ timeoutMs: 5_000 })).sshd).toBe("early");
    const locks = readFileSync("/proc/locks", "utf8");
    const inode = statSync(join(directory, "pingd.lock")).ino;
    const pid = Number(new RegExp(`FLOCK\\s+ADVISORY\\s+WRITE (\\d+) \\S+:${inode} `).exec(locks)?.[1]);
    expect(readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("@")).toBe(true);
    process.kill(pid, 9);
    await until("it is dead", () => !existsSync(`/proc/${pid}/exe`));
  });

  test("its sockets and its lock are its owner's alone", async () => {
    const { helper } = await meet();
    for (const path of [helper.path, join(helper.runDirectory, "pingd.sock"), join(helper.runDirectory, "pingd.lock")])
      expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("announces itself to a host that listens for it", async () => {
    helper = await startRealHelper();
    const at = join(helper.directory, "announce");
    const heard = Promise.withResolvers<Buffer>();
    const server = createServer((socket) => {
      const parts: Buffer[] = [];
      socket.on("data", (part) => parts.push(Buffer.from(part)));
      socket.on("end", () => heard.resolve(Buffer.concat(parts)));
    });
    await new Promise<void>((resolve) => server.listen(at, resolve));
    const run = join(helper.directory, "other");
    others.push(Bun.spawn([builtPingd(), "--unix", `${run}.sock`, "--run-dir", run, "--announce", at]));
    const bytes = await heard.promise;
    server.close();
    const frames: Frame[] = [];
    expect(bytes.subarray(0, 8).toString()).toBe("BANGERGC");
    createFrameReader().push(bytes.subarray(SYNC_BYTES), (frame) => frames.push(frame) > 0);
    expect(frames.map(({ type }) => type)).toEqual([FRAME.ready]);
  });
});

describe.skipIf(problem !== null)(`shutting down${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  test("asks systemctl for what the host wants", async () => {
    const { helper, channel } = await meet();
    await channel.shutdown("poweroff", { timeoutMs: 5_000 });
    await until("systemctl was asked", async () => (await helper.asked()) === "poweroff\n");
    await channel.shutdown("reboot", { timeoutMs: 5_000 });
    await until("systemctl was asked again", async () => (await helper.asked()) === "poweroff\nreboot\n");
  });

  test.each([
    ["poweroff", 38],
    ["reboot", 39],
  ] as const)("signals systemd itself for %s when systemctl fails", async (how, signal) => {
    const scratch = await startRealHelper();
    const init = startPretendedInit(scratch.directory);
    others.push(init);
    const { channel } = await meet({ systemctlExit: 1, initPid: init.pid });
    await channel.shutdown(how, { timeoutMs: 5_000 });
    await init.exited;
    expect(await statusWord(init)).toBe(signal);
    await scratch.stop();
  });

  test("leaves an init that is not systemd alone, and tries again", async () => {
    const bystander = Bun.spawn(["sleep", "60"]);
    others.push(bystander);
    const { helper, channel } = await meet({ systemctlExit: 1, initPid: bystander.pid });
    await channel.shutdown("poweroff", { timeoutMs: 5_000 });
    await until("systemctl was asked twice", async () => (await helper.asked()).split("\n").length > 2);
    expect(bystander.exitCode).toBe(null);
    expect(bystander.signalCode).toBe(null);
  });
});

/** The number of the signal that a child died of; real-time signals have no name that all runtimes know. */
const statusWord = async (child: Bun.Subprocess): Promise<number> => {
  const code = await child.exited;
  return code > 128 ? code - 128 : Number(String(child.signalCode ?? code).replace(/\D/g, ""));
};

describe("units", () => {
  test("every ending has its unit, wanted by its target and naming itself", () => {
    for (const why of ["poweroff", "reboot", "halt", "kexec"]) {
      const unit = readFileSync(join(units, `banger-ending-${why}.service`), "utf8");
      expect(unit).toContain(`--ending ${why}\n`);
      expect(unit).toContain(`WantedBy=${why}.target\n`);
    }
  });
});
