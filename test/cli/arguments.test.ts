// How a line is read before it is parsed, and what of it reaches the daemon.
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { fenceRest, hoistGlobalFlags, normalizeFlags, resolveCommand, wantsJson } from "../../src/cli/arguments.ts";
import { commands, findCommand } from "../../src/cli/command-table.ts";
import { startFakeDaemon, vm } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";

const named = (name: string) => {
  const command = findCommand(name);
  if (!command) throw new TypeError(name);
  return command;
};

describe("which command is meant", () => {
  const table: [string, string | null][] = [
    ["vm create web", "vm.create"],
    ["create web", "vm.create"],
    ["vm new web", "vm.create"],
    ["ls", "vm.list"],
    ["ps -q", "vm.list"],
    ["images", "image.list"],
    ["image import a b", "image.register"],
    ["ssh web ls", "cli.ssh"],
    ["shell web", "cli.ssh"],
    ["inspect web", "vm.show"],
    ["rm web", "vm.delete"],
    ["daemon restart", "cli.daemon-restart"],
    ["vm", null],
    ["vm nonsense", null],
    ["nonsense", null],
  ];
  for (const [line, name] of table) {
    test(`banger ${line} is ${name ?? "no command"}`, () => {
      expect(resolveCommand(commands, line.split(" "))?.command.name ?? null).toBe(name);
    });
  }

  test("no two commands share a spelling, and no spelling is a group's", () => {
    const all = commands.flatMap(({ path, aliases }) => [path, ...aliases].map((one) => one.join(" ")));
    expect(all.filter((one, index) => all.indexOf(one) !== index)).toEqual([]);
    expect(all.filter((one) => ["vm", "image", "daemon", "config", "priv"].includes(one))).toEqual([]);
  });

  test("no two flags of a command share a spelling", () => {
    for (const { name, flags, positionals } of commands) {
      const spelled = flags.flatMap(({ field, letter, aliases }) => [
        field,
        ...(letter ? [letter] : []),
        ...(aliases ?? []),
      ]);
      const all = [...spelled, ...positionals.flatMap(({ flag }) => (flag ? [flag] : [])), "h", "help"];
      expect({ name, twice: all.filter((one, index) => all.indexOf(one) !== index) }).toEqual({ name, twice: [] });
    }
  });

  test("flags of every command may come before it", () => {
    expect(hoistGlobalFlags(["--json", "vm", "list"])).toEqual(["vm", "list", "--json"]);
    expect(hoistGlobalFlags(["vm", "list"])).toEqual(["vm", "list"]);
    expect(hoistGlobalFlags(["--json"])).toEqual(["--json"]);
  });

  test("--json of a command in the guest is not ours", () => {
    expect(wantsJson(["--json", "--", "web"])).toBe(true);
    expect(wantsJson(["--", "web", "--json"])).toBe(false);
  });
});

describe("other spellings of flags", () => {
  const table: [string, string[], string[]][] = [
    ["an alias", ["--cpus", "2"], ["--vcpu", "2"]],
    ["an alias with its value", ["--cpus=2"], ["--vcpu=2"]],
    ["a value that looks like a flag", ["--vcpu", "-1"], ["--vcpu=-1"]],
    ["a letter before such a value", ["-m", "-2G"], ["--memory=-2G"]],
    ["a letter with its value", ["-m2G", "-c=2"], ["--memory=2G", "--vcpu=2"]],
    ["what follows --", ["--", "--cpus"], ["--", "--cpus"]],
    ["what is not known", ["--cores", "2"], ["--cores", "2"]],
  ];
  for (const [claim, words, expected] of table) {
    test(claim, () => expect(normalizeFlags(named("vm.create"), words)).toEqual(expected));
  }
});

describe("where the guest's words begin", () => {
  const table: [string[], string[]][] = [
    [["web"], ["--", "web"]],
    [
      ["web", "ls", "-la"],
      ["--", "web", "ls", "-la"],
    ],
    [
      ["web", "--", "ls", "-la"],
      ["--", "web", "ls", "-la"],
    ],
    [
      ["-t", "web", "top"],
      ["-t", "--", "web", "top"],
    ],
    [
      ["web", "--json"],
      ["--", "web", "--json"],
    ],
    [
      ["--", "ls", "-la"],
      ["--", "", "ls", "-la"],
    ],
    [
      ["web", "--", "--", "x"],
      ["--", "web", "--", "x"],
    ],
    [
      ["--json", "web"],
      ["--json", "--", "web"],
    ],
    [[], []],
  ];
  for (const [words, expected] of table) {
    test(`banger ssh ${words.join(" ")}`, () => expect(fenceRest(named("cli.ssh"), words)).toEqual(expected));
  }
});

