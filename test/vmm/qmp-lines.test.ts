// How QMP's bytes become messages.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { lineSplitter, parseQmpLine } from "../../src/vmm/qemu/qmp.ts";

test("lines come whole however they were cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\n", " "))),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const split = lineSplitter(1000);
        const found: string[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1;
          found.push(...(split(bytes.subarray(at, at + size)) ?? ["too long"]));
          at += size;
        }
        expect(found).toEqual(lines.map((line) => Buffer.from(line).toString()));
      },
    ),
  );
});

test("a line that grows beyond its limit is told, and one of exactly the limit is not", () => {
  const split = lineSplitter(10);
  expect(split(Buffer.from("0123456789"))).toEqual([]);
  expect(split(Buffer.from("x"))).toBeNull();
});

test("what is no JSON object is no message, and nothing throws", () => {
  for (const line of ["", " ", "[]", "null", "1", '"QMP"', "{", "\0"]) expect(parseQmpLine(line)).toBeNull();
  expect(parseQmpLine('{"return": {}, "id": 1}\r')).toEqual({ return: {}, id: 1 });
  fc.assert(
    fc.property(fc.string(), (line) => {
      const message = parseQmpLine(line);
      expect(message === null || !Array.isArray(message)).toBe(true);
    }),
  );
});
