// A VM's life by the terminal UI alone, on a real guest: made by the form, seen booting, entered, left, stopped, deleted.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasTmux, openTmux, type TmuxTerminal } from "../tui/tmux.ts";
import { BANGER, BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS } from "./fixture.ts";

const obstacle = findObstacle() ?? (hasTmux ? null : "tmux is not installed");
const suite = obstacle === null ? describe : describe.skip;
const NAME = "by-hand";

suite(`the terminal UI on a real guest${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let terminal: TmuxTerminal;

  beforeAll(async () => {
    banger = await openTestInstance();
    const env = { ...banger.env, LANG: "C.UTF-8", TERM: "screen-256color" };
    terminal = openTmux({ env, columns: 120, rows: 32 });
  }, 1_800_000);
  afterAll(async () => {
    terminal?.close();
    await banger?.close();
  }, TEARDOWN_MS);

  test("banger alone opens it, and it starts the daemon", async () => {
    terminal.press(`${BANGER}; echo left with $?`, "Enter");
    await terminal.shows("There are no VMs yet: c makes one.", 60_000);
    expect(await banger.daemonPid()).toBeGreaterThan(1);
  }, 90_000);

  test(
    "a VM made by the form is seen at its steps, its console is followed, and then it runs",
    async () => {
      await terminal.shows(/Images [1-9]/, 30_000);
      terminal.typeText("c");
      await terminal.shows("Create a VM");
      terminal.typeText(NAME);
      terminal.press("Tab", "Tab");
      terminal.typeText("1");
      terminal.press("Tab");
      terminal.typeText("256M");
      terminal.press("Enter");
      await terminal.shows(new RegExp(`${NAME} +starting [a-z]+[.…]`), BOOT_MS);
      terminal.press("Enter", "Left");
      await terminal.shows(new RegExp(`${NAME} +running`), BOOT_MS);
      // Its login there may come late, or on a machine that is very busy never: systemd waits 90 seconds for the device.
      await banger.ok(["exec", "-u", "root", NAME, "--", "sh", "-c", "echo said-on-the-console >/dev/console"]);
      await terminal.shows("said-on-the-console", BOOT_MS);
      terminal.press("Escape");
      expect((await banger.show(NAME)).state).toBe("running");
    },
    3 * BOOT_MS,
  );

  test(
    "a shell in it has the screen; after exit the table is back and says what still runs",
    async () => {
      await terminal.lacks(" overview ");
      terminal.typeText("s");
      await terminal.shows(new RegExp(`@${NAME}:`), 60_000);
      terminal.typeText("echo in-$((40+2)) $(hostname)");
      terminal.press("Enter");
      await terminal.shows(`in-42 ${NAME}`, 60_000);
      expect(terminal.fact("alternate_on")).toBe("0");
      terminal.typeText("exit");
      terminal.press("Enter");
      const shown = await terminal.shows(`${NAME} is still running; d stops it`, 60_000);
      expect(shown).toContain("banger   VMs 1 ");
      expect(terminal.fact("alternate_on")).toBe("1");
    },
    BOOT_MS,
  );

  test(
    "it is stopped and deleted after questions, and nothing of it is left",
    async () => {
      terminal.typeText("d");
      await terminal.shows(`Stop ${NAME}? y/N`);
      terminal.typeText("y");
      await terminal.shows(new RegExp(`${NAME} +stopped`), 120_000);
      terminal.typeText("X");
      await terminal.shows(`Delete ${NAME} with all data? y/N`);
      terminal.typeText("y");
      await terminal.shows("There are no VMs yet", 60_000);
      terminal.typeText("q");
      await terminal.shows("left with 0");
      expect(terminal.fact("alternate_on")).toBe("0");
      expect((await banger.audit()).clean).toBe(true);
    },
    BOOT_MS + 60_000,
  );
});
