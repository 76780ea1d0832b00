// Subnets, slots and MAC addresses are chosen so that nothing collides.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  addressOf,
  bridgeMacFor,
  chooseSlot,
  chooseSubnet,
  decideSubnet,
  gatewayOf,
  isOverlapping,
  macFor,
  parseCidr,
} from "../../src/core/net-plan.ts";
import { type HostRoute, parseRoutes } from "../../src/core/net-routes.ts";
import { Mac, Subnet } from "../../src/spec/names.ts";

const via = (destination: string, device = "eth0"): HostRoute => ({
  destination,
  device,
  gateway: null,
  table: "main",
});

const instances = fc.stringMatching(/^[a-z0-9]{5}$/);
const cidrs = fc
  .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 1, max: 32 }))
  .map(([value, length]) => `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}/${length}`);
const octet = fc.integer({ min: 0, max: 255 });
const privateCidrs = fc
  .tuple(fc.constantFrom("10", "172.16", "172.20", "192.168"), octet, octet, fc.integer({ min: 12, max: 32 }))
  .map(([head, a, b, length]) => (head === "10" ? `10.${a}.${b}.0/${length}` : `${head}.${b}.0/${length}`));
const routeSets = fc.array(
  fc.oneof(cidrs, privateCidrs).map((cidr) => via(cidr)),
  { maxLength: 40 },
);

describe("chooseSubnet", () => {
  test("whatever it chooses is a private /24 that overlaps no route and nothing taken", () => {
    fc.assert(
      fc.property(instances, routeSets, fc.array(privateCidrs, { maxLength: 5 }), (instance, routes, taken) => {
        const subnet = chooseSubnet({ instance, routes, taken });
        if (subnet === null) return;
        expect(Subnet.safeParse(subnet).success).toBe(true);
        for (const { destination } of routes) {
          if (destination !== "0.0.0.0/0") expect(isOverlapping(destination, subnet)).toBe(false);
        }
        for (const other of taken) expect(isOverlapping(other, subnet)).toBe(false);
      }),
    );
  });

  test("the default route hides nothing", () => {
    expect(chooseSubnet({ instance: "abcde", routes: [via("0.0.0.0/0")] })).not.toBeNull();
  });

  test("it leaves 10.64.0.0/10 when that is routed, and gives up when all private ranges are", () => {
    const next = chooseSubnet({ instance: "abcde", routes: [via("10.64.0.0/10")] });
    expect(next).toStartWith("10.");
    const last = chooseSubnet({ instance: "abcde", routes: [via("10.0.0.0/8"), via("172.16.0.0/12")] });
    expect(last).toStartWith("192.168.");
    const full = [via("10.0.0.0/8"), via("172.16.0.0/12"), via("192.168.0.0/16")];
    expect(chooseSubnet({ instance: "abcde", routes: full })).toBeNull();
  });

  test("a configured subnet is taken as it is or not at all", () => {
    const configured = "10.9.8.0/24";
    expect(chooseSubnet({ instance: "abcde", routes: [], configured })).toBe(configured);
    expect(chooseSubnet({ instance: "abcde", routes: [via("10.9.0.0/16")], configured })).toBeNull();
  });

  test("instances begin at different places", () => {
    const ids = Array.from({ length: 200 }, (_, index) => `i${String(index).padStart(4, "0")}`);
    const chosen = new Set(ids.map((instance) => chooseSubnet({ instance, routes: [] })));
    expect(chosen.size).toBeGreaterThan(195);
  });
});

describe("decideSubnet", () => {
  const current = "10.77.5.0/24";
  const base = { instance: "abcde", bridge: "bgr-abcde", current, hasRunning: false };

  test("the route of our own bridge does not drive us from our subnet", () => {
    const routes = [via(current, "bgr-abcde"), via("10.77.5.1/32", "bgr-abcde")];
    expect(decideSubnet({ ...base, routes })).toEqual({ subnet: current, moved: false, clash: false });
  });

  test("a subnet that the host now routes elsewhere is chosen anew when nothing runs, and is kept as a clash when something does", () => {
    const routes = [via("10.77.0.0/16", "tun0")];
    const moved = decideSubnet({ ...base, routes });
    expect(moved.moved).toBe(true);
    expect(isOverlapping(moved.subnet ?? "", "10.77.0.0/16")).toBe(false);
    expect(decideSubnet({ ...base, routes, hasRunning: true })).toEqual({ subnet: current, moved: false, clash: true });
  });

  test("a configuration that changed counts from the next time that nothing runs", () => {
    const configured = "10.1.2.0/24";
    expect(decideSubnet({ ...base, routes: [], configured, hasRunning: true }).subnet).toBe(current);
    expect(decideSubnet({ ...base, routes: [], configured })).toEqual({
      subnet: configured,
      moved: true,
      clash: false,
    });
  });
});

describe("addresses", () => {
  test("slots are the lowest free ones, from 2 to 254", () => {
    expect(chooseSlot([])).toBe(2);
    expect(chooseSlot([2, 3, 5])).toBe(4);
    expect(chooseSlot(Array.from({ length: 253 }, (_, index) => index + 2))).toBeNull();
  });

  test("the gateway is the first address", () => {
    expect(gatewayOf("10.77.5.0/24")).toBe("10.77.5.1");
    expect(addressOf("10.77.5.0/24", 254)).toBe("10.77.5.254");
  });

  test("MAC addresses are valid, the same for ever, and different for every VM and bridge of an instance", () => {
    expect(macFor("abcde", "0123456789ab")).toBe(macFor("abcde", "0123456789ab"));
    const ids = Array.from({ length: 2000 }, (_, index) => index.toString(16).padStart(12, "0"));
    const macs = [bridgeMacFor("abcde"), ...ids.map((id) => macFor("abcde", id))];
    expect(new Set(macs).size).toBe(macs.length);
    for (const mac of macs.slice(0, 50)) expect(Mac.safeParse(mac).success).toBe(true);
  });

  test("what is no CIDR is not read as one", () => {
    for (const text of ["", "10.0.0.0", "10.0.0.0/33", "256.0.0.0/8", "10.0.0/24", "fe80::/10"])
      expect(parseCidr(text)).toBeNull();
  });
});

describe("parseRoutes", () => {
  test("default, host and blackhole routes of any table are read", () => {
    const rows = [
      { dst: "default", gateway: "192.0.2.1", dev: "eth0", flags: [] },
      { type: "local", dst: "192.0.2.2", dev: "eth0", table: "local" },
      { type: "blackhole", dst: "10.0.0.0/8", table: 42 },
      { nothing: true },
    ];
    expect(parseRoutes(JSON.stringify(rows))).toEqual([
      { destination: "0.0.0.0/0", device: "eth0", gateway: "192.0.2.1", table: "main" },
      { destination: "192.0.2.2/32", device: "eth0", gateway: null, table: "local", isOwn: true },
      { destination: "10.0.0.0/8", device: null, gateway: null, table: "42" },
    ]);
    expect(parseRoutes("")).toEqual([]);
  });
});
