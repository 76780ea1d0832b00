// The codec of the guest channel: any frames, in any pieces, after any garbage.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseFields, renderFields } from "../../src/spec/guest/fields.ts";
import {
  createFrameReader,
  createSyncFinder,
  type Frame,
  renderFrame,
  renderSync,
  STARTED_ANEW,
} from "../../src/spec/guest/frames.ts";
import { FRAME, FRAME_MAX_BYTES, FRAME_PAYLOAD_MAX_BYTES, SYNC_MAGIC } from "../../src/spec/guest/protocol.ts";

const knownType = fc.constantFrom(...Object.values(FRAME));
const payload = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536).map((length) => new Uint8Array(length).fill(length & 0xff)) },
);
const frame = fc.record({ type: knownType, stream: fc.integer({ min: 0, max: 65_535 }), payload });
const optional = fc.record({ type: fc.integer({ min: 128, max: 255 }), stream: fc.constant(0), payload });
const cuts = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 40 });

/** The bytes in pieces of the given sizes, taken in turn. */
const inPieces = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    pieces.push(bytes.slice(at, at + size));
    at += size;
  }
  return pieces;
};

const readAll = (pieces: readonly Uint8Array[]) => {
  const reader = createFrameReader();
  const frames: Frame[] = [];
  for (const piece of pieces) {
    const result = reader.push(piece, (each) => {
      frames.push({ ...each, payload: each.payload.slice() });
      return true;
    });
    if (!result.ok) return { frames, detail: result.detail };
  }
  return { frames, detail: null };
};

describe("frames", () => {
  test("any frames in any pieces come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), cuts, (frames, sizes) => {
        const bytes = Buffer.concat(frames.map(renderFrame));
        expect(readAll(inPieces(bytes, sizes))).toEqual({ frames, detail: null });
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  test("optional frames are passed over, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(frame, optional), { maxLength: 12 }), cuts, (frames, sizes) => {
        const bytes = Buffer.concat(frames.map(renderFrame));
        const expected = frames.filter(({ type }) => type < 128);
        expect(readAll(inPieces(bytes, sizes))).toEqual({ frames: expected, detail: null });
      }),
      { numRuns: 200, seed: 2 },
    );
  });

  test("any bytes whatsoever are read without an exception, and equally in any pieces", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), cuts, (bytes, sizes) => {
        expect(readAll(inPieces(bytes, sizes))).toEqual(readAll([bytes]));
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  test("a length of a gigabyte ends the reading before anything is held", () => {
    const header = renderFrame({ type: FRAME.data });
    new DataView(header.buffer).setUint32(0, 2 ** 30, true);
    expect(readAll([header]).detail).toContain("a frame of 1073741824 bytes");
    new DataView(header.buffer).setUint32(0, FRAME_PAYLOAD_MAX_BYTES + 1, true);
    expect(readAll([header]).detail).toContain("a frame of 65537 bytes");
  });

  test("unknown types below 128 and flags end the reading", () => {
    expect(readAll([renderFrame({ type: 99 })]).detail).toContain("unknown type 99");
    const flagged = renderFrame({ type: FRAME.ping });
    flagged[7] = 1;
    expect(readAll([flagged]).detail).toContain("flags 1");
  });

  test("the zeros of a helper that starts anew are seen wherever the last one stopped", () => {
    fc.assert(
      fc.property(frame, fc.nat(), (last, cut) => {
        const bytes = renderFrame(last);
        const torn = bytes.subarray(0, cut % (bytes.length + 1));
        expect(readAll([torn, new Uint8Array(FRAME_MAX_BYTES)]).detail).toBe(STARTED_ANEW);
      }),
      { numRuns: 200, seed: 4 },
    );
  });
});

describe("synchronisation", () => {
  const nonce = fc.uint8Array({ minLength: 16, maxLength: 16 });
  /* Garbage that tries: pieces of the magic and whole answers to other nonces. */
  const garbage = fc
    .array(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(8).map((count) => SYNC_MAGIC.slice(0, count)),
        fc.uint8Array({ minLength: 16, maxLength: 16 }).map(renderSync),
        fc.constant(new Uint8Array(30)),
      ),
      { maxLength: 10 },
    )
    .map((parts) => Buffer.concat(parts));

  test("the answer is found after any garbage, in any pieces, and what follows it is kept", () => {
    fc.assert(
      fc.property(garbage, nonce, fc.uint8Array({ maxLength: 100 }), cuts, (before, wanted, after, sizes) => {
        fc.pre(Buffer.concat([before, renderSync(wanted)]).indexOf(Buffer.from(renderSync(wanted))) === before.length);
        const finder = createSyncFinder(wanted);
        const rest: Uint8Array[] = [];
        let isFound = false;
        for (const piece of inPieces(Buffer.concat([before, renderSync(wanted), after]), sizes)) {
          if (isFound) rest.push(piece);
          else {
            const result = finder.push(piece);
            if (result.found) {
              isFound = true;
              rest.push(result.rest);
            }
          }
        }
        expect(isFound).toBe(true);
        expect(Buffer.concat(rest)).toEqual(Buffer.from(after));
      }),
      { numRuns: 500, seed: 5 },
    );
  });

  test("an answer with another nonce is not taken", () => {
    const finder = createSyncFinder(new Uint8Array(16).fill(1));
    expect(finder.push(renderSync(new Uint8Array(16).fill(2))).found).toBe(false);
  });

  test("a SYNC is no frame", () => {
    expect(readAll([renderSync(new Uint8Array(16))]).detail).toContain("a frame of");
  });
});

describe("fields", () => {
  const key = fc.stringMatching(/^[a-z0-9_.]{1,12}$/);
  const value = fc.string({ unit: "grapheme", maxLength: 40 }).map((text) => text.replaceAll("\0", ""));

  test("any fields come out as they went in", () => {
    fc.assert(
      fc.property(fc.dictionary(key, value), (fields) => {
        expect(parseFields(renderFields(fields))).toEqual({ ok: true, fields });
      }),
      { seed: 6 },
    );
  });

  test("any bytes are either fields or told to be none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(typeof parseFields(bytes).ok).toBe("boolean");
      }),
      { numRuns: 1_000, seed: 7 },
    );
  });

  test.each([
    ["no NUL at the end", "a=b"],
    ["no equals sign", "a\0"],
    ["an empty key", "=b\0"],
    ["a key in capitals", "A=b\0"],
    ["an empty field", "a=b\0\0"],
  ])("%s is refused", (_, text) => {
    expect(parseFields(new TextEncoder().encode(text)).ok).toBe(false);
  });

  test("invalid UTF-8 is refused, and __proto__ is no key", () => {
    expect(parseFields(new Uint8Array([0x61, 0x3d, 0xff, 0xfe, 0]))).toEqual({
      ok: false,
      detail: "fields are not UTF-8",
    });
    const odd = parseFields(new TextEncoder().encode("__proto__=x\0"));
    expect(odd.ok && Object.getPrototypeOf(odd.fields)).toBe(null);
    expect(odd.ok && Object.keys(odd.fields)).toEqual(["__proto__"]);
  });
});
