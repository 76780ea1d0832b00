// What `config set` and `config unset` promise: one value changes, every other byte stays, and nothing is written that would not be read again.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { parseConfig, resolveConfig } from "../../src/core/config.ts";
import { removeFromText, renderTomlValue, setInText } from "../../src/core/config-edit.ts";
import { locateToml, scanToml } from "../../src/core/toml-scan.ts";

const set = (text: string, key: string, value: string) => setInText({ text, path: "config.toml", key, value });
const unset = (text: string, key: string) => removeFromText({ text, path: "config.toml", key });
const codeOf = (work: () => unknown): unknown => {
  try {
    return { answered: work() };
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

test.each([
  ["", 'version = 1\n\n[vm]\nmemory = "8G"\n'],
  ["# mine", '# mine\nversion = 1\n\n[vm]\nmemory = "8G"\n'],
  ["[dns]\nport = 1\n", '[dns]\nport = 1\n\n[vm]\nmemory = "8G"\n'],
  ['[vm]\nmemory = "1G" # why\n', '[vm]\nmemory = "8G" # why\n'],
  ["[vm]\r\nmemory   =   '1G'\r\n\r\n", '[vm]\r\nmemory   =   "8G"\r\n\r\n'],
  ["[vm] # c\n\n[dns]\n", '[vm] # c\nmemory = "8G"\n\n[dns]\n'],
  ["[vm]\nvcpus = 2 # two\n\n# about dns\n[dns]\n", '[vm]\nvcpus = 2 # two\nmemory = "8G"\n\n# about dns\n[dns]\n'],
  ["[vm]\r\nvcpus = 2", '[vm]\r\nvcpus = 2\r\nmemory = "8G"\r\n'],
  ["[vm]\nssh_keys = [\n  'a', # ]\n  'b',\n]\n", "[vm]\nssh_keys = [\n  'a', # ]\n  'b',\n]\nmemory = \"8G\"\n"],
  ["vm = {}\n", 'vm = { memory = "8G" }\n'],
  ["vm = { vcpus = 2 } # c", 'vm = { vcpus = 2, memory = "8G" } # c'],
  ["vm.vcpus = 2 # c\ndns.port = 1\n", 'vm.vcpus = 2 # c\nvm.memory = "8G"\ndns.port = 1\n'],
  ["'vm' . \"memo\\u0072y\" = '''1G'''\n", '\'vm\' . "memo\\u0072y" = "8G"\n'],
  ["\uFEFF[vm]\n", '\uFEFF[vm]\nmemory = "8G"\n'],
])("in %j one value is set and the rest stays", (before, after) => {
  expect(set(before, "vm.memory", "8G")).toBe(after);
  expect(resolveConfig({ file: parseConfig(after, "x") }).config.vm.memoryMiB).toBe(8192);
});

test.each([
  ["", ""],
  ["[dns]\nport = 1\n", "[dns]\nport = 1\n"],
  ['# a\n[vm]\nmemory = "1G" # why\n# b\nvcpus = 2\n', "# a\n[vm]\n# b\nvcpus = 2\n"],
  ["[vm]\r\n  memory = '1G'", "[vm]\r\n"],
  ['vm.memory = """\n1G"""\n[dns]\n', "[dns]\n"],
  ["vm = { memory = '1G' } # c\n", "vm = {  } # c\n"],
  ["vm = { memory = '1G', vcpus = 2 }\n", "vm = { vcpus = 2 }\n"],
  ["vm = { vcpus = 2 , memory = '1G' }\n", "vm = { vcpus = 2 }\n"],
  ["\uFEFFvm.memory = '1G'\nvm.vcpus = 2\n", "\uFEFFvm.vcpus = 2\n"],
])("in %j vm.memory is set no more, and the rest stays", (before, after) => {
  expect(unset(before, "vm.memory")).toBe(after);
  expect(resolveConfig({ file: parseConfig(after, "x") }).config.vm.memoryMiB).toBeNull();
});

test("what is taken out may be wrong; a wrong key and a file that is wrong elsewhere are refused", () => {
  expect(unset("[vm]\nvcpus = 99\n", "vm.vcpus")).toBe("[vm]\n");
  expect(codeOf(() => unset("", "vm.colour"))).toBe("config.unknown_key");
  expect(codeOf(() => unset("[vm", "vm.vcpus"))).toBe("config.invalid");
  expect(codeOf(() => unset("[dns]\nport = 'x'\n[vm]\nvcpus = 1\n", "vm.vcpus"))).toBe("config.invalid");
});

test("numbers, truths and lists are written as such", () => {
  expect(set("", "dns.port", "5353")).toEndWith("[dns]\nport = 5353\n");
  expect(set("", "ssh.reminder", "false")).toEndWith("[ssh]\nreminder = false\n");
  expect(set("", "vm.ssh_keys", '/a "b".pub,/c.pub')).toEndWith('ssh_keys = ["/a \\"b\\".pub", "/c.pub"]\n');
});

test("a wrong key, a wrong value and a file that is wrong elsewhere are refused; a wrong value can be put right", () => {
  expect(codeOf(() => set("", "vm.colour", "red"))).toBe("config.unknown_key");
  expect(codeOf(() => set("", "vm.vcpus", "0"))).toBe("input.invalid");
  expect(codeOf(() => set("[vm", "vm.vcpus", "1"))).toBe("config.invalid");
  expect(codeOf(() => set("[dns]\nport = 'x'\n", "vm.vcpus", "1"))).toBe("config.invalid");
  expect(set("[vm]\nvcpus = 99\n", "vm.vcpus", "1")).toBe("[vm]\nvcpus = 1\n");
});

const values: [string, fc.Arbitrary<string>][] = [
  ["vm.image", fc.constantFrom("debian", "mine-2", "a.b")],
  ["vm.vcpus", fc.integer({ min: 1, max: 32 }).map(String)],
  ["vm.memory", fc.constantFrom("auto", "512M", "2G")],
  ["vm.ssh_keys", fc.constantFrom("/a.pub", "/a.pub,/b \\ \"#'.pub")],
  ["dns.port", fc.integer({ min: 0, max: 65535 }).map(String)],
  ["dns.zone", fc.constantFrom("vm", "a.test")],
  ["ssh.autostart", fc.constantFrom("true", "false")],
  ["timeouts.ready", fc.constantFrom("90s", "1m30s")],
];
const changes = fc.array(fc.oneof(...values.map(([key, value]) => fc.tuple(fc.constant(key), value))), {
  maxLength: 12,
});
const starts = fc.constantFrom(
  "",
  "# a\n\n[dns] # names\nport = 1 # one\n\n[vm]\n# m\nimage = 'x'\n",
  "vm = { image = 'x' }\n[ssh]\n",
  "vm.image = 'x'\r\n\r\n[dns]\r\nzone = '''\r\nvm'''\r\n",
);

test("whatever is set one after the other is read back, and comments are never lost", () => {
  fc.assert(
    fc.property(starts, changes, (start, steps) => {
      let text: string = start;
      const wanted = new Map<string, string>();
      for (const [key, value] of steps) {
        text = set(text, key, value);
        wanted.set(key, value);
      }
      const { settings } = resolveConfig({ file: parseConfig(text, "x") });
      for (const [key, value] of wanted) {
        const found = settings.find((setting) => setting.key === key)?.value;
        expect(Array.isArray(found) ? found.join(",") : String(found)).toBe(value);
      }
      for (const comment of start.match(/# \w+/g) ?? []) expect(text).toContain(comment);
      for (const key of wanted.keys()) text = unset(text, key);
      const left = resolveConfig({ file: parseConfig(text, "x") }).settings;
      for (const key of wanted.keys()) expect(left.find((setting) => setting.key === key)?.source).toBe("default");
    }),
    { numRuns: 200 },
  );
});

test("any text that is rendered as a TOML value is read back as it was", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (list) => {
      const wellFormed = list.filter((text) => text.isWellFormed());
      expect(parse(`x = ${renderTomlValue(wellFormed)}`).x).toEqual(wellFormed);
    }),
  );
});

test("the scan finds what a parser finds: every key with its value, through strings, lists, braces and comments", () => {
  const text = [
    'a = "x # \\" y" # = 1',
    "b = [1, [2, '''it's]'''], # ]\n { c = { d = 1, 'e f' = \"}\" }, g = 2 } ]",
    'h.i."j.k" = """\n"quoted" \\\n  end""""" # two quotes at the end',
    "l = 2026-11-22 10:00:00Z",
    "[ m . n ] # header\no = true\n[[p]]\nq = 1\n[[p]]\nq = 2",
    "r = {}",
    "s = []",
  ].join("\n");
  const parsed = parse(text) as Record<string, unknown>;
  const { entries, headers } = scanToml(text);
  const at = (path: string) => {
    const entry = entries.find((one) => one.path.join("/") === path)!;
    return text.slice(entry.valueStart, entry.valueEnd);
  };
  expect(headers.map(({ path }) => path.join("/"))).toEqual(["m/n", "p", "p"]);
  expect(entries.map(({ path }) => path.join("/"))).toEqual([
    "a",
    "b",
    "b/2/c",
    "b/2/c/d",
    "b/2/c/e f",
    "b/2/g",
    "h/i/j.k",
    "l",
    "m/n/o",
    "p/q",
    "p/q",
    "p/r",
    "p/s",
  ]);
  for (const key of ["a", "b", "l"]) expect(parse(`x = ${at(key)}`).x).toEqual(parsed[key] as never);
  expect([at("b/2/c/e f"), at("p/r"), at("p/s"), at("m/n/o")]).toEqual(['"}"', "{}", "[]", "true"]);
  expect(parse(`x = ${at("h/i/j.k")}`).x as string).toEndWith('""');
  expect(locateToml(text, ["b", "2", "c", "d"])).toEqual({ line: 3, column: 10 });
  expect(locateToml(text, ["m", "n", "missing"])).toEqual({ line: 8, column: 1 });
  expect(locateToml(text, ["nowhere"])).toEqual({ line: 1, column: 1 });
});

test("the scan ends on any text, TOML or not", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."a.=[]{}\"'#,\n \\") }), (text) => {
      expect(scanToml(text).entries.length).toBeLessThanOrEqual(text.length);
    }),
    { numRuns: 2000 },
  );
});
