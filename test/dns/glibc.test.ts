// glibc as a client: getent by UDP, with EDNS and by TCP, in a namespace where this name server is on port 53 as at a guest's gateway.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { findNamespaceObstacle, runInside } from "./namespace.ts";

type Found = { results: Record<string, Record<string, unknown>>; malformed: number };

const obstacle = findNamespaceObstacle({ needsRoot: false });

describe.skipIf(obstacle !== null)(`glibc${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  test("finds names whole and short, wildcards, IPv6, large answers by TCP (RFC 7766 §5), and nothing where nothing is", async () => {
    const { results, malformed } = await runInside<Found>(join(import.meta.dir, "glibc-inside.ts"));
    expect(Object.keys(results)).toEqual(["plain", "edns0", "tcp"]);
    for (const [how, found] of Object.entries(results)) {
      expect({ how, found }).toEqual({
        how,
        found: {
          full: ["10.77.5.9"],
          short: ["10.77.5.9"],
          both: ["10.77.5.9"],
          six: ["fd00::6"],
          many: 100,
          wild: ["10.77.5.10"],
          nothing: [],
          outside: [],
          backwards: 1,
          hasUsedTcp: true,
        },
      });
    }
    expect(malformed).toBe(0);
  }, 250_000);
});
