// The configuration as the daemon keeps it: changes that come at once are all made.
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { openConfig } from "../../src/daemon/config-file.ts";
import { createFiles } from "../../src/host/files.ts";

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync("/tmp/bgr-config-");
  path = `${dir}/banger/config.toml`;
  mkdirSync(`${dir}/dotfiles`);
  mkdirSync(`${dir}/banger`);
});
afterEach(() => rmSync(dir, { recursive: true }));

const open = () => openConfig({ path, files: createFiles({ roots: [dir] }), environment: {} });
const modeOf = (file: string): number => statSync(file).mode & 0o777;

test("changes that come at once are all in the file, and in use; one that is refused spoils none of them", async () => {
  const config = await open();
  const changes = [
    ["vm.memory", "3G"],
    ["vm.vcpus", "3"],
    ["dns.port", "no port"],
    ["timeouts.ready", "77s"],
  ] as const;
  const done = await Promise.allSettled(changes.map(([key, value]) => config.set(key, value)));
  expect(done.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
  const text = readFileSync(path, "utf8");
  for (const line of ['memory = "3G"', "vcpus = 3", 'ready = "77s"']) expect(text).toContain(line);
  expect(config.current()).toMatchObject({ vm: { memoryMiB: 3072, vcpus: 3 }, timeouts: { readyMs: 77_000 } });
});

test("a file that is a link stays one: what it leads to is changed, and keeps its mode", async () => {
  const real = `${dir}/dotfiles/banger.toml`;
  writeFileSync(real, "version = 1\n# mine\n");
  chmodSync(real, 0o644);
  symlinkSync("../dotfiles/banger.toml", path);
  await (await open()).set("vm.vcpus", "3");
  expect(readlinkSync(path)).toBe("../dotfiles/banger.toml");
  expect(readFileSync(real, "utf8")).toContain("# mine\n");
  expect(readFileSync(real, "utf8")).toContain("vcpus = 3");
  expect(modeOf(real)).toBe(0o644);
  expect(readdirSync(`${dir}/dotfiles`)).toEqual(["banger.toml"]);
});

test("a link to a file that is not there yet makes it there; a new file is the user's alone", async () => {
  symlinkSync(`${dir}/dotfiles/new.toml`, path);
  await (await open()).set("vm.vcpus", "3");
  expect(lstatSync(path).isSymbolicLink()).toBe(true);
  expect(readFileSync(`${dir}/dotfiles/new.toml`, "utf8")).toContain("vcpus = 3");
  expect(modeOf(`${dir}/dotfiles/new.toml`)).toBe(0o600);
});

test("no other byte is changed: a byte order mark stays, and what is not UTF-8 is told and not spoilt", async () => {
  writeFileSync(path, "\u{FEFF}version = 1\n");
  await (await open()).set("vm.vcpus", "3");
  expect(readFileSync(path, "utf8")).toStartWith("\u{FEFF}version = 1\n");
  const latin = Buffer.from("version = 1\n# f\xfcr mich\n", "latin1");
  writeFileSync(path, latin);
  const refused = await (await open()).set("vm.vcpus", "4").catch((error) => error);
  expect(refused).toMatchObject({ code: "config.invalid", data: { line: 2, column: 4 } });
  expect(readFileSync(path)).toEqual(latin);
});

test("what is taken out is not in use any more; nothing is made or changed for what was not there", async () => {
  const config = await open();
  expect(await config.unset("vm.vcpus")).toMatchObject({ wasSet: false, source: "default" });
  expect(readdirSync(`${dir}/banger`)).toEqual([]);
  await config.set("vm.vcpus", "3");
  expect(await config.unset("vm.vcpus")).toMatchObject({ wasSet: true, source: "default", value: "auto" });
  expect(config.current().vm.vcpus).toBeNull();
  expect(readFileSync(path, "utf8")).not.toContain("vcpus");
});
