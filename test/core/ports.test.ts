// What listens in a guest and on the host, as pure decisions: scopes, ways to reach it, the kernel's tables.
import { describe, expect, test } from "bun:test";
import { doForwardsClash, parseForward, planRoutes } from "../../src/core/forwards.ts";
import {
  findHolder,
  PUBLISHED_MAX,
  planGuestPorts,
  planPortBlocks,
  planPortRows,
  planPublications,
} from "../../src/core/guest-ports.ts";
import { decideLoopbackBlock } from "../../src/core/loopback-block.ts";
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
      sides: { guest: "10.9.8.2", host: "10.9.8.2", published: null },
      fqdn: "web.vm",
      forwards: [{ address: "127.0.0.1", hostPort: 8002, guestPort: 2 }],
      blocks: [],
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

  test("in a namespace what the guest's address reaches is opened on this host's, once for each port, and no more than a bound", () => {
    const sides = { guest: "10.9.8.2", host: "127.77.5.2" };
    const heard = ["0.0.0.0", "::", "10.9.8.2", "127.0.0.1", "172.17.0.1"].map((address, at) =>
      told(address, at < 2 ? 80 : 80 + at),
    );
    expect(planPublications(planGuestPorts(heard), sides)).toEqual([
      { address: "127.77.5.2", port: 80, targetAddress: "10.9.8.2", targetPort: 80 },
      { address: "127.77.5.2", port: 82, targetAddress: "10.9.8.2", targetPort: 82 },
    ]);
    const many = Array.from({ length: 2000 }, (_, at) => told("0.0.0.0", at + 1));
    expect(planPublications(planGuestPorts(many), sides)).toHaveLength(PUBLISHED_MAX);
  });

  test("a row says what is open, who is in the way, and the one command for all ports that are not this user's", () => {
    const owner = { address: "0.0.0.0", port: 5000, pid: 7, process: "registry" };
    const refused = (port: number, code: "taken" | "privileged") => ({
      port,
      refusal: { code, detail: "no" },
      owner: code === "taken" ? owner : null,
    });
    const [inside, ssh, web, open, taken, coming] = planPortRows({
      ports: planGuestPorts([
        told("127.0.0.1", 21),
        ...[22, 80, 3000, 5000, 6000].map((port) => told("0.0.0.0", port)),
      ]),
      sides: { guest: "10.9.8.2", host: "127.77.5.2", published: [{ address: "127.77.5.2", port: 3000 }] },
      fqdn: "web.vm",
      forwards: [],
      blocks: planPortBlocks([refused(22, "privileged"), refused(80, "privileged"), refused(5000, "taken")]),
      listeners: [],
    });
    const fix = "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=22";
    expect(inside).toMatchObject({ reach: null, blocked: null });
    expect(ssh).toMatchObject({ reach: null, blocked: { why: "privileged", fix } });
    expect(web).toMatchObject({ reach: null, blocked: { why: "privileged", fix } });
    expect(open).toMatchObject({ reach: "127.77.5.2:3000", name: "web.vm:3000", blocked: null });
    expect(taken).toMatchObject({ reach: null, name: null, blocked: { why: "taken", by: owner, fix: null } });
    expect(coming).toMatchObject({ reach: null, blocked: null });
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

describe("the block of loopback addresses", () => {
  const decide = (options: Partial<Parameters<typeof decideLoopbackBlock>[0]> = {}) =>
    decideLoopbackBlock({ instance: "abcde", current: null, hasRunning: false, listening: [], ...options });

  test("is the same for an instance, another for others, and never where others have settled", () => {
    expect(decide()).toBe(decide());
    const blocks = Array.from({ length: 500 }, (_, at) => decide({ instance: `i${at}` }));
    expect(new Set(blocks).size).toBeGreaterThan(490);
    for (const block of blocks) {
      expect(block).toMatch(/^127\.\d+\.\d+\.0\/24$/);
      const second = Number(block.split(".")[1]);
      expect(second >= 64 && second < 255).toBe(true);
    }
  });

  test("is kept, unless somebody else listens in it while none of ours is published there", () => {
    const current = "127.77.5.0/24";
    const elsewhere = ["0.0.0.0", "::", "127.0.0.1", "127.77.6.2", "127.77.4.255"];
    expect(decide({ current, listening: elsewhere })).toBe(current);
    for (const held of ["127.77.5.9", "::ffff:127.77.5.9"]) {
      expect(decide({ current, listening: [held] })).not.toBe(current);
      expect(decide({ current, listening: [held], hasRunning: true })).toBe(current);
    }
  });

  test("is not one that others have when it is chosen", () => {
    const first = decide();
    const held = first.replace("0/24", "7");
    const second = decide({ listening: [held] });
    expect(second).not.toBe(first);
    expect(decide({ listening: [held], current: first })).toBe(second);
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
