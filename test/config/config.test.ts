// What the configuration promises: every mistake has its place, every value its source, and nothing is accepted that is not meant.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  defaultConfig,
  findSetting,
  parseConfig,
  parseSetting,
  resolveConfig,
  variableOf,
} from "../../src/core/config.ts";
import { renderConfigSchema, settings } from "../../src/spec/config.ts";

const messageOf = (work: () => unknown): string => {
  try {
    return `answered ${JSON.stringify(work())}`;
  } catch (error) {
    return `${(error as { code?: string }).code}: ${(error as Error).message}`;
  }
};
const mistakeIn = (text: string): string => messageOf(() => parseConfig(text, "config.toml"));

test.each([
  [
    "a typo in a key",
    '[vm]\nimage = "x"\n  memroy = "2G"',
    '3:3: there is no setting "memroy" in [vm]; did you mean "memory"?',
  ],
  ["an unknown section", "\n[colours]\nred = 1", '2:1: there is no section or setting "colours"'],
  ["a wrong type", "[dns]\nport = '53'", "2:1: dns.port: expected a number"],
  ["a fraction", "[dns]\nport = 53.5", "2:1: dns.port: expected a whole number"],
  ["a number out of range", "[vm]\nvcpus = 0", "2:1: vm.vcpus: at least 1"],
  [
    "a size without a unit",
    '[vm]\ndisk = "40"',
    '2:1: vm.disk: "40" has no unit: write 40M (mebibytes) or 40G (gibibytes)',
  ],
  ["a size as a number", "[vm]\nmemory = 4", '2:1: vm.memory: expected "auto" or a size with its unit'],
  ["no such choice", '[network]\nmode = "bridged"', '2:1: network.mode: expected "auto" or "bridge" or "namespace"'],
  ["a duration without a unit", '[timeouts]\nready = "90"', "2:1: timeouts.ready: write a duration with its unit"],
  ["no time at all", '[timeouts]\nready = "0s"', "2:1: timeouts.ready: write a duration with its unit"],
  ["too long a time", '[timeouts]\nready = "25h"', "2:1: timeouts.ready: at most 24h"],
  ["a public network", '[network]\nsubnet = "8.8.8.0/24"', "2:1: network.subnet: a private network like"],
  ["a section that is a value", "vm = 3", "1:1: vm: expected a section"],
  ["a value that is a section", "[vm.image]\nname = 1", "1:1: vm.image: expected text in quotes"],
  ["a wrong entry of a list", "[vm]\nssh_keys = [\n  'a',\n  3,\n]", "2:1: vm.ssh_keys.1: expected text in quotes"],
  ["a key in braces", "vm = { image = 'x', cpus = 3 }", '1:21: there is no setting "cpus" in [vm]'],
  ["a dotted key", "dns.zone = 'vm'\ndns . prot = 1", '2:1: there is no setting "prot" in [dns]; did you mean "port"?'],
  ["a newer format", "version = 2", "1:1: version: this banger reads configuration of version 1"],
  ["the first of several", "[ssh]\nautostart = 1\n[dns]\nport = 'x'", "2:1: ssh.autostart: expected true or false"],
  ["what is no TOML", "[vm]\nimage = debian", "2:9: "],
  ["a key given twice", "[vm]\nvcpus = 1\nvcpus = 2", "3:1: "],
  ["a key that JavaScript would trip over", "__proto__ = 3", "1:1: "],
])("%s is refused at its line and column", (_, text, message) => {
  expect(mistakeIn(text)).toStartWith(`config.invalid: config.toml:${message}`);
});

test("an empty file and a file of comments are the defaults", () => {
  for (const text of ["", "# nothing yet\n", "version = 1\n", "[vm]\n[dns]\n"]) {
    expect(resolveConfig({ file: parseConfig(text, "x") }).config).toEqual(defaultConfig);
  }
});

test("the defaults are those that the documentation promises", () => {
  expect(defaultConfig).toEqual({
    vm: { image: "debian", vcpus: null, memoryMiB: null, diskMiB: 40 * 1024, user: null, sshKeys: null, kernel: null },
    network: { mode: null, subnet: null },
    dns: { listen: "127.0.0.1", port: 42069, zone: "vm" },
    vmm: { prefer: null, isJailed: false },
    ssh: { startsStoppedVms: false, remindsOfRunningVms: true },
    timeouts: { readyMs: 120_000, askMs: 30_000, buttonMs: 15_000, termMs: 5_000, killMs: 5_000 },
    daemon: { logLevel: "info" },
    bundle: { dir: null, mirror: null },
  });
});

