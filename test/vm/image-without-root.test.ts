// A user who has no root builds the default image: it is the same, in every owner and every mode, as the one that root builds.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { openStore } from "../../src/store/store.ts";
import { findObstacle, type Instance, openTestInstance, TEARDOWN_MS } from "./fixture.ts";
import { findTemplate } from "./guest-image.ts";
import { makeOrdinaryUser, type OrdinaryUser, openPlace } from "./ordinary-user.ts";
import { isRoot } from "./processes.ts";

const obstacle = !isRoot
  ? "only root can make such a user, and have the other image"
  : Bun.which("newuidmap") === null
    ? "uidmap is not installed"
    : findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const BUILD_MS = 25 * 60_000;
/** The second hundred thousand is what Debian's adduser gives to a first user. */
const RANGE = "alice:100000:65536\n";
const DIRECTORY = 0o040000;
const TYPE = 0o170000;

/** apt makes these its own, for the user that it downloads as, whenever it does: whose they are after a build is no matter. */
const APT_OWN = /^\/var\/(cache\/apt\/archives|lib\/apt\/lists)\/partial$/;

type Entry = { inode: string; mode: number; owner: string };

/** What debugfs(8) is asked at once, each answer on its own; the image is only read. */
const asked = (image: string, questions: readonly string[]): string[] => {
  const done = Bun.spawnSync(["debugfs", "-f", "-", image], {
    stdin: Buffer.from(`${questions.join("\n")}\n`),
    stderr: "ignore",
  });
  return done.stdout
    .toString()
    .split(/^debugfs: .*\n/m)
    .slice(1);
};

/** Every path of an ext4 image with its mode, and its owner as `UID:GID`. */
const entriesOf = (image: string): Map<string, Entry> => {
  const found = new Map<string, Entry>();
  let level = [{ path: "", inode: "2" }];
  while (level.length > 0) {
    const answers = asked(
      image,
      level.map(({ inode }) => `ls -p <${inode}>`),
    );
    level = level.flatMap(({ path }, at) =>
      (answers[at] ?? "").split("\n").flatMap((line) => {
        const [, inode = "", mode = "", uid, gid, name = ""] = line.split("/");
        if (inode === "" || inode === "0" || name === "." || name === "..") return [];
        const entry = { inode, mode: Number.parseInt(mode, 8), owner: `${uid}:${gid}` };
        found.set(`${path}/${name}`, entry);
        return (entry.mode & TYPE) === DIRECTORY ? [{ path: `${path}/${name}`, inode }] : [];
      }),
    );
  }
  return found;
};

suite(`an image built without root${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let place: Awaited<ReturnType<typeof openPlace>>;
  let user: OrdinaryUser;
  let banger: Instance;

  beforeAll(async () => {
    place = await openPlace();
    user = makeOrdinaryUser(place);
    const { inside, executable, uid } = user;
    const passed = ["BANGER_DEBIAN_MIRROR", "BANGER_DEBIAN_SECURITY_MIRROR", "http_proxy", "https_proxy", "no_proxy"];
    const env = {
      ...user.env,
      ...Object.fromEntries(passed.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    };
    banger = await openTestInstance({ inside, env, executable, owner: uid, hasImage: false });
    for (const name of ["subuid", "subgid"]) {
      writeFileSync(join(banger.dir, name), RANGE);
      place.run(["mount", "--bind", join(banger.dir, name), `/etc/${name}`]);
    }
  }, TEARDOWN_MS);
  afterAll(async () => {
    try {
      await banger?.close();
    } finally {
      await place?.close();
      user?.close();
    }
  }, TEARDOWN_MS);

  test(
    "has every file's owner and mode as root's has them, and nobody was asked for root",
    async () => {
      const built = await banger.json<Output<"image.build">>(["image", "build", "--fresh", "own"], {
        timeoutMs: BUILD_MS,
      });
      const own = entriesOf(join(banger.dir, "data/banger/images", built.id, "rootfs.ext4"));
      const template = await findTemplate();
      const [image] = readdirSync(join(template, "data/banger/images"));
      const roots = entriesOf(join(template, "data/banger/images", image ?? "", "rootfs.ext4"));
      // A mirror may have moved on since root built: what is in both is compared, and that is nearly all.
      const common = [...own.keys()].filter((path) => roots.has(path) && !APT_OWN.test(path));
      expect(common.length).toBeGreaterThan(0.98 * roots.size);
      expect(common.length).toBeGreaterThan(5000);
      const spell = (entry: Entry | undefined) => `${entry?.mode.toString(8)} ${entry?.owner}`;
      expect(common.filter((path) => spell(own.get(path)) !== spell(roots.get(path)))).toEqual([]);
      expect(spell(own.get("/etc/shadow"))).toBe("100640 0:42");
      expect(own.get("/usr/bin/sudo")?.mode.toString(8)).toBe("104755");
      expect(new Set([...own.values()].map(({ owner }) => owner)).size).toBeGreaterThan(5);
      expect(user.calledSudo()).toBe(false);
    },
    BUILD_MS,
  );

  test(
    "is in nobody's way: the user removes it, and nothing of it is left",
    async () => {
      await banger.ok(["image", "delete", "own"]);
      const store = openStore({ path: join(banger.dir, "state/banger/banger.db"), readOnly: true });
      expect(store.images.all()).toEqual([]);
      store.close();
      expect(readdirSync(join(banger.dir, "data/banger/images"))).toEqual([]);
    },
    BUILD_MS,
  );
});
