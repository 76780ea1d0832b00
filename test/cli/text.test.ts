// The text tools: what a guest wrote made safe, sizes and times as people read them, tables as wide as they look.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatAgo, formatMiB, formatMs, formatSeconds } from "../../src/cli/format.ts";
import { paintFor } from "../../src/cli/paint.ts";
import { renderRows } from "../../src/cli/run-doctor.ts";
import { quoteForShell, renderRemoteCommand, renderSshCommand } from "../../src/cli/run-ssh.ts";
import { renderFacts, renderTable } from "../../src/cli/table.ts";
import { sanitize } from "../../src/spec/sanitize.ts";

describe("what a guest wrote", () => {
  const table: [string, string, string][] = [
    ["colours", "\x1b[1;31mred\x1b[0m", "red"],
    ["the window's title", "a\x1b]0;owned\x07b", "ab"],
    ["a title that takes no line but its own", "a\x1b]0;owned\nb", "a\nb"],
    ["a palette reset, as login prompts print it", "\x1b]104\x1b\\web login:", "web login:"],
    ["a title ended by ST", "a\x1b]2;owned\x1b\\b", "ab"],
    ["a title that never ends", "a\x1b]0;owned", "a"],
    ["clearing the screen", "\x1b[2J\x1b[Hx", "x"],
    ["the clipboard", "\x1b]52;c;ZXZpbA==\x07x", "x"],
    ["a device string", "\x1bPq#0;2;0;0;0\x1b\\x", "x"],
    ["a character set", "\x1b(0x", "x"],
    ["8-bit sequences", "\x9b31mx\x9d0;t\x9cy", "xy"],
    ["carriage returns and bells", "a\r\nb\x07\x08c\x7f", "a\nbc"],
    ["half a sequence", "x\x1b[", "x"],
    ["a lone escape", "x\x1b", "x"],
    ["text that people write", "größe\t→ 💾\nok", "größe\t→ 💾\nok"],
  ];
  for (const [claim, raw, shown] of table) test(claim, () => expect(sanitize(raw)).toBe(shown));

  test("never shows a control character, and takes nothing from what has none", () => {
    const hostile = fc.string({
      unit: fc.constantFrom("\x1b", "[", "]", "\x07", "\x9b", "\x9c", "P", ";", "0", "m", "\\", "a", "\n", "\x00", "ü"),
    });
    fc.assert(fc.property(hostile, (raw) => !/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(sanitize(raw))));
    fc.assert(fc.property(fc.string(), (text) => /[\x00-\x1f\x7f-\x9f]/.test(text) || sanitize(text) === text));
  });

  test("a megabyte of openings takes no time", () => {
    const startedMs = performance.now();
    for (const opening of ["\x1b]", "\x1b[", "\x1b", "\x1bP", "\x1b[0;"]) sanitize(opening.repeat(200_000));
    expect(performance.now() - startedMs).toBeLessThan(3000);
  });
});

describe("figures", () => {
  test("sizes", () => {
    const sizes: [number | null, string][] = [
      [0, "0M"],
      [0.4, "0.4M"],
      [512, "512M"],
      [1024, "1G"],
      [1536, "1.5G"],
      [40_960, "40G"],
      [2 * 1024 * 1024, "2T"],
      [null, "-"],
    ];
    for (const [sizeMiB, text] of sizes) expect(formatMiB(sizeMiB)).toBe(text);
  });

  test("durations", () => {
    expect([820, 2345, 95_000].map(formatMs)).toEqual(["820 ms", "2.3 s", "1m35s"]);
    expect([0, 59, 60, 200, 7500, 90_000, 86_400 * 3 + 4 * 3600].map(formatSeconds)).toEqual([
      "0s",
      "59s",
      "1m",
      "3m20s",
      "2h5m",
      "1d1h",
      "3d4h",
    ]);
  });

  test("moments", () => {
    const now = Date.parse("2026-11-22T12:00:00Z");
    expect(formatAgo("2026-11-22T11:56:40Z", now)).toBe("3m20s ago");
    expect(formatAgo("2026-11-22T12:00:05Z", now)).toBe("just now");
    expect(formatAgo(null, now)).toBe("-");
    expect(formatAgo("never", now)).toBe("never");
  });
});

