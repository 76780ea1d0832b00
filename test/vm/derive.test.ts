// `image build --from` with real guests: what the scripts did is in the VMs of the new image, and nothing that one machine alone may have.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "../../src/spec/image.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BANGER, BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;

suite(`an image out of another${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  const script = (name: string, text: string): string => {
    const path = join(banger.dir, name);
    writeFileSync(path, text);
    return path;
  };
  const images = () => banger.json<Image[]>(["image", "list"]);
  const vms = () => banger.json<Vm[]>(["vm", "list"]);
  const imageDirs = () => {
    const dir = join(banger.dir, "data/banger/images");
    return existsSync(dir) ? readdirSync(dir) : [];
  };

  beforeAll(async () => {
    banger = await openTestInstance();
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "a daemon killed while a script runs leaves nothing once there is one again",
    async () => {
      const endless = script("endless.sh", "echo begun\nexec sleep 1000\n");
      const build = Bun.spawn([BANGER, "image", "build", "--from", "debian", "--script", endless, "dev"], {
        ...{ env: banger.env, stdin: "ignore", stdout: "ignore", stderr: "pipe" },
      });
      let said = "";
      for await (const bytes of build.stderr) {
        said += new TextDecoder().decode(bytes);
        if (said.includes("begun\n")) break;
      }
      expect(said).toContain("run endless.sh\nbegun\n");
      const [temporary] = await vms();
      expect(temporary?.name).toMatch(/^banger-build-[0-9a-f]{6}$/);
      expect(temporary?.labels).toEqual({ "banger/build": "dev" });
      expect((await banger.audit()).findings).toEqual([]);
      await banger.killDaemon();
      expect(await build.exited).not.toBe(0);
      await banger.daemonPidStarting();
      expect(await vms()).toEqual([]);
      expect(imageDirs()).toEqual([]);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      expect(await banger.leftovers()).toEqual([]);
    },
    4 * BOOT_MS,
  );

  test(
    "what its scripts did is in its VMs, each with a machine-id, host key and journal of its own",
    async () => {
      const first = script("first.sh", "#!/bin/bash\nset -eu\nid -un\necho made >/etc/made-by-script\n");
      const second = script("second.sh", "cat /etc/made-by-script; cat /etc/machine-id; echo x >>/var/log/mine.log\n");
      const built = await banger.run([
        ...["image", "build", "--from", "debian", "--script", first, "--script", second, "dev"],
      ]);
      expect(built).toMatchObject({ code: 0, out: expect.stringMatching(/^dev is built: /) });
      const machineId = /^made\n([0-9a-f]{32})$/m.exec(built.err)?.[1];
      expect(machineId).toBeString();
      expect(built.err).toContain("run first.sh (1 of 2)\nroot\nfirst.sh ended with 0\nrun second.sh (2 of 2)\nmade\n");
      expect(await vms()).toEqual([]);
      const shown = await banger.json<Output<"image.show">>(["image", "show", "dev"]);
      const base = await banger.json<Output<"image.show">>(["image", "show", "debian"]);
      expect(shown.made.base).toEqual({ id: base.id, name: "debian-13" });
      expect(shown.made.provisioned.map(({ script }) => script)).toEqual(["first.sh", "second.sh"]);
      expect(shown.made.packages).toEqual(base.made.packages);
      expect(shown.made.kernel?.package).toStartWith("linux-image-");
      expect(shown.helperVersion).toBe(base.helperVersion);

      await banger.create("web", "--image", "dev");
      const asked = await banger.ok([
        ...["exec", "-u", "root", "web", "--", "sh", "-c"],
        "cat /etc/made-by-script /etc/machine-id; ls /etc/ssh | grep _key; ls /var/log/journal; cat /var/log/mine.log; cat /etc/hosts; ls -A /root",
      ]);
      const own = (await banger.ok(["exec", "web", "--", "cat", "/etc/machine-id"])).trim();
      expect(own).toMatch(/^[0-9a-f]{32}$/);
      expect(own).not.toBe(machineId as string);
      expect(asked).not.toContain(machineId as string);
      expect(asked).not.toContain("banger-build");
      expect(asked).toStartWith(`made\n${own}\nssh_host_ed25519_key\nssh_host_ed25519_key.pub\n`);
      // Its host key is the one that was made for it: ssh, which knows no other, lets us in.
      expect(await banger.guest("web", "hostname")).toBe("web");
      await banger.ok(["rm", "--force", "web"]);
    },
    4 * BOOT_MS,
  );

  test(
    "a script that fails is named with its exit code, Ctrl-C ends a build, and both leave nothing",
    async () => {
      const before = (await images()).map(({ name }) => name).sort();
      const failing = script("failing.sh", "echo 'no such thing' >&2; exit 3\n");
      const failed = await banger.run(["image", "build", "--from", "debian", "--script", failing, "other"]);
      expect(failed.code).not.toBe(0);
      expect(failed.err).toContain("failing.sh ended with 3");
      expect(failed.err).toContain("no such thing");
      expect(await vms()).toEqual([]);

      const endless = script("endless.sh", "exec sleep 1000\n");
      const build = Bun.spawn([BANGER, "image", "build", "--from", "debian", "--script", endless, "other"], {
        ...{ env: banger.env, stdin: "ignore", stdout: "ignore", stderr: "ignore" },
      });
      await until("the temporary VM is there", async () => ((await vms()).length > 0 ? true : null), BOOT_MS);
      build.kill("SIGINT");
      expect(await build.exited).toBe(130);
      expect(await vms()).toEqual([]);
      expect((await images()).map(({ name }) => name).sort()).toEqual(before);
      expect(imageDirs().length).toBe(before.length - 1);
      expect(await banger.leftovers()).toEqual([]);
    },
    4 * BOOT_MS,
  );
});
