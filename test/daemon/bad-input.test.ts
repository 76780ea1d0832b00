// What nobody should ask for is refused with a code and a way out, before anything was made, and the daemon goes on.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RemoteError } from "../../src/client/remote-error.ts";
import { callOnce } from "../../src/client/wire.ts";
import { type Instance, openTestInstance } from "../vm/fixture.ts";
import { addSmallImage, codeOf } from "./small-image.ts";

let banger: Instance;
let pid = 0;

beforeAll(async () => {
  banger = await openTestInstance({ hasImage: false });
  addSmallImage(banger);
  await banger.ok(["ls"]);
  pid = await banger.daemonPid();
}, 60_000);
afterAll(() => banger?.close(), 60_000);

/** Nothing was made, and it is the same daemon. */
const expectNothing = async () => {
  const vms = join(banger.dir, "data/banger/vms");
  expect(await banger.json<unknown[]>(["ls"])).toEqual([]);
  expect(readdirSync(join(banger.dir, "data/banger")).includes("vms") ? readdirSync(vms) : []).toEqual([]);
  expect(await banger.daemonPid()).toBe(pid);
};

const names = [
  "../x",
  "-rf",
  "",
  "a".repeat(64),
  "a\nb",
  "ünï",
  "localhost",
  "Web",
  "a_b",
  "a.b",
  "web-",
  "9lives",
  " web",
  "a\u0000b",
];

describe("names", () => {
  test("that no VM can have are refused by the command line", async () => {
    for (const name of names.filter((name) => !name.includes("\0"))) {
      const ran = await banger.run(["vm", "create", `--name=${name}`, "--no-start", "--json"]);
      expect({ name, code: ran.code, error: codeOf(ran) }).toEqual({ name, code: 2, error: "input.invalid" });
    }
    await expectNothing();
  }, 60_000);

  test("and by the daemon, whoever asks", async () => {
    for (const name of names) {
      const asked = callOnce({ socket: banger.socket(), method: "vm.create", params: { name, start: false } });
      const error = await asked.then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(RemoteError);
      expect({ name, code: (error as RemoteError).code }).toEqual({ name, code: "input.invalid" });
    }
    await expectNothing();
  }, 60_000);

  test("each wrong field is told once, and in words", async () => {
    const wrong: [string[], string][] = [
      [["create", "--image", "", "web"], "banger: --image: name an image\n"],
      [["create", "--label", "a b=c", "web"], "banger: --label: a label's key has a-z, 0-9 and . _ / - inside\n"],
      [["logs", "web", "--tail", "-1"], "banger: --tail: give 0 or more lines\n"],
    ];
    for (const [args, said] of wrong) expect((await banger.run(args)).err).toStartWith(said);
  }, 60_000);

  test("of 63 letters are fine", async () => {
    const name = "a".repeat(63);
    await banger.ok(["vm", "create", "--name", name, "--no-start", "--disk", "1G"]);
    await banger.ok(["rm", name]);
  }, 60_000);
});

describe("sizes and counts", () => {
  const refused: string[][] = [
    ...["0", "-1", "33", "1.5", "many", ""].map((value) => [`--vcpu=${value}`]),
    ...["0", "0M", "-1G", "64M", "99999G", "1P", "2x", "1e9G", "NaN", ""].map((value) => [`--memory=${value}`]),
    ...["0G", "1M", "-5G", "99999999G", "big"].map((value) => [`--disk=${value}`]),
    ["--timeout=soon"],
    ["--label=UPPER=x"],
    ["--label==x"],
    ["--image=../../etc/passwd"],
    ["--vmm=magic"],
    ["--no-such-flag"],
  ];

  test("that make no sense are refused as such", async () => {
    for (const flags of refused) {
      const ran = await banger.run(["vm", "create", "web", "--no-start", ...flags, "--json"]);
      expect({ flags, code: ran.code }).toEqual({ flags, code: 2 });
      expect({ flags, error: codeOf(ran) }).not.toEqual({ flags, error: "none" });
    }
    await expectNothing();
  }, 60_000);

  test("without a unit are refused with the two spellings they could mean", async () => {
    for (const flag of ["--memory", "--disk"]) {
      const { code, err } = await banger.run(["vm", "create", "web", "--no-start", flag, "512"]);
      expect(code).toBe(2);
      expect(err).toContain("512M");
      expect(err).toContain("512G");
    }
    await expectNothing();
  });

  test("more memory than the host has, and a disk smaller than the image, are refused", async () => {
    const memory = await banger.run(["vm", "create", "web", "--no-start", "--memory", "1000G", "--json"]);
    expect(codeOf(memory)).toBe("host.memory_short");
    await expectNothing();
  });
});

describe("files and references", () => {
  test("a private key is refused by name, and so is a file without a key", async () => {
    const key = join(banger.dir, "key");
    Bun.spawnSync(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
    const none = join(banger.dir, "none.pub");
    writeFileSync(none, "hello\n");
    const create = (path: string) => banger.run(["vm", "create", "web", "--no-start", "--ssh-key", path, "--json"]);
    const secret = await create(key);
    expect(codeOf(secret)).toBe("ssh.private_key");
    expect(secret.err).toContain(`${key}.pub`);
    expect(codeOf(await create(none))).toBe("ssh.bad_key");
    expect((await create(join(banger.dir, "missing.pub"))).code).not.toBe(0);
    await expectNothing();
  }, 60_000);

  test("what does not exist is told as such, with exit code 3", async () => {
    const asked = [
      ["vm", "show", "nobody"],
      ["vm", "start", "nobody"],
      ["vm", "delete", "nobody"],
      ["vm", "ssh", "nobody"],
      ["image", "show", "nothing"],
      ["vm", "create", "web", "--image", "nothing", "--no-start"],
    ];
    for (const args of asked) {
      const { code } = await banger.run(args);
      expect({ args, code }).toEqual({ args, code: 3 });
    }
    await expectNothing();
  }, 60_000);

  test("files that are no root file system are not registered", async () => {
    const text = join(banger.dir, "text.ext4");
    writeFileSync(text, "not a file system\n".repeat(1000));
    const empty = join(banger.dir, "empty.ext4");
    writeFileSync(empty, "");
    for (const path of [text, empty, join(banger.dir, "missing"), "/dev/null", "/", banger.dir]) {
      const ran = await banger.run(["image", "register", "mine", path, "--json"]);
      expect({ path, code: ran.code, error: codeOf(ran) }).toEqual({ path, code: 2, error: "image.not_a_root" });
    }
    // The file is looked at first: an image whose kernel it would take need not be there for that.
    const other = await banger.run(["image", "register", "mine", text, "--kernel-of", "nothing", "--json"]);
    expect(codeOf(other)).toBe("image.not_a_root");
    const bare = join(banger.dir, "bare.ext4");
    Bun.spawnSync(["/sbin/mkfs.ext4", "-q", "-F", bare, "8M"]);
    expect(codeOf(await banger.run(["image", "register", "mine", bare, "--json"]))).toBe("image.without_helper");
    expect((await banger.json<unknown[]>(["image", "list"])).length).toBe(1);
    await expectNothing();
  }, 60_000);
});