describe("tables", () => {
  const plain = paintFor(false);
  const colored = paintFor(true);

  test("columns line up, whatever is in them", () => {
    const rows = [
      ["日本", colored.good("up"), "x"],
      ["a", "down", ""],
    ];
    const lines = Bun.stripANSI(renderTable({ header: ["N", "STATE", "Z"], rows, paint: plain })).split("\n");
    expect(lines).toEqual(["N     STATE  Z", "日本  up     x", "a     down", ""]);
  });

  test("facts without a value are left out", () => {
    expect(
      renderFacts(
        [
          ["A", "1"],
          ["Long", "2"],
          ["No", null],
          ["Empty", ""],
        ],
        plain,
      ),
    ).toBe("A     1\nLong  2\n");
  });
});

describe("the doctor's rows", () => {
  const summary = "it stands badly, for a reason that takes more words than a line of a narrow terminal has";
  const rows = [
    {
      id: "kvm",
      status: "warning",
      summary,
      why: "it matters",
      fix: `mend ${"it ".repeat(20)}`,
      code: null,
      repairs: [],
    },
  ];
  const render = (columns?: number) => renderRows(rows as never, paintFor(false), columns).split("\n");

  test("go on below themselves on a terminal, but for what is typed", () => {
    expect(render(60).slice(0, 5)).toEqual([
      "warning  kvm  it stands badly, for a reason that takes more",
      "              words than a line of a narrow terminal has",
      "         why: it matters",
      `         try: ${rows[0]?.fix}`,
      "",
    ]);
  });

  test("are a line each for programs", () => expect(render()[0]).toBe(`warning  kvm  ${summary}`));
});

describe("a command for a guest", () => {
  const access = {
    id: "0",
    name: "web",
    user: "ada",
    address: "10.0.0.2",
    port: 22,
    keyPath: "/k",
    knownHostsPath: "/a b%/k",
    hostKeyAlias: "bgr",
    home: "/home/ada",
  };

  test("one word is a line, several arrive as they were given", () => {
    expect(renderRemoteCommand([])).toEqual([]);
    expect(renderRemoteCommand(["ls | wc -l"])).toEqual(["ls | wc -l"]);
    expect(renderRemoteCommand(["sh", "-c", "echo 'a b'; exit 7"])).toEqual(["sh -c 'echo '\\''a b'\\''; exit 7'"]);
  });

  test("any word comes out of a shell as it went in", () => {
    const words = ["", "a b", "$HOME", "it's", "`id`", "\\", '"', "*", "a\nb", "-x", "ü"];
    const line = words.map(quoteForShell).join(" ");
    const done = Bun.spawnSync(["sh", "-c", `printf '%s\\0' ${line}`]);
    expect(String(done.stdout).split("\0").slice(0, -1)).toEqual(words);
  });

  test("no address or user can become an option of ssh", () => {
    const argv = renderSshCommand({ access: { ...access, address: "-oProxyCommand=id" }, words: ["id"], tty: "auto" });
    expect(argv.indexOf("--")).toBeLessThan(argv.indexOf("-oProxyCommand=id"));
    expect(argv).toContain('UserKnownHostsFile="/a b%%/k"');
  });

  test("the options are ones that ssh knows", () => {
    const ssh = Bun.which("ssh");
    if (!ssh) return expect(ssh).toBe(null);
    const [, ...args] = renderSshCommand({ access: { ...access, keyPath: "/dev/null" }, words: ["id"], tty: "auto" });
    // -G prints the configuration that would be used, and connects to nothing.
    const done = Bun.spawnSync([ssh, "-G", "-F", "none", ...args]);
    expect(String(done.stderr)).toBe("");
    const settings = String(done.stdout);
    for (const setting of [
      "user ada",
      "hostname 10.0.0.2",
      "stricthostkeychecking true",
      "hostkeyalias bgr",
      "userknownhostsfile /a b%/k",
      "identitiesonly yes",
    ]) {
      expect(settings.toLowerCase()).toContain(setting);
    }
  });
});
