// Starting the real daemon on demand: one for many clients at once, told when it cannot be, and gone when it is stopped.
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { banger } from "./spawned.ts";

const places: { dir: string; env: Record<string, string> }[] = [];

/** A user who never used banger: no instance, no directories. The name server takes any port. */
const newPlace = () => {
  const dir = mkdtempSync(join(tmpdir(), "bgr-start-"));
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: dir,
    XDG_RUNTIME_DIR: dir,
    BANGER_DNS_PORT: "0",
    USER: "tester",
  };
  const place = { dir, env };
  places.push(place);
  return place;
};

afterEach(async () => {
  for (const { dir, env } of places.splice(0)) {
    await banger(env, "daemon", "stop", "--force");
    rmSync(dir, { recursive: true, force: true });
  }
});

const pidOf = async (env: Record<string, string>): Promise<number> =>
  JSON.parse((await banger(env, "daemon", "status", "--json")).out).pid;

test("twenty lists at once by a new user start one daemon", async () => {
  const { dir, env } = newPlace();
  const shown = await Promise.all(Array.from({ length: 20 }, () => banger(env, "list", "--json")));
  expect(shown).toEqual(Array.from({ length: 20 }, () => ({ exitCode: 0, out: "[]\n", err: "" })));
  const log = readFileSync(join(dir, ".local/state/banger/log/bangerd.log"), "utf8");
  expect(log.match(/"message":"bangerd serves"/g)).toHaveLength(1);
}, 60_000);

test("a daemon that is stopped is gone, and the next command starts another", async () => {
  const { env } = newPlace();
  await banger(env, "list");
  const first = await pidOf(env);
  expect((await banger(env, "daemon", "stop")).out).toBe(`bangerd (process ${first}) is stopped; VMs go on running\n`);
  expect(existsSync(`/proc/${first}`)).toBe(false);
  expect((await banger(env, "daemon", "status")).exitCode).toBe(6);
  await banger(env, "list");
  expect(await pidOf(env)).not.toBe(first);
}, 60_000);

test("a daemon that cannot start is told with its own reason and its own way out", async () => {
  const { dir, env } = newPlace();
  await banger(env, "list");
  await banger(env, "daemon", "stop");
  writeFileSync(
    join(dir, ".local/state/banger/banger.db"),
    "this is no database, and long enough to be looked at as one".repeat(20),
  );
  const shown = await banger(env, "list");
  expect(shown.exitCode).toBe(6);
  expect(shown.err).toMatch(/^banger: bangerd could not be started: .*database/);
  expect(shown.err).toContain("try: the newest backup lies beside it: ls ");
}, 60_000);

test("settings that cannot be read keep the daemon from starting, and the file to mend is named", async () => {
  const { dir, env } = newPlace();
  const file = join(dir, ".config/banger/config.toml");
  mkdirSync(join(dir, ".config/banger"), { recursive: true, mode: 0o700 });
  writeFileSync(file, '[vm]\nmemry = "2G"\n');
  const { exitCode, err } = await banger(env, "list");
  expect({ exitCode, err }).toEqual({
    exitCode: 6,
    err: `banger: bangerd could not be started: ${file}:2:1: there is no setting "memry" in [vm]; did you mean "memory"?
  try: mend ${file}; banger config show --defaults lists every key\n`,
  });
}, 60_000);

test("daemon logs prints them when no daemon runs, and starts none", async () => {
  const { env } = newPlace();
  await banger(env, "list");
  await banger(env, "daemon", "stop");
  expect((await banger(env, "daemon", "logs")).out).toContain("bangerd serves");
  expect((await banger(env, "daemon", "logs", "--tail", "1")).out.trimEnd().split("\n")).toHaveLength(1);
  expect((await banger(env, "daemon", "status")).exitCode).toBe(6);
}, 60_000);
