// Starting the real daemon on demand: one for many clients at once, told when it cannot be, and gone when it is stopped.
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { banger, MAIN } from "./spawned.ts";

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
  try: mend line 2 of ${file}\n`,
  });
}, 60_000);

const mountObstacle =
  Bun.spawnSync(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).exitCode === 0
    ? null
    : "nothing can be mounted here";

test.skipIf(mountObstacle !== null)(
  `a file system that is full or read-only is told as that, and the daemon lives through it${mountObstacle ? `: ${mountObstacle}` : ""}`,
  async () => {
    const { dir, env } = newPlace();
    const script = `
      mount -t tmpfs -o size=64k,mode=700 none "$1" && cd "$1"
      cat /dev/zero >fill 2>/dev/null; "$2" "$3" list; echo "exit $?"
      rm -r fill .local; mount -o remount,size=6m "$1"
      "$2" "$3" list; cat /dev/zero >fill 2>/dev/null
      "$2" "$3" config set vm.memory 2G; echo "exit $?"
      # Names are asked for, which is what the daemon and its helper have in shared memory.
      "$2" "$3" dns query nobody; "$2" "$3" daemon status | head -c 19; echo
      rm fill; "$2" "$3" daemon stop; mount -o remount,ro "$1"; "$2" "$3" list; echo "exit $?"`;
    const argv = ["unshare", "-m", "sh", "-c", script, "sh", dir, process.execPath, MAIN];
    const child = Bun.spawn(argv, { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect(out).toMatch(/^exit 6\nexit 5\nbangerd {4}running,\nbangerd \(process \d+\) is stopped.*\nexit 6\n$/);
    expect(err).not.toContain("inside banger");
    expect(
      err.split("\n").filter((line) => /^ {2}try: (df -h|banger image prune|findmnt|banger doctor)/.test(line)),
    ).toHaveLength(3);
  },
  120_000,
);

test("a daemon whose socket was removed makes room for another, and the command that finds it so only waits", async () => {
  const { dir, env } = newPlace();
  await banger(env, "list");
  const first = await pidOf(env);
  const { socket } = JSON.parse((await banger(env, "daemon", "status", "--json")).out);
  rmSync(socket);
  expect(await banger(env, "list", "--json")).toEqual({ exitCode: 0, out: "[]\n", err: "" });
  expect(await pidOf(env)).not.toBe(first);
  expect(existsSync(`/proc/${first}`)).toBe(false);
  expect(readFileSync(join(dir, ".local/state/banger/log/bangerd.log"), "utf8")).toContain("the socket is gone");
}, 60_000);

test("daemon logs prints them when no daemon runs, and starts none", async () => {
  const { env } = newPlace();
  await banger(env, "list");
  await banger(env, "daemon", "stop");
  expect((await banger(env, "daemon", "logs")).out).toContain("bangerd serves");
  expect((await banger(env, "daemon", "logs", "--tail", "1")).out.trimEnd().split("\n")).toHaveLength(1);
  expect((await banger(env, "daemon", "status")).exitCode).toBe(6);
}, 60_000);
