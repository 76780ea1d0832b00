// A real systemd-resolved that was told by `banger dns setup`: a routing domain on a link of its own, and never a default route.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { findNamespaceObstacle, runInside } from "./namespace.ts";
import { findResolved } from "./systemd-resolved.ts";

const obstacle = findNamespaceObstacle({ needsRoot: true });
const found = obstacle === null ? findResolved() : { missing: obstacle };
const missing = "missing" in found ? found.missing : null;

const wired = {
  a: ["10.77.5.9"],
  tcp: ["10.77.5.9"],
  case: ["10.77.5.9"],
  many: 100,
  wild: ["10.77.5.10"],
  aaaa: "NOERROR",
  aaaaCount: 0,
  nothing: "NXDOMAIN",
  outside: ["192.0.2.7"],
  glibc: "10.77.5.9",
  resolvectl: true,
};

describe.skipIf(missing !== null)(`systemd-resolved${missing === null ? "" : ` (${missing})`}`, () => {
  test("finds VMs after setup and again after its restart, asks nothing else of us, and is as before after undo", async () => {
    const directory = "directory" in found ? found.directory : "";
    const file = join(import.meta.dir, "systemd-resolved-inside.ts");
    const env = { PATH: `${directory}/usr/bin:${process.env.PATH}` };
    const result = await runInside<Record<string, unknown>>(file, [directory], env);
    expect(result).toEqual({
      kind: expect.stringMatching(/^resolved-(link|delegate)$/),
      before: { vm: ["192.0.2.7"], outside: ["192.0.2.7"] },
      wired,
      leaked: 0,
      refused: 0,
      again: wired,
      after: { hasLink: false, hasUnit: false, hasJournal: false, outside: ["192.0.2.7"] },
      isDropInAskedForAll: true,
      asked: true,
    });
  }, 250_000);
});
