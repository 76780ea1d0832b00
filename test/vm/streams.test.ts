// In and out of a real guest over its channel: exec, cp, and both with the guest's network down.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const MIB = 2 ** 20;
/** A GiB takes minutes through an emulated guest: only when it is asked for. */
const isLong = process.env.BANGER_TEST_LONG === "1";
const bulkMiB = isLong ? 1024 : 16;

suite(`in and out of a guest${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  const sha = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

  beforeAll(async () => {
    banger = await openTestInstance();
    await banger.create("io", "--memory", "512M");
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "exec gives output, errors and exit code, as the VM's user in its home",
    async () => {
      const ran = await banger.run(["exec", "io", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
      expect(ran).toEqual({ code: 7, out: "out\n", err: "err\n" });
      const { user } = await banger.show("io");
      expect(await banger.ok(["exec", "io", "--", "sh", "-c", 'echo "$USER"; id -un; test "$PWD" = "$HOME"'])).toBe(
        `${user}\n${user}\n`,
      );
    },
    BOOT_MS,
  );

  test(
    "exec and cp work while the guest's network is down",
    async () => {
      const root = ["exec", "-u", "root", "io", "--"];
      await banger.ok([...root, "ip", "link", "set", "eth0", "down"]);
      try {
        expect((await banger.run(["exec", "io", "--", "echo", "still here"])).out).toBe("still here\n");
        await banger.ok(["cp", "io:/etc/os-release", join(banger.dir, "os-release")]);
        expect(readFileSync(join(banger.dir, "os-release"), "utf8")).toContain("ID=debian");
      } finally {
        await banger.ok([...root, "ip", "link", "set", "eth0", "up"]);
      }
    },
    BOOT_MS,
  );

  test(`${bulkMiB} MiB go in and out with the same hash${isLong ? "" : " (1 GiB with BANGER_TEST_LONG=1)"}`, async () => {
    const bytes = new Uint8Array(bulkMiB * MIB);
    for (let at = 0; at < bytes.length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    const [from, back] = [join(banger.dir, "bulk"), join(banger.dir, "back")];
    writeFileSync(from, bytes);
    await banger.ok(["cp", from, "io:bulk"], { timeoutMs: 900_000 });
    const inGuest = await banger.ok(["exec", "io", "--", "sha256sum", "bulk"], { timeoutMs: 300_000 });
    expect(inGuest.slice(0, 64)).toBe(sha(bytes));
    await banger.ok(["cp", "io:bulk", back], { timeoutMs: 900_000 });
    expect(sha(readFileSync(back))).toBe(sha(bytes));
    expect(readdirSync(banger.dir).filter((name) => name.startsWith(".banger-part"))).toEqual([]);
  }, 2_400_000);

  test(
    "a daemon that restarts ends commands with a message, and the guest with them",
    async () => {
      const running = banger.run(["exec", "io", "--", "sleep", "987"], { timeoutMs: 120_000 });
      for (let i = 0; i < 200; i++) {
        if ((await banger.run(["exec", "io", "--", "pgrep", "-f", "sleep 98[7]"])).code === 0) break;
      }
      await banger.ok(["daemon", "restart"]);
      const ran = await running;
      expect([ran.code, ran.err]).toEqual([6, expect.stringContaining("ended exec on io")]);
      const gone = await banger.run([
        "exec",
        "io",
        "--",
        "sh",
        "-c",
        "for i in $(seq 50); do pgrep -f 'sleep 98[7]' || exit 0; sleep 0.2; done; exit 1",
      ]);
      expect(gone.code).toBe(0);
    },
    BOOT_MS,
  );
});
