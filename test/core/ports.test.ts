// What listens in a guest and on the host, as pure decisions: scopes, ways to reach it, the kernel's tables.
import { describe, expect, test } from "bun:test";
import { doForwardsClash, parseForward, planRoutes } from "../../src/core/forwards.ts";
import { findHolder, planGuestPorts, planPortRows } from "../../src/core/guest-ports.ts";
import { parseListeners, suggestPort } from "../../src/core/proc-listeners.ts";

const told = (address: string, port: number, name: string | null = "web") => ({
  protocol: address.includes(":") ? ("tcp6" as const) : ("tcp" as const),
  address,
  port,
  pid: name === null ? null : 7,
  name,
});

describe("what listens in a guest", () => {
  test("loopback, all addresses and one address are told apart, IPv6 and mapped ones too", () => {
    const ports = planGuestPorts(
      ["0.0.0.0", "::", "127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1", "10.9.8.2", "fe80::1"].map((address) =>
        told(address, 80),
      ),
    );
    expect(Object.fromEntries(ports.map(({ address, scope }) => [address, scope]))).toEqual({
      "0.0.0.0": "any",
      "::": "any",
      "127.0.0.1": "loopback",
      "127.0.0.53": "loopback",
      "::1": "loopback",
      "::ffff:127.0.0.1": "loopback",
      "10.9.8.2": "address",
      "fe80::1": "address",
    });
  });

  test("they come by number, and a socket that was told twice is one", () => {
    const ports = planGuestPorts([told("0.0.0.0", 8080), told("0.0.0.0", 22), told("0.0.0.0", 22, "other")]);
    expect(ports.map(({ port, process }) => [port, process])).toEqual([
      [22, "web"],
      [8080, "web"],
    ]);
  });

  test("a row says by what it is reached, what leads to it, and who has the same port here", () => {
    const [inside, open, other] = planPortRows({
      ports: planGuestPorts([told("127.0.0.1", 1), told("0.0.0.0", 2), told("10.9.8.9", 3)]),
      address: "10.9.8.2",
      fqdn: "web.vm",
      forwards: [{ address: "127.0.0.1", hostPort: 8002, guestPort: 2 }],
      listeners: [{ address: "0.0.0.0", port: 2, pid: 5, process: "node" }],
    });
    expect(inside).toMatchObject({ reach: null, name: null, heldHere: null });
    expect(open).toMatchObject({
      reach: "10.9.8.2:2",
      name: "web.vm:2",
      forwards: ["127.0.0.1:8002"],
      heldHere: { process: "node" },
    });
    expect(other).toMatchObject({ reach: null });
  });

  test("a listener on all addresses holds every address, one on another address does not", () => {
    const on = (address: string) => [{ address, port: 80, pid: null, process: null }];
    const wanted = { address: "127.77.0.2", port: 80 };
    expect(findHolder(on("0.0.0.0"), wanted)).not.toBeNull();
    expect(findHolder(on("::"), wanted)).not.toBeNull();
    expect(findHolder(on("127.77.0.2"), wanted)).not.toBeNull();
    expect(findHolder(on("127.0.0.1"), wanted)).toBeNull();
    expect(findHolder(on("0.0.0.0"), { ...wanted, port: 81 })).toBeNull();
  });
});

describe("the kernel's tables", () => {
  const four = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100 0 0 10 0
   2: 0100007F:1F91 0100007F:0050 01 00000000:00000000 00:00000000 00000000  1000        0 999 1 0 100 0 0 10 0
   broken line
`;
  const six = `   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 21 1
   1: 00000000000000000000000000000000:0017 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 22 1
   2: 0000000000000000FFFF00000100007F:0018 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 23 1
   3: 000080FE000000000000000001000000:0019 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 24 1
`;

  test("only sockets that listen are taken, with address, port, owner and inode", () => {
    expect(parseListeners(four)).toEqual([
      { address: "127.0.0.1", port: 8080, uid: 1000, inode: 12345 },
      { address: "0.0.0.0", port: 80, uid: 0, inode: 777 },
    ]);
    expect(parseListeners(six).map(({ address, port }) => [address, port])).toEqual([
      ["::1", 22],
      ["::", 23],
      ["::ffff:127.0.0.1", 24],
      ["fe80::1", 25],
    ]);
  });

  test("a port that nobody has is proposed near the one that was wished", () => {
    expect(suggestPort(8080, new Set([8080, 8081]))).toBe(8082);
    expect(suggestPort(80, new Set([80]))).toBe(8080);
    expect(suggestPort(65_535, new Set([65_535, 1024]))).toBe(1025);
  });
});

describe("forwards", () => {
  test("are written as ssh and docker have them, on the loopback unless something else is asked for", () => {
    expect(parseForward("8080:80", undefined)).toEqual({ address: "127.0.0.1", hostPort: 8080, guestPort: 80 });
    expect(parseForward("3000", undefined)).toEqual({ address: "127.0.0.1", hostPort: 3000, guestPort: 3000 });
    expect(parseForward("127.0.0.2:1:2", undefined).address).toBe("127.0.0.2");
    expect(parseForward("[::1]:1:2", undefined).address).toBe("::1");
    expect(parseForward("1:2", "0.0.0.0").address).toBe("0.0.0.0");
  });

  test("what is none is refused, and so is an open address that was not asked for", () => {
    for (const text of ["", "0:80", "80:", "70000:1", "a:1:2", "1.2.3.400:1:2", "1:2:3:4", "8080:80/udp"])
      expect(() => parseForward(text, undefined)).toThrow();
    expect(() => parseForward("192.0.2.1:80:80", undefined)).toThrow(/reached from other machines/);
    expect(() => parseForward("127.0.0.1:80:80", "0.0.0.0")).toThrow(/--bind says/);
  });

  test("the same port on the same address clashes, and so does one on all", () => {
    const one = parseForward("80:80", undefined);
    expect(doForwardsClash(one, parseForward("80:81", undefined))).toBe(true);
    expect(doForwardsClash(one, parseForward("80:81", "0.0.0.0"))).toBe(true);
    expect(doForwardsClash(one, parseForward("127.0.0.2:80:81", undefined))).toBe(false);
    expect(doForwardsClash(one, parseForward("81:80", undefined))).toBe(false);
  });

  test("only what differs is closed or opened", () => {
    const route = (port: number, targetPort: number) => ({
      address: "127.0.0.1",
      port,
      targetAddress: "10.0.0.2",
      targetPort,
    });
    expect(planRoutes([route(1, 1), route(2, 3), route(4, 4)], [route(1, 1), route(2, 2), route(5, 5)])).toEqual({
      toClose: [route(2, 2), route(5, 5)],
      toOpen: [route(2, 3), route(4, 4)],
    });
  });
});
