// The manifest that is shipped, where the bundle is looked for, and packing it twice to the same bytes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assembleBundle } from "../../src/bundle/assemble.ts";
import { resolveBundle } from "../../src/bundle/directory.ts";
import { parseManifest, pinnedHash } from "../../src/bundle/manifest.ts";
import { packBundle } from "../../src/bundle/package.ts";
import { isBangerError } from "../../src/spec/errors.ts";
import { manifestOf, sha256 } from "./origin.ts";

const root = join(import.meta.dir, "../..");
const shipped = readFileSync(join(root, "runtime-bundle.toml"), "utf8");
const parse = (text: string, architecture = "x86_64") => parseManifest(text, { path: "m.toml", architecture });

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-manifest-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("the shipped manifest", () => {
  test("pins every download by hash, over https, for both architectures", () => {
    for (const architecture of ["x86_64", "aarch64"]) {
      const downloads = parse(shipped, architecture).flatMap(({ download }) => (download ? [download] : []));
      expect(downloads.length).toBe(3);
      for (const { url } of downloads) expect(url).toStartWith("https://");
    }
  });

  test("names the official Firecracker, its member pinned too", () => {
    const firecracker = parse(shipped).find(({ name }) => name === "firecracker");
    expect(firecracker && pinnedHash(firecracker)).toBe(
      "99ad0f5cd0514a88aad0e9ae8cfdb3cc3b4ab9d190e1194602406c786b5de7a5",
    );
    expect(firecracker?.download?.url).toEndWith("/v1.17.0/firecracker-v1.17.0-x86_64.tgz");
  });
});

describe("a manifest that cannot be right is refused", () => {
  const good = manifestOf([{ name: "tool", url: "https://example.test/tool", sha256: sha256(Buffer.from("x")) }]);
  const cases: [claim: string, text: string][] = [
    ["no TOML", `${good}\n[[[`],
    ["another version", good.replace("version = 1\n", "version = 2\n")],
    ["a path out of the bundle", good.replace("bin/tool", "../tool")],
    ["an absolute path", good.replace("bin/tool", "/bin/tool")],
    ["a short hash", good.replace(/sha256 = "../g, 'sha256 = "')],
    ["an address of another kind", good.replaceAll("https://", "ftp://")],
    ["two of one name", `${good}\n${good.replace("version = 1\n", "").replace("bin/tool", "bin/other")}`],
    ["an unknown word", good.replace("mode =", "moode =")],
    ["neither download nor maker", good.replace(/\[artifact\.[\s\S]*/, "")],
  ];
  for (const [claim, text] of cases) {
    test(claim, () => {
      let error: unknown = null;
      try {
        parse(text);
      } catch (thrown) {
        error = thrown;
      }
      expect(isBangerError(error) && error.code).toBe("bundle.bad_manifest");
    });
  }
  test("and the good one is not", () => expect(parse(good).length).toBe(1));
});

describe("where the bundle is", () => {
  const files = new Set(["/src/banger/runtime-bundle.toml", "/src/banger/package.json"]);
  const resolve = (executable: string, env = {}, configured: string | null = null) =>
    resolveBundle({ env, configured, executable, exists: (path) => files.has(path) });

  test("the environment counts before the configuration, and that before where the program lies", () => {
    const executable = "/src/banger/build/banger";
    expect(resolve(executable, { BANGER_RUNTIME_DIR: "/elsewhere" }, "/set")).toMatchObject({
      directory: "/elsewhere",
      kind: "environment",
    });
    expect(resolve(executable, { BANGER_RUNTIME_DIR: "relative" }, "/set")).toMatchObject({
      directory: "/set",
      kind: "config",
    });
    expect(resolve(executable)).toMatchObject({ directory: "/src/banger/runtime", kind: "checkout" });
    expect(resolve("/src/banger/src/main.ts")).toMatchObject({ directory: "/src/banger/runtime", kind: "checkout" });
    expect(resolve("/usr/local/bin/banger")).toMatchObject({ directory: "/usr/local/lib/banger", kind: "installed" });
    expect(resolve("/usr/bin/banger").reason).toContain("/usr/bin/banger");
  });
});

describe("packing", () => {
  const artifacts = parse(shipped);

  const assemble = async (name: string, at: Date) => {
    const built = `${directory}/${name}-built`;
    mkdirSync(`${built}/images/packages`, { recursive: true });
    writeFileSync(`${built}/shim`, "shim", { mode: 0o755 });
    writeFileSync(`${built}/images/customize.sh`, "#!/bin/sh\n", { mode: 0o755 });
    writeFileSync(`${built}/images/packages/list`, "dbus\n");
    utimesSync(`${built}/shim`, at, at);
    const bundle = `${directory}/${name}`;
    const done = await assembleBundle(bundle, artifacts, {
      built: { shim: `${built}/shim`, "image-scripts": `${built}/images`, kernel: `${built}/none` },
      ...{ version: "0.1.0", now: at },
    });
    expect(done).toEqual(["shim", "image-scripts"]);
    return bundle;
  };

  test("the same files give the same bytes, whenever and wherever; a change of one gives others", async () => {
    const one = await assemble("one", new Date(1_700_000_000_000));
    const other = await assemble("other", new Date(1_600_000_000_000));
    const packed = await Promise.all([
      packBundle(one, `${directory}/1.tar.gz`),
      packBundle(other, `${directory}/2.tar.gz`),
    ]);
    expect(packed[0]?.sha256).toBe(packed[1]?.sha256 ?? "");
    writeFileSync(`${other}/images/packages/list`, "dbus\nsudo\n");
    expect((await packBundle(other, `${directory}/3.tar.gz`)).sha256).not.toBe(packed[0]?.sha256);
  });

  test("an unpacked one agrees with its manifest of hashes", async () => {
    const bundle = await assemble("third", new Date());
    await packBundle(bundle, `${directory}/4.tar.gz`);
    mkdirSync(`${directory}/lib`);
    const script =
      "tar -xzf 4.tar.gz -C lib && cd lib/banger && sha256sum --quiet -c MANIFEST && [ -x banger-shim ] && [ -s bundle.json ]";
    expect(Bun.spawnSync(["sh", "-c", script], { cwd: directory }).exitCode).toBe(0);
  });
});