describe("what reaches the daemon", () => {
  const daemon = startFakeDaemon({
    "vm.create": () => vm(),
    "vm.list": () => [],
    "vm.set": () => ({ ...vm(), changed: true }),
    "vm.label": () => ({ ...vm(), changed: true }),
    "vm.stop": () => ({ ...vm({ state: "stopped" }), changed: true }),
    "vm.logs": () => ({ lines: 0 }),
    "image.register": () => ({}) as never,
    "config.set": () => ({ key: "a", value: "b", path: "/c" }),
  });
  beforeEach(() => void daemon.calls.splice(0));
  afterAll(() => daemon.close());

  const table: [string, string, unknown][] = [
    ["create", "vm.create", {}],
    ["create web", "vm.create", { name: "web" }],
    ["create --name web", "vm.create", { name: "web" }],
    ["create --cpus 2 --mem 2G --disk=20G web", "vm.create", { vcpu: 2, memory: "2G", disk: "20G", name: "web" }],
    ["create -c 2 -m 2G -i debian web", "vm.create", { vcpu: 2, memory: "2G", image: "debian", name: "web" }],
    ["create --no-start --no-wait", "vm.create", { start: false, wait: false }],
    ["create --start", "vm.create", { start: true }],
    ["create -l a=1 --label b=2=3", "vm.create", { label: { a: "1", b: "2=3" } }],
    ["create --ssh-key nowhere.pub --ssh-key /etc/hostname", "vm.create", { sshKey: ["nowhere.pub", "/etc/hostname"] }],
    ["create --user-data first.sh", "vm.create", { userData: "/tmp/first.sh" }],
    ["create --user-data ~/first.sh", "vm.create", { userData: "/home/ada/first.sh" }],
    ["create --vmm auto --timeout 90s", "vm.create", { vmm: "auto", timeout: "90s" }],
    ["create --vcpu -1", "vm.create", { vcpu: -1 }],
    ["create -- -rf", "vm.create", { name: "-rf" }],
    ["ls -l a=b", "vm.list", { label: { a: "b" } }],
    ["vm set web --memory 8G", "vm.set", { vm: "web", memory: "8G" }],
    ["vm label web --set a=b --remove c --remove d", "vm.label", { vm: "web", set: { a: "b" }, remove: ["c", "d"] }],
    ["stop -f web", "vm.stop", { vm: "web", force: true }],
    ["logs -f --tail 20 web", "vm.logs", { vm: "web", follow: true, tail: 20 }],
    ["logs -n 20 web", "vm.logs", { vm: "web", tail: 20 }],
    ["image register mine ./root.ext4", "image.register", { name: "mine", path: "/tmp/root.ext4" }],
    ["config set vm.memory 8G", "config.set", { key: "vm.memory", value: "8G" }],
  ];
  for (const [line, method, params] of table) {
    test(`banger ${line}`, async () => {
      const shown = await runLine(daemon, line.split(" "));
      expect({ calls: daemon.calls, err: daemon.calls.length === 0 ? shown.err : "" }).toEqual({
        calls: [{ method, params }],
        err: "",
      });
    });
  }

  const refused: [string[], RegExp][] = [
    [["create", "a", "b"], /"b" is one word too many/],
    [["create", "--vcpu", "two"], /--vcpu: "two" is no whole number/],
    [["create", "--vcpu", "1.5"], /no whole number/],
    [["create", "--vmm", "xen"], /--vmm: "xen" is none of auto, /],
    [["create", "--label", "team"], /--label: "team" is no pair; write key=value/],
    [["create", "--vcpu"], /--vcpu/],
    [["create", "-rf"], /There is no flag -r/],
    [["create", "--cores", "2"], /There is no flag --cores/],
    [["create", "--vcpu", "1", "--vcpu", "2"], /given twice/],
    [["show"], /VM is missing/],
    [["rename", "web"], /NAME is missing/],
    [["lsit"], /There is no command "lsit"/],
    [["vm", "lsit"], /There is no command "lsit"/],
    [["completion", "tcsh"], /SHELL: "tcsh" is none of bash, zsh, fish/],
  ];
  for (const [argv, message] of refused) {
    test(`banger ${argv.join(" ")} is refused with exit code 2 before anything is asked`, async () => {
      const shown = await runLine(daemon, argv);
      expect(shown.err).toMatch(message);
      expect(shown.err).toContain("\n  try: ");
      expect({ ...shown, err: "" }).toEqual({ exitCode: 2, out: "", err: "" });
      expect(daemon.calls).toEqual([]);
    });
  }

  test("a mistyped command is answered with the one that was perhaps meant, in its group", async () => {
    expect((await runLine(daemon, ["lsit"])).err).toContain("try: banger list");
    expect((await runLine(daemon, ["vm", "lsit"])).err).toContain("try: banger vm list");
    expect((await runLine(daemon, ["vm", "start", "--wiat", "web"])).err).toContain("--wait");
  });

  test("with --json a refusal is one JSON object on stderr", async () => {
    const shown = await runLine(daemon, ["create", "--vcpu", "two", "--json"]);
    expect(JSON.parse(shown.err)).toEqual({
      error: {
        code: "input.invalid",
        message: '--vcpu: "two" is no whole number.',
        fix: "banger help vm create",
        data: { issues: [{ path: "", message: '--vcpu: "two" is no whole number.' }] },
      },
    });
  });
});
