// The executable on a real terminal against a small real daemon: what is seen, what is asked of the daemon, and the terminal given back.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fleet } from "./fleet.ts";
import { type FleetDaemon, startFleetDaemon } from "./fleet-daemon.ts";
import { hasTmux, openTmux, type TmuxTerminal } from "./tmux.ts";

const root = join(import.meta.dir, "../..");
const out = mkdtempSync(join(tmpdir(), "bgr-tui-"));
const banger = join(out, "banger");

beforeAll(() => {
  const done = Bun.spawnSync([process.execPath, join(root, "scripts/build.ts"), "--out", out], { cwd: root });
  expect({ exitCode: done.exitCode, err: String(done.stderr) }).toEqual({ exitCode: 0, err: "" });
}, 60_000);
afterAll(() => rmSync(out, { recursive: true, force: true }));

let daemon: FleetDaemon;
let terminal: TmuxTerminal;

/** The terminal is as it was before: the usual screen, a cursor, no mouse, lines and echo. */
const expectGivenBack = async (): Promise<void> => {
  await terminal.shows("left with");
  expect({
    alternate: terminal.fact("alternate_on"),
    cursor: terminal.fact("cursor_flag"),
    mouse: terminal.fact("mouse_any_flag"),
  }).toEqual({ alternate: "0", cursor: "1", mouse: "0" });
  terminal.press("stty -a | grep -oE '[-]?(icanon|echo) ' | tr -d '\\n'; echo .", "Enter");
  await terminal.shows("icanon echo .");
};

const children = (pid: number): number[] =>
  String(Bun.spawnSync(["pgrep", "-P", String(pid)]).stdout)
    .split("\n")
    .filter(Boolean)
    .map(Number);

