// The instance's networks as one: what becomes of the bridge where root is refused.
import { describe, expect, test } from "bun:test";
import type { Network } from "../../src/net/network.ts";
import { joinNetworks } from "../../src/net/networks.ts";
import { fail } from "../../src/spec/errors.ts";

const inventory = { bridges: ["bgr-abcde"], taps: [], tables: [], jails: [] };
const networkThat = (list: () => Promise<typeof inventory>): Network =>
  ({ list, ensure: async () => void (await list()) }) as unknown as Network;
const refused = networkThat(() =>
  Promise.reject(fail("root.unavailable", { detail: "sudo would ask for a password" })),
);
const broken = networkThat(() =>
  Promise.reject(fail("host.command_failed", { command: ["ip"], exitCode: 1, stderr: "" })),
);
const fine = networkThat(async () => inventory);

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "none",
    (error) => error.code,
  );

const joined = (bridge: Network, use: "needed" | "perhaps" | "no") =>
  joinNetworks({ networks: { bridge, namespace: fine }, isUsed: (mode) => (mode === "bridge" ? use : "perhaps") });

describe("a user whom sudo refuses, on a host where banger was set up for others", () => {
  test("has nothing on the host, and what is in the namespace is told", async () => {
    expect(await joined(refused, "perhaps").lists("audit")).toEqual({ bridge: null, namespace: inventory });
    await joined(refused, "perhaps").ensure([], "recovery");
  });

  test("is told so where one of the VMs needs the bridge", async () => {
    expect(await codeOf(joined(refused, "needed").lists("audit"))).toBe("root.unavailable");
  });
});

test("any other failure of the helper is a failure", async () => {
  const { lists, ensure } = joined(broken, "perhaps");
  expect(await codeOf(lists("audit"))).toBe("host.command_failed");
  expect(await codeOf(ensure([], "recovery"))).toBe("host.command_failed");
});

test("a network that cannot be there is not looked for", async () => {
  expect(await joined(broken, "no").lists("audit")).toEqual({ bridge: null, namespace: inventory });
});
