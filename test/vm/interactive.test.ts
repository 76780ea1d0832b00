// images/interactive.sh at a terminal, by an ordinary user, with a real QEMU: what was typed is in the VMs of the image that comes of it.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { openStore } from "../../src/store/store.ts";
import { BOOT_MS, findObstacle, type Instance, isRoot, openTestInstance, TEARDOWN_MS } from "./fixture.ts";
import { findTemplate } from "./guest-image.ts";
import { processesOf } from "./processes.ts";

const obstacle = findObstacle() ?? (Bun.which("ssh") === null ? "ssh is not installed" : null);
const suite = obstacle === null ? describe : describe.skip;
const root = resolve(import.meta.dir, "../..");
/** Whoever has a line in /etc/passwd, which ssh wants, and nothing else. */
const NOBODY = 65_534;
const PROMPT = "root@banger-build:~#";

suite(`a shell whose disk becomes an image${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let dir: string;

  beforeAll(async () => {
    banger = await openTestInstance();
    const template = await findTemplate();
    const store = openStore({ path: join(template, "state/banger/banger.db"), readOnly: true });
    const image = store.images.byName("debian-13");
    const kernel = image && store.kernels.get(image.kernelId);
    store.close();
    if (!image || !kernel) throw new Error(`${template} has no image`);
    dir = mkdtempSync("/tmp/bgt-s-");
    chmodSync(dir, 0o755);
    // As they are installed, beside each other and where every user may read them.
    cpSync(join(root, "images"), join(dir, "banger/images"), { recursive: true });
    cpSync(join(root, "build/banger-tsc"), join(dir, "banger/banger-tsc"));
    mkdirSync(join(dir, "from"));
    for (const [from, to] of [
      [join(image.dir, "rootfs.ext4"), join(dir, "from/rootfs.ext4")],
      [kernel.dir, join(dir, "from/kernel")],
    ] as const)
      Bun.spawnSync(["cp", "-r", "--sparse=always", "--reflink=auto", from, to]);
    Bun.spawnSync(["chmod", "-R", "u=rwX,go=rX", join(dir, "from")]);
    mkdirSync(join(dir, "out"));
    chmodSync(join(dir, "out"), 0o777);
  }, 1_800_000);
  afterAll(async () => {
    await banger?.close();
    if (dir) rmSync(dir, { recursive: true, force: true });
  }, TEARDOWN_MS);

  const open = (name: string) => {
    let screen = "";
    const waiting = new Set<() => void>();
    const decoder = new TextDecoder();
    const user = isRoot ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
    const output = ["--output", join(dir, "out", name), "--manifest", join(dir, "out", `${name}.txt`)];
    const child = Bun.spawn(
      [...user, join(dir, "banger/images/interactive.sh"), "--from", join(dir, "from"), ...output, "--memory", "512"],
      {
        cwd: "/",
        env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: "/nonexistent", TERM: "dumb", LANG: "C.UTF-8" },
        terminal: {
          ...{ cols: 120, rows: 24 },
          data: (_terminal: unknown, bytes: Uint8Array) => {
            screen += decoder.decode(bytes, { stream: true });
            for (const check of waiting) check();
          },
        },
      } as never,
    ) as ReturnType<typeof Bun.spawn> & { terminal: { write: (text: string) => void } };
    const shows = (text: string): Promise<void> =>
      new Promise((done, fail) => {
        const check = () => {
          if (screen.includes(text)) done();
        };
        waiting.add(check);
        check();
        child.exited.then((code) => fail(new Error(`it ended with ${code}: ${screen}`)));
      });
    return { child, shows, type: (text: string) => child.terminal.write(text), screen: () => screen };
  };

  const left = () => readdirSync(join(dir, "out"), { withFileTypes: true }).map(({ name }) => name);

  test(
    "what is typed is saved, the host's resolver is as it was, and VMs of it have an identity of their own",
    async () => {
      const resolver = readFileSync("/etc/resolv.conf", "utf8");
      const shell = open("mine.ext4");
      await shell.shows(PROMPT);
      shell.type("tty; stty size; echo typed >/etc/by-hand; cat /etc/machine-id\r");
      await shell.shows("24 120");
      shell.type("exit\r");
      expect({ code: await shell.child.exited, screen: shell.screen() }).toMatchObject({ code: 0 });
      const machineId = /^([0-9a-f]{32})\r?$/m.exec(shell.screen())?.[1];
      expect(machineId).toBeString();
      expect(shell.screen()).toContain("/dev/pts/");
      expect(readFileSync("/etc/resolv.conf", "utf8")).toBe(resolver);
      expect(left().sort()).toEqual(["mine.ext4", "mine.ext4.txt"]);
      expect(processesOf(dir)).toEqual([]);
      expect(readFileSync(join(dir, "out/mine.ext4.txt"), "utf8")).toMatch(/^openssh-server \S+$/m);

      await banger.ok(["image", "register", "mine", join(dir, "out/mine.ext4")]);
      const shown = await banger.json<Output<"image.show">>(["image", "show", "mine"]);
      expect(shown.made.packages.some((entry) => entry.startsWith("openssh-server="))).toBe(true);
      await banger.create("web", "--image", "mine");
      const asked = await banger.ok([
        ...["exec", "-u", "root", "web", "--", "sh", "-c"],
        "cat /etc/by-hand /etc/machine-id; cat /root/.ssh/authorized_keys /etc/hosts 2>/dev/null; ls /var/log/journal",
      ]);
      expect(asked).toStartWith("typed\n");
      expect(asked).not.toContain(machineId as string);
      expect(asked).not.toContain("banger-build");
      await banger.ok(["rm", "--force", "web"]);
      for (const name of left()) rmSync(join(dir, "out", name));
    },
    3 * BOOT_MS,
  );

  test(
    "exit 99 throws everything away, and a signal in the middle leaves no file and no process",
    async () => {
      const thrown = open("thrown.ext4");
      await thrown.shows(PROMPT);
      thrown.type("exit 99\r");
      expect(await thrown.child.exited).toBe(99);
      expect(left()).toEqual([]);

      const ended = open("ended.ext4");
      await ended.shows(PROMPT);
      ended.child.kill("SIGTERM");
      expect(await ended.child.exited).toBe(143);
      expect(left()).toEqual([]);
      expect(processesOf(dir)).toEqual([]);
      expect(existsSync(join(dir, "out/ended.ext4"))).toBe(false);
    },
    3 * BOOT_MS,
  );
});
