// Which packages a root has, read from dpkg's record.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { parseInstalledPackages } from "../../src/core/installed-packages.ts";

test("what is installed counts, and neither what was removed nor what a paragraph merely speaks of", () => {
  const status = `Package: bash
Status: install ok installed
Maintainer: x
Version: 5.2.37-2+b5
Description: a shell
 Version: 0
 .
 Package: none

Package: old
Status: deinstall ok config-files
Version: 1

Package: half
Status: install reinstreq half-installed
Version: 1

Package: adduser
Version: 3.152
Status: hold ok installed
`;
  expect(parseInstalledPackages(status)).toEqual(["adduser=3.152", "bash=5.2.37-2+b5"]);
  expect(parseInstalledPackages("")).toEqual([]);
  expect(parseInstalledPackages("no record at all")).toEqual([]);
});

const OWN = "/var/lib/dpkg/status";
test.skipIf(!existsSync(OWN))(`of this very host it says what dpkg-query says (skipped without ${OWN})`, () => {
  const shown = Bun.spawnSync(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}=${Version}\n"]);
  const wanted = shown.stdout
    .toString()
    .split("\n")
    .flatMap((line) => (line.startsWith("installed ") ? [line.slice("installed ".length)] : []));
  expect(wanted.length).toBeGreaterThan(50);
  expect(parseInstalledPackages(readFileSync(OWN, "utf8"))).toEqual(wanted.sort());
});
