// What logind's configuration says of programs at logout, under a directory that plays the root.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decideKillsUserProcesses, killsUserProcesses } from "../../src/doctor/logind.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync("/tmp/bgr-logind-");
});
afterEach(() => rmSync(root, { recursive: true }));

const write = (path: string, text: string) => {
  const whole = join(root, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, text);
};

test("nothing is ended unless it says so, and what is only a comment says nothing", async () => {
  expect(await killsUserProcesses(root)).toBe(false);
  write("etc/systemd/logind.conf", "[Login]\n#KillUserProcesses=yes\n");
  expect(await killsUserProcesses(root)).toBe(false);
  write("etc/systemd/logind.conf", "[Login]\nKillUserProcesses = yes\n");
  expect(await killsUserProcesses(root)).toBe(true);
});

test("a drop-in is heard over the file, and the later over the earlier, wherever they lie", async () => {
  write("etc/systemd/logind.conf", "[Login]\nKillUserProcesses=no\n");
  write("usr/lib/systemd/logind.conf.d/50-site.conf", "[Login]\nKillUserProcesses=yes\n");
  expect(await killsUserProcesses(root)).toBe(true);
  write("etc/systemd/logind.conf.d/60-mine.conf", "[Login]\nKillUserProcesses=off\n");
  expect(await killsUserProcesses(root)).toBe(false);
  write("run/systemd/logind.conf.d/70-today.conf", "[Login]\nKillUserProcesses=1\n");
  write("run/systemd/logind.conf.d/80-note.txt", "[Login]\nKillUserProcesses=no\n");
  expect(await killsUserProcesses(root)).toBe(true);
});

test("a file of the same name in a place that counts more takes the other's place, one that is empty too", async () => {
  write("usr/lib/systemd/logind.conf.d/50-site.conf", "KillUserProcesses=yes\n");
  mkdirSync(join(root, "etc/systemd/logind.conf.d"), { recursive: true });
  symlinkSync("/dev/null", join(root, "etc/systemd/logind.conf.d/50-site.conf"));
  expect(await killsUserProcesses(root)).toBe(false);
});

test("the last word holds within a file as well", () => {
  expect(decideKillsUserProcesses(["KillUserProcesses=yes\nKillUserProcesses=no\n"])).toBe(false);
  expect(decideKillsUserProcesses(["KillUserProcesses=no\n", "KillUserProcesses=True"])).toBe(true);
});
