// The small decisions under the screens: keys, forms, lines, logs, and what is read of the host.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatMiB, formatMs, formatSeconds } from "../../src/tui/figures.ts";
import {
  callsOf,
  createForm,
  editForm,
  type Form,
  type FormFacts,
  isRight,
  parseLabels,
  problemOf,
  remarkOf,
} from "../../src/tui/form.ts";
import { parseAvailableMiB, parseCpuTimes } from "../../src/tui/host-usage.ts";
import { actionOf, bindings } from "../../src/tui/keys.ts";
import { fit, fitLine, textOf, truncate, widthOf, wrap } from "../../src/tui/line.ts";
import { markHits } from "../../src/tui/log-search.ts";
import { cleanLine, openLogText } from "../../src/tui/log-text.ts";
import { fleet, images, key } from "./fleet.ts";

describe("keys", () => {
  test("no key means two things in one place, and every action has a key and a sentence", () => {
    for (const scope of ["vms", "images", "host", "logs"] as const) {
      const keys = bindings
        .filter((binding) => binding.scope === scope || binding.scope === "everywhere")
        .flatMap((b) => b.keys);
      expect(keys.filter((each, index) => keys.indexOf(each) !== index)).toEqual([]);
    }
    for (const { keys, help } of bindings) expect([keys.length > 0, help.length > 0]).toEqual([true, true]);
    expect(actionOf("vms", key("u"))).toBe("start");
    expect(actionOf("images", key("u"))).toBeNull();
    expect(actionOf("logs", key("/"))).toBe("search");
  });
});

describe("the form", () => {
  const facts: FormFacts = {
    names: new Set(["web", "old"]),
    images: ["debian-13"],
    host: { cpus: 4, freeMemoryMiB: 2048, freeDiskMiB: 10_240 },
  };
  const filled = (form: Form, values: Record<string, string>): Form => ({
    ...form,
    fields: form.fields.map((field) => ({ ...field, value: values[field.name] ?? field.value })),
  });
  const problem = (values: Record<string, string>, form = createForm(images)): (string | null)[] => {
    const changed = filled(form, values);
    return changed.fields.filter(({ name }) => name in values).map((field) => problemOf(changed, field, facts));
  };

  const wrong: readonly [values: Record<string, string>, message: RegExp][] = [
    [{ name: "Web" }, /write it in lower case: web/],
    [{ name: "web" }, /a VM named web exists already/],
    [{ name: "a b" }, /only the letters/],
    [{ vcpu: "two" }, /write a number/],
    [{ vcpu: "0" }, /at least 1 vCPU/],
    [{ vcpu: "99" }, /at most 32/],
    [{ memory: "2" }, /has no unit/],
    [{ memory: "1M" }, /out of range/],
    [{ disk: "many" }, /is no size/],
    [{ label: "A=b" }, /label/i],
  ];
  for (const [values, message] of wrong) {
    test(`${JSON.stringify(values)} is wrong while it is typed`, () => {
      expect(problem(values)[0]).toMatch(message);
      expect(isRight(filled(createForm(images), values), facts)).toBe(false);
    });
  }

  test("nothing has to be filled in, and then nothing is decided here", () => {
    expect(isRight(createForm(images), facts)).toBe(true);
    expect(callsOf(createForm(images))).toEqual([
      { method: "vm.create", input: { image: "debian-13", vmm: "auto", start: true } },
    ]);
  });

  test("what is filled in is what is asked for", () => {
    const form = filled(createForm(images), {
      name: "new",
      vcpu: "2",
      memory: "1.5G",
      disk: "20G",
      label: "a=b c",
      start: "no",
    });
    expect(isRight(form, facts)).toBe(true);
    expect(callsOf(form)[0]?.input).toEqual({
      name: "new",
      image: "debian-13",
      vcpu: 2,
      memory: "1.5G",
      disk: "20G",
      label: { a: "b", c: "" },
      vmm: "auto",
      start: false,
    });
  });

  test("says what fits on the host without forbidding it", () => {
    const remark = (name: string, value: string): string | null => {
      const field = createForm(images).fields.find((each) => each.name === name);
      return field ? remarkOf({ ...field, value }, facts) : null;
    };
    expect(remark("memory", "4G")).toBe("more than the 2G that are free");
    expect(remark("memory", "1G")).toBe("2G are free");
    expect(remark("disk", "40G")).toBe("more than the 10G that are free; it grows as it is used");
    expect(remark("vcpu", "8")).toBe("more than the 4 CPUs of this host");
    expect(remark("name", "x")).toBeNull();
  });

  test("a change is only what differs, the new name last; a disk only grows", () => {
    const old = fleet[3]!;
    const form = editForm(old);
    expect(callsOf(form)).toEqual([]);
    expect(callsOf(filled(form, { name: "older", memory: "4096M", label: "x=y" }))).toEqual([
      { method: "vm.set", input: { vm: old.id, memory: "4096M" } },
      { method: "vm.label", input: { vm: old.id, set: { x: "y" }, remove: [] } },
      { method: "vm.rename", input: { vm: old.id, name: "older" } },
    ]);
    expect(problem({ disk: "10G" }, form)).toEqual(["a disk only grows"]);
    expect(problem({ name: "" }, form)).toEqual(["Name cannot be empty"]);
    expect(problem({ name: "old" }, form)).toEqual([null]);
  });

  test("of a running VM only the labels are offered, and those taken out are removed", () => {
    const form = editForm(fleet[0]!);
    expect(form.fields.map(({ name }) => name)).toEqual(["label"]);
    expect(callsOf(filled(form, { label: "team=red" }))).toEqual([
      { method: "vm.label", input: { vm: fleet[0]!.id, set: { team: "red" }, remove: ["tier"] } },
    ]);
    expect(parseLabels(" a=1  b=2=3 c ")).toEqual({ a: "1", b: "2=3", c: "" });
  });
});