test("a flag wins over the environment, that over the file, and that over the default; each is told", () => {
  const file = parseConfig('[vm]\nmemory = "1G"\ndisk = "10G"\nimage = "mine"\n[ssh]\nautostart = true', "x");
  const environment = { BANGER_VM_MEMORY: "2G", BANGER_VM_DISK: "20G", BANGER_VM_IMAGE: "", HOME: "/root" };
  const resolved = resolveConfig({ file, environment, flags: { "vm.memory": "3G" } });
  expect(resolved.config.vm).toMatchObject({ memoryMiB: 3072, diskMiB: 20_480, image: "mine", vcpus: null });
  expect(resolved.config.ssh.startsStoppedVms).toBe(true);
  const sources = ["vm.memory", "vm.disk", "vm.image", "vm.vcpus"].map((key) => findSetting(resolved, key));
  expect(sources).toMatchObject([
    { value: "3G", source: "flag" },
    { value: "20G", source: "environment" },
    { value: "mine", source: "file" },
    { value: "auto", source: "default" },
  ]);
  expect(resolved.settings.map(({ key }) => key)).toEqual(settings.map(({ key }) => key));
});

test("text from outside becomes what the setting is: text, number, truth or a list", () => {
  const environment = {
    BANGER_VM_IMAGE: "13",
    BANGER_VM_VCPUS: "8",
    BANGER_SSH_REMINDER: "false",
    BANGER_VM_SSH_KEYS: "/a.pub, /b.pub",
    BANGER_TIMEOUTS_STOP_ASK: "1m30s",
    BANGER_DAEMON_LOG_LEVEL: "debug",
  };
  const { config } = resolveConfig({ environment });
  expect(config.vm).toMatchObject({ image: "13", vcpus: 8, sshKeys: ["/a.pub", "/b.pub"] });
  expect(config.ssh.remindsOfRunningVms).toBe(false);
  expect(config.timeouts.askMs).toBe(90_000);
  expect(config.daemon.logLevel).toBe("debug");
});

test("a variable or flag that cannot be used is named, not taken for a default", () => {
  const using = (environment: Record<string, string>) => messageOf(() => resolveConfig({ environment }));
  expect(using({ BANGER_VM_VCPUS: "99" })).toStartWith("input.invalid: BANGER_VM_VCPUS: ");
  expect(using({ BANGER_VM_VCPUS: "-1" })).toStartWith("input.invalid: BANGER_VM_VCPUS: ");
  expect(using({ BANGER_VM_MEMORY: "2" })).toStartWith('input.invalid: BANGER_VM_MEMORY: "2" has no unit');
  expect(using({ BANGER_SSH_AUTOSTART: "yes" })).toBe("input.invalid: BANGER_SSH_AUTOSTART: expected true or false");
  expect(using({ BANGER_TIMEOUTS_READY: "30h" })).toBe("input.invalid: BANGER_TIMEOUTS_READY: at most 24h");
  const flags = { "vm.memroy": "2G" };
  expect(messageOf(() => resolveConfig({ flags }))).toBe(
    'config.unknown_key: There is no setting "vm.memroy". Did you mean "vm.memory"?',
  );
  expect(messageOf(() => parseSetting("memory", "2G", "x"))).toEndWith('Did you mean "vm.memory"?');
});

test("every setting has a description, a variable of its own and a default that it accepts itself", () => {
  expect(new Set(settings.map(({ key }) => variableOf(key))).size).toBe(settings.length);
  for (const { key, description, fallback, schema } of settings) {
    expect([key, description.length > 10]).toEqual([key, true]);
    expect([key, schema.safeParse(fallback ?? undefined).success]).toEqual([key, true]);
  }
  expect(variableOf("timeouts.stop_ask")).toBe("BANGER_TIMEOUTS_STOP_ASK");
});

test("the published JSON Schema is the one of this schema", () => {
  const published = readFileSync(join(import.meta.dir, "../../docs/config.schema.json"), "utf8");
  expect(published).toBe(renderConfigSchema());
});