describe.skipIf(!hasTmux)("the terminal UI on a terminal (skipped where tmux is not installed)", () => {
  const open = (command = `${banger} tui`, env: Record<string, string> = {}, columns = 80, rows = 24): void => {
    terminal = openTmux({ env: { ...daemon.env, LANG: "C.UTF-8", TERM: "screen-256color", ...env }, columns, rows });
    terminal.press(`${command}; echo left with $?`, "Enter");
  };
  const methods = (): string[] => daemon.calls.map(({ method }) => method);

  beforeEach(() => {
    daemon = startFleetDaemon();
    // It is as new as the client, so that nobody wants to replace it.
    daemon.handlers["system.hello"] = ({ version, build }) => ({
      version,
      build,
      executable: banger,
      protocol: { min: 1, max: 1 },
      pid: process.pid,
      instance: "abcde",
      isBusy: false,
    });
  });
  afterEach(async () => {
    terminal?.close();
    await daemon.close();
  });

  test("banger alone opens it; it shows the fleet, filters as one types, opens the form, and gives the terminal back", async () => {
    open(banger);
    await terminal.shows("10.77.5.3");
    terminal.typeText("/blu");
    expect(await terminal.shows("4 of 5")).not.toContain("stopped (panic)");
    terminal.press("Escape");
    await terminal.shows("stopped (panic)");
    terminal.typeText("c");
    await terminal.shows("Create a VM");
    terminal.typeText("Web");
    await terminal.shows("write it in lower case");
    terminal.press("Escape");
    await terminal.shows(" VMs 5 ");
    terminal.typeText("q");
    expect(await terminal.shows("left with 0")).not.toContain("10.77.5.3");
    await expectGivenBack();
  }, 60_000);

  test("a VM is created by the form, stopped, and deleted after a question, and every change shows by itself", async () => {
    open();
    await terminal.shows("10.77.5.3");
    terminal.typeText("c");
    await terminal.shows("Create a VM");
    terminal.typeText("fresh");
    terminal.press("Enter");
    await terminal.shows(/fresh\s+running/);
    expect(daemon.calls.find(({ method }) => method === "vm.create")?.params).toMatchObject({ name: "fresh" });
    terminal.typeText("/fresh");
    terminal.press("Enter");
    await terminal.shows("1 of 6");
    terminal.typeText("d");
    await terminal.shows("Stop fresh? y/N");
    terminal.typeText("y");
    await terminal.shows(/fresh\s+stopped/);
    terminal.typeText("X");
    await terminal.shows("Delete fresh with all data? y/N");
    terminal.typeText("n");
    await terminal.lacks("y/N");
    terminal.typeText("Xy");
    await terminal.shows("No VM matches");
    expect(methods().filter((method) => /vm\.(create|stop|delete)/.test(method))).toEqual([
      "vm.create",
      "vm.stop",
      "vm.delete",
    ]);
  }, 60_000);

  test("a change that nobody here made shows within a second", async () => {
    open();
    await terminal.shows(/old\s+stopped/);
    daemon.change(fleet[3]!.id, { state: "running", startedAt: new Date().toISOString() });
    await terminal.shows(/old\s+running/, 1000);
  }, 60_000);

  test("the daemon goes away and comes back: it is said, and what changed meanwhile is shown", async () => {
    open();
    await terminal.shows("10.77.5.3");
    await daemon.pause();
    await terminal.shows("daemon away");
    expect(terminal.screen()).toContain("10.77.5.3");
    daemon.vms.set(fleet[3]!.id, { ...fleet[3]!, name: "renamed" });
    daemon.resume();
    await terminal.shows("renamed");
    await terminal.lacks("daemon away");
  }, 60_000);

  test("a daemon that is slow to answer holds up no key", async () => {
    const answer = Promise.withResolvers<void>();
    daemon.handlers["vm.list"] = async () => {
      await answer.promise;
      return [...daemon.vms.values()];
    };
    open();
    await terminal.shows("Loading");
    terminal.typeText("?");
    await terminal.shows("done to all marked");
    terminal.press("Escape");
    await terminal.shows("Loading");
    answer.resolve();
    await terminal.shows("10.77.5.3");
  }, 60_000);

  test("a failure shows its code, its cause and its fix until it is closed", async () => {
    const { fail } = await import("../../src/spec/errors.ts");
    daemon.handlers["vm.start"] = () => {
      throw fail("vm.not_found", { vm: "old" });
    };
    open();
    await terminal.shows("10.77.5.3");
    terminal.typeText("/old");
    terminal.press("Enter");
    terminal.typeText("u");
    const shown = await terminal.shows("vm.not_found");
    expect(shown).toContain('There is no VM "old".');
    expect(shown).toContain("try: banger list");
    terminal.press("Escape");
    await terminal.lacks("vm.not_found");
  }, 60_000);

  test("ssh gets the screen and gives it back; what went wrong can be read first", async () => {
    open();
    await terminal.shows("10.77.5.3");
    terminal.typeText("s");
    const shown = await terminal.shows("Enter goes back to banger");
    expect(shown).toContain("no handler of vm.access");
    expect(terminal.fact("alternate_on")).toBe("0");
    expect(terminal.fact("mouse_any_flag")).toBe("0");
    terminal.press("Enter");
    await terminal.shows("10.77.5.3");
    expect(terminal.fact("alternate_on")).toBe("1");
    terminal.typeText("q");
    await expectGivenBack();
  }, 60_000);

  test("a shell gets every key that is typed while it has the screen, and what still runs is said afterwards", async () => {
    const bin = join(daemon.dir, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "ssh"),
      '#!/bin/sh\necho the shell\nwhile read -r line; do echo "got <$line>"; [ "$line" = size ] && stty size; [ "$line" = exit ] && exit 0; done\n',
    );
    chmodSync(join(bin, "ssh"), 0o755);
    const paths = { keyPath: "/k", knownHostsPath: "/h", hostKeyAlias: "web", home: "/home/ada" };
    daemon.handlers["vm.access"] = () => ({
      ...paths,
      id: fleet[0]!.id,
      name: "web",
      user: "ada",
      address: "::1",
      port: 22,
    });
    daemon.handlers["config.get"] = ({ key }) => ({ key, value: true, source: "default" });
    open(`${banger} tui`, { PATH: `${bin}:${process.env.PATH}` });
    await terminal.shows("10.77.5.3");
    terminal.press("End");
    // What is typed behind the key, before there is a shell, is the shell's too.
    terminal.typeText("sfirst");
    terminal.press("Enter");
    await terminal.shows("the shell");
    await terminal.shows("got <first>");
    for (let line = 1; line <= 30; line++) {
      for (const letter of `line${line}`) terminal.typeText(letter);
      terminal.press("Enter");
      await terminal.shows(`got <line${line}>`);
    }
    terminal.resize(90, 30);
    terminal.typeText("size");
    terminal.press("Enter");
    await terminal.shows("30 90");
    terminal.typeText("exit");
    terminal.press("Enter");
    await terminal.shows("web is still running; d stops it");
    terminal.typeText("q");
    // It was said where it can be acted on; the shell's own screen is left as the shell left it.
    expect(await terminal.shows("left with 0")).not.toContain("is still running");
  }, 60_000);

  test("the log follows, is searched, and leads back", async () => {
    open();
    await terminal.shows("10.77.5.3");
    terminal.typeText("l");
    await terminal.shows("boot line 40");
    terminal.typeText("/line 7");
    terminal.press("Enter");
    await terminal.shows("1 hits");
    terminal.press("Escape");
    await terminal.lacks("1 hits");
    terminal.press("Escape");
    await terminal.shows("10.77.5.3");
  }, 60_000);

  test("resizes down to 60×15 and up again, and below that says what it needs", async () => {
    open();
    await terminal.shows("10.77.5.3");
    terminal.resize(60, 15);
    await terminal.shows(/^ banger .{45,52}$/m);
    expect(terminal.screen().trimEnd().split("\n")).toHaveLength(15);
    terminal.resize(30, 8);
    await terminal.shows("banger needs 40");
    terminal.resize(140, 40);
    expect(await terminal.shows("MEM USE")).toContain("10.77.5.3");
  }, 60_000);

  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) {
    test(`${signal} gives the terminal back`, async () => {
      open();
      await terminal.shows("10.77.5.3");
      const [pid] = children(terminal.shellPid());
      process.kill(pid ?? -1, signal);
      await expectGivenBack();
    }, 60_000);
  }

  test("stopped by a signal it gives the terminal back, and takes it again when it goes on", async () => {
    open();
    await terminal.shows("10.77.5.3");
    const [pid] = children(terminal.shellPid());
    process.kill(pid ?? -1, "SIGTSTP");
    await terminal.shows("Stopped");
    expect(terminal.fact("alternate_on")).toBe("0");
    terminal.typeText("stty -a | grep -oE '[-]?(icanon|echo) ' | tr -d '\\n'; echo .");
    terminal.press("Enter");
    await terminal.shows("icanon echo .");
    terminal.typeText("fg");
    terminal.press("Enter");
    await terminal.shows("10.77.5.3");
    expect([terminal.fact("alternate_on"), terminal.fact("mouse_any_flag")]).toEqual(["1", "1"]);
    terminal.typeText("?");
    await terminal.shows("done to all marked");
  }, 60_000);

  test("row by row it makes the screen that a whole one would be, also with wide and combining characters", async () => {
    const names = ["虚拟机一二三四五", "e\u0301tude", "👩‍👩‍👧‍👦", "plain"];
    for (const [index, name] of names.entries()) {
      const vm = fleet[index];
      if (vm) daemon.vms.set(vm.id, { ...vm, name, state: "stopped", startedAt: null, lastEnd: null });
    }
    open(`${banger} tui`, {}, 140, 30);
    await terminal.shows("plain");
    for (const letter of "jjakojOo jk") terminal.typeText(letter);
    daemon.change(fleet[1]?.id ?? "", { state: "paused" });
    await terminal.shows("paused");
    terminal.press("Enter");
    await terminal.shows(" overview ");
    terminal.press("Escape");
    await terminal.lacks(" overview ");
    // The bars of the host above the table move by themselves.
    const table = (): string => terminal.screen().split("\n").slice(2).join("\n");
    const grown = table();
    terminal.resize(100, 20);
    await terminal.lacks("LABELS");
    terminal.resize(140, 30);
    await terminal.shows("MEM USE");
    await terminal.shows("space mark");
    expect(table()).toBe(grown);
  }, 60_000);

  describe("on a terminal that takes nothing for a while", () => {
    const COLUMNS = 240;
    const crowd = Array.from({ length: 60 }, (_, index) => ({
      ...fleet[3]!,
      id: (index + 1).toString(16).padStart(12, "0"),
      name: `vm-${index}`,
    }));
    /** What of a terminal there is between a program and whoever shows it (Linux, drivers/tty/tty_buffer.c: 64 KiB). */
    const KERNEL_BYTES = 65_536;
    const written = (pid: number): number =>
      Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
    const residentMiB = (pid: number): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
    const openCrowd = async (): Promise<{ pid: number; stall: () => void; goOn: () => void }> => {
      daemon.vms.clear();
      for (const vm of crowd) daemon.vms.set(vm.id, vm);
      open(`${banger} tui`, {}, COLUMNS, 62);
      await terminal.shows("vm-0 ");
      const server = Number(terminal.fact("pid"));
      const [pid = -1] = children(terminal.shellPid());
      return { pid, stall: () => process.kill(server, "SIGSTOP"), goOn: () => process.kill(server, "SIGCONT") };
    };
    /** Every row another one, so many times; resolves when the UI has asked for each list. */
    const change = async (rounds: number): Promise<void> => {
      const deadline = performance.now() + 30_000;
      for (let round = 1; round <= rounds; round++) {
        const asked = methods().filter((method) => method === "vm.list").length;
        for (const { id } of crowd)
          daemon.change(id, { image: `image-${round}`, labels: { round: `${round}`.repeat(12) } });
        while (methods().filter((method) => method === "vm.list").length === asked) {
          if (performance.now() > deadline) throw new TypeError(`it asked for nothing in round ${round}`);
          await Bun.sleep(5);
        }
      }
    };

    test("it goes on, writes no more than the terminal holds, and then shows the newest screen", async () => {
      const { pid, stall, goOn } = await openCrowd();
      const [bytes, memoryMiB] = [written(pid), residentMiB(pid)];
      stall();
      try {
        await change(100);
        expect(written(pid) - bytes).toBeLessThan(2 * KERNEL_BYTES);
        expect(residentMiB(pid) - memoryMiB).toBeLessThan(64);
      } finally {
        goOn();
      }
      await terminal.shows("image-100");
      const readRows = () =>
        terminal
          .screen()
          .split("\n")
          .filter((row) => row.includes("vm-"));
      const oldOf = (rows: readonly string[]) => rows.filter((row) => !/image-100 .*round=100100100/.test(row));
      // tmux shows what it has read so far, and may still be in the midst of it.
      const deadline = performance.now() + 15_000;
      while (oldOf(readRows()).length > 0 && performance.now() < deadline) await Bun.sleep(20);
      const rows = readRows();
      expect(oldOf(rows)).toEqual([]);
      expect(rows.length).toBeGreaterThan(50);
    }, 60_000);

    test("it ends all the same", async () => {
      const { pid, stall, goOn } = await openCrowd();
      stall();
      try {
        await change(20);
        process.kill(pid, "SIGTERM");
        const isThere = (): boolean => existsSync(`/proc/${pid}/fd/0`);
        while (isThere()) await Bun.sleep(10);
      } finally {
        goOn();
      }
      await terminal.shows("left with 143");
    }, 60_000);
  });

  test("a fault of its own gives the terminal back and is told", async () => {
    // What no daemon says: it ends whoever relies on it.
    daemon.handlers["image.list"] = () => [{ name: null }] as never;
    open();
    await terminal.shows("10.77.5.3");
    terminal.press("Tab");
    const shown = await terminal.shows("left with 70");
    expect(shown).toContain("Something went wrong inside banger");
    await expectGivenBack();
  }, 60_000);

  test("without a terminal it says so and names what works", () => {
    const done = Bun.spawnSync([banger, "tui"], { env: daemon.env, stdin: "ignore" });
    expect(done.exitCode).toBe(2);
    expect(String(done.stderr)).toContain("needs a terminal");
    expect(String(done.stderr)).toContain("banger list");
    expect(String(Bun.spawnSync([banger], { env: daemon.env, stdin: "ignore" }).stdout)).toContain("banger tui");
    open("true");
  });
});