describe("lines", () => {
  test("are exactly as wide as they are asked to be, whatever is in them", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((value) => value.replace(/\p{C}/gu, ""));
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 60 }), (value, columns) => {
        expect(widthOf(fit(value, columns))).toBe(columns);
        expect(widthOf(textOf(fitLine([{ text: value }, { text: "end" }], columns)))).toBe(columns);
        expect(widthOf(truncate(value, columns))).toBeLessThanOrEqual(columns);
      }),
    );
  });

  test("cut no character in half and say that they were cut", () => {
    expect(truncate("虚拟机", 4)).toBe("虚…");
    expect(fit("虚拟机", 4)).toBe("虚… ");
    expect(truncate("abcdef", 4)).toBe("abc…");
    expect(fit("7", 3, "right")).toBe("  7");
  });

  test("wrap words, and end in an ellipsis where more would come", () => {
    expect(wrap("one two three four", 9, 4)).toEqual(["one two", "three", "four"]);
    expect(wrap("one two three four", 9, 2)).toEqual(["one two", "three fo…"]);
  });
});

describe("what a guest writes", () => {
  const cases: readonly [raw: string, clean: string][] = [
    ["plain", "plain"],
    ["\x1b[1;31mred\x1b[0m", "red"],
    ["10%\r50%\r100%", "100%"],
    ["line\r", "line"],
    ["a\tb", "a       b"],
    ["\x1b]0;title\x07shown", "shown"],
    ["bell\x07", "bell"],
  ];
  for (const [raw, clean] of cases) test(JSON.stringify(raw), () => expect(cleanLine(raw)).toBe(clean));

  test("comes as lines, however it was cut", () => {
    const log = openLogText();
    log.add("one\ntwo\n");
    log.add("three");
    expect(log.take()).toEqual(["one", "two", "three"]);
    expect(log.take()).toEqual([]);
  });

  test("has its hits marked", () => {
    expect(
      markHits("an Error, an error", "error")
        .map(({ text, isHit }) => (isHit ? `[${text}]` : text))
        .join(""),
    ).toBe("an [Error], an [error]");
  });
});

test("the host's files are read as the kernel writes them", () => {
  expect(parseCpuTimes("cpu  100 0 50 800 50 0 0 0 99 0\ncpu0 1 2 3 4 5\n")).toEqual({ total: 1000, busy: 150 });
  expect(parseCpuTimes("")).toBeNull();
  expect(parseAvailableMiB("MemTotal: 10 kB\nMemAvailable:    2048 kB\n")).toBe(2);
  expect(parseAvailableMiB("")).toBeNull();
});

test("figures are short", () => {
  expect([300, 1536, 4096, 102_400, 2_097_152, null].map(formatMiB)).toEqual(["300M", "1.5G", "4G", "100G", "2T", "-"]);
  expect([0, 45, 200, 7500, 100_000].map(formatSeconds)).toEqual(["0s", "45s", "3m20s", "2h5m", "1d3h"]);
  expect([820, 2345, 95_000].map(formatMs)).toEqual(["820 ms", "2.3 s", "1m35s"]);
});
