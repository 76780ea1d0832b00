// images/customize.sh with a package, files and scripts of the user's: what they did is in the root file system, and one that fails leaves none.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

// Whoever is not root builds in a namespace with ids of its own.
const hasBuilder = Bun.which("mmdebstrap") !== null && (process.getuid?.() === 0 || Bun.which("newuidmap") !== null);
const suite = hasBuilder ? describe : describe.skip;
const root = resolve(import.meta.dir, "../..");
const BUILD_MS = 900_000;

suite(`a root file system with one's own in it${hasBuilder ? "" : " (mmdebstrap or newuidmap is not installed)"}`, () => {
  let dir: string;

  beforeAll(() => {
    dir = mkdtempSync("/tmp/bgt-c-");
    chmodSync(dir, 0o755);
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const file = (name: string, text: string, mode = 0o644): string => {
    const path = join(dir, name);
    writeFileSync(path, text, { mode });
    chmodSync(path, mode);
    return path;
  };
  const look = (question: string): string =>
    Bun.spawnSync(["/sbin/debugfs", "-c", "-R", question, join(dir, "out/root.ext4")]).stdout.toString();
  const build = async (...more: string[]) => {
    // As little as finish-root.sh can work on.
    const packages = file("packages", "systemd-sysv\nopenssh-server\n");
    const child = Bun.spawn(
      [
        ...[join(root, "images/customize.sh"), "--output", join(dir, "out/root.ext4")],
        ...["--manifest", join(dir, "out/packages.txt"), "--guest-helpers", join(root, "build/guest")],
        ...["--packages", packages, "--size", "2G", ...more],
      ],
      { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
    );
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err };
  };

  test(
    "packages, files and scripts are put in, in this order, and files keep their modes",
    async () => {
      const secret = file("a secret", "for root alone\n", 0o640);
      const first = file("first.sh", "cat /root/deep/secret; tree --version >/etc/by-first\n");
      const second = file("second.sh", "#!/bin/bash\n[[ -s /etc/by-first ]] && cp /etc/by-first /etc/by-second\n");
      const built = await build(
        ...["--package", "tree", "--file", `${secret}:/root/deep/secret`],
        ...["--script", first, "--script", second],
      );
      expect({ code: built.code, out: built.out, err: built.code === 0 ? "" : built.err }).toEqual({
        ...{ code: 0, out: "", err: "" },
      });
      expect(built.err).toMatch(/step: run first\.sh\nfor root alone\n[\s\S]*step: run second\.sh\n/);
      expect(look("cat /etc/by-second")).toStartWith("tree v");
      expect(look("ls -p /root/deep")).toMatch(/\/100640\/0\/0\/secret\//);
      // As the system has it, whoever put a file below it.
      expect(look("ls -p /")).toMatch(/\/040700\/0\/0\/root\//);
      expect(look("ls -p /run")).not.toContain("banger-build");
      expect(look("cat /etc/machine-id")).toBe("");
      expect(look("cat /usr/lib/banger/version").trim()).toMatch(/^\d+\.\d+\.\d+/);
      expect(readFileSync(join(dir, "out/packages.txt"), "utf8")).toMatch(/^tree \S+$/m);
      rmSync(join(dir, "out"), { recursive: true });
    },
    BUILD_MS,
  );

  test(
    "a script that takes the guest helper away makes no root file system",
    async () => {
      const thief = file("thief.sh", "rm /usr/lib/banger/banger-vsock-pingd\n");
      const built = await build("--script", thief);
      expect(built.code).not.toBe(0);
      expect(built.err).toContain("error: a script took the guest helper away");
      expect(readdirSync(join(dir, "out"))).toEqual([]);
    },
    BUILD_MS,
  );
});
