// Makes a small Debian repository with two versions of one package, for guests that upgrade without the internet.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const PROBE_PACKAGE = "banger-probe";

const makePackage = (directory: string, version: string): string => {
  const tree = join(directory, `tree-${version}`);
  const control = [
    `Package: ${PROBE_PACKAGE}`,
    `Version: ${version}`,
    "Architecture: all",
    "Maintainer: nobody <nobody@lab.example>",
    "Description: says which version it is",
  ].join("\n");
  mkdirSync(join(tree, "DEBIAN"), { recursive: true });
  mkdirSync(join(tree, "usr/share", PROBE_PACKAGE), { recursive: true });
  writeFileSync(join(tree, "DEBIAN/control"), `${control}\n`);
  writeFileSync(join(tree, "usr/share", PROBE_PACKAGE, "version"), `${version}\n`);
  const file = `${PROBE_PACKAGE}_${version}_all.deb`;
  const path = join(directory, file);
  const built = Bun.spawnSync(["dpkg-deb", "--root-owner-group", "--build", tree, path], { stderr: "pipe" });
  if (!built.success) throw new Error(`dpkg-deb: ${built.stderr}`);
  const sha256 = createHash("sha256").update(readFileSync(path)).digest("hex");
  return `${control}\nFilename: ./${file}\nSize: ${statSync(path).size}\nSHA256: ${sha256}\n`;
};

/** Fills `directory`, which a web server then shows; `deb [trusted=yes] URL ./` is its line. */
export const makeAptRepository = (directory: string): void => {
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "Packages"),
    ["1.0", "2.0"].map((version) => makePackage(directory, version)).join("\n"),
  );
};
