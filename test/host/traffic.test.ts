// What guests can and cannot send, proved with real packets between namespaces that play host, internet and guests.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createRootClient } from "../../src/host/root-client.ts";
import { createNetwork, type NetPlace } from "../../src/net/network.ts";
import { createNetLab, findLabObstacle, type Namespace, type NetLab } from "./net-lab.ts";
import { forgetInstances } from "./registry.ts";

const BUN = process.execPath;
const PROBE = `${import.meta.dir}/net-probe.ts`;
const INTERNET = "198.51.100.1";
const UPLINK = "198.51.100.2";
/** An address of the host that no guest should reach a service by. */
const OTHER = "203.0.113.9";
const RESOLVER_PORT = 5300;

const obstacle = findLabObstacle();
const suite = obstacle === null ? describe : describe.skip;

const newId = () => `x${Math.random().toString(36).slice(2, 6).padEnd(4, "0")}`;
const [A, B] = [newId(), newId()];

suite(`packets${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: NetLab;
  let internet: Namespace;
  let root: ReturnType<typeof createRootClient>;
  const servers: Bun.Subprocess[] = [];
  const guests = new Map<string, { space: Namespace; place: NetPlace }>();
  const networks = new Map<string, ReturnType<typeof createNetwork>>();

  const serve = async (space: Namespace, address: string, port: number) => {
    const server = Bun.spawn(space.inside([BUN, PROBE, "serve", address, String(port)]), {
      stdio: ["ignore", "pipe", "inherit"],
    });
    servers.push(server);
    const lines = server.stdout.getReader();
    await lines.read();
    return { server, lines };
  };

  /** What came back, or "silence". */
  const ask = async (space: Namespace, kind: "udp" | "tcp", target: string, source?: string): Promise<string> => {
    const [address = "", port = ""] = target.split(":");
    const argv = [BUN, PROBE, `ask-${kind}`, address, port, ...(source ? [source] : [])];
    const child = Bun.spawn(space.inside(argv), { stdio: ["ignore", "pipe", "inherit"] });
    return (await new Response(child.stdout).text()).trim();
  };

  const guest = (instance: string, slot: number) => {
    const found = guests.get(`${instance}/${slot}`);
    if (!found) throw new Error(`no guest ${slot} in ${instance}`);
    return found;
  };

  /** A namespace on a link that bears a tap's name, since a tap cannot be moved into one. */
  const addGuest = async (instance: string, slot: number, subnet: string) => {
    const space = await lab.addNamespace();
    const tap = `bgr-${instance}-${slot}`;
    const address = subnet.replace(".0/24", `.${slot}`);
    const mac = `02:00:00:00:00:0${slot}`;
    lab.host.run(["ip", "link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", String(space.pid)]);
    lab.host.run(["ip", "link", "set", tap, "master", `bgr-${instance}`, "up"]);
    space.run(["ip", "link", "set", "eth0", "address", mac, "up"]);
    space.run(["ip", "address", "add", `${address}/24`, "dev", "eth0"]);
    space.run(["ip", "route", "add", "default", "via", subnet.replace(".0/24", ".1")]);
    const place = { tap, mac, address, subnet, ownerUid: 0 };
    guests.set(`${instance}/${slot}`, { space, place });
    await networks.get(instance)?.addMember(place, "test");
  };

  const addInstance = async (instance: string, subnet: string) => {
    const network = createNetwork({ root, instance, resolverPort: RESOLVER_PORT });
    networks.set(instance, network);
    await network.addTap(
      {
        tap: `bgr-${instance}-9`,
        mac: "02:00:00:00:00:09",
        address: subnet.replace(".0/24", ".9"),
        subnet,
        ownerUid: 0,
      },
      "test",
    );
    await addGuest(instance, 2, subnet);
    await addGuest(instance, 3, subnet);
  };

  beforeAll(async () => {
    lab = await createNetLab();
    root = createRootClient({ planLaunch: () => lab.rootLaunch, privLog: () => {} });
    internet = await lab.addNamespace();
    lab.host.run(["ip", "link", "add", "up0", "type", "veth", "peer", "name", "in0", "netns", String(internet.pid)]);
    lab.host.run(["ip", "address", "add", `${UPLINK}/24`, "dev", "up0"]);
    lab.host.run(["ip", "address", "add", `${OTHER}/32`, "dev", "lo"]);
    lab.host.run(["ip", "link", "set", "up0", "up"]);
    internet.run(["ip", "address", "add", `${INTERNET}/24`, "dev", "in0"]);
    internet.run(["ip", "link", "set", "in0", "up"]);
    lab.host.run(["ip", "route", "add", "default", "via", INTERNET]);
    internet.run(["ip", "route", "add", "10.0.0.0/8", "via", UPLINK]);
    lab.host.run(["nft", "-f", "-"], {
      stdin: "table inet foreign {\n chain input {\n type filter hook input priority 0; policy accept;\n }\n}\n",
    });
    await addInstance(A, "10.77.5.0/24");
    await addInstance(B, "10.77.6.0/24");
    await Promise.all([
      serve(internet, INTERNET, 7000),
      serve(lab.host, "0.0.0.0", 9000),
      serve(lab.host, "10.77.5.1", RESOLVER_PORT),
      serve(guest(A, 2).space, "0.0.0.0", 8000),
      serve(guest(B, 2).space, "0.0.0.0", 8000),
    ]);
  }, 30_000);

  afterAll(async () => {
    for (const server of servers) server.kill("SIGKILL");
    await root?.close();
    await lab?.close();
    forgetInstances([A, B]);
  });

  test("a guest reaches the outside, which sees the host's address", async () => {
    const { space } = guest(A, 2);
    expect(await ask(space, "udp", `${INTERNET}:7000`)).toBe(`${UPLINK} asked udp`);
    expect(await ask(space, "tcp", `${INTERNET}:7000`)).toBe(`${UPLINK} asked tcp`);
  });

  test("the outside cannot begin a conversation with a guest", async () => {
    expect(await ask(internet, "udp", "10.77.5.2:8000")).toBe("silence");
    expect(await ask(internet, "tcp", "10.77.5.2:8000")).toBe("silence");
  });

  test("the host reaches a guest by its address, and guests reach each other", async () => {
    expect(await ask(lab.host, "udp", "10.77.5.2:8000")).toBe("10.77.5.1 asked udp");
    expect(await ask(guest(A, 3).space, "udp", "10.77.5.2:8000")).toBe("10.77.5.3 asked udp");
    expect(await ask(guest(A, 3).space, "tcp", "10.77.5.2:8000")).toBe("10.77.5.3 asked tcp");
  });

  test("a guest's questions to port 53 of its gateway reach the resolver, over both protocols", async () => {
    expect(await ask(guest(A, 2).space, "udp", "10.77.5.1:53")).toBe("10.77.5.2 asked udp");
    expect(await ask(guest(A, 2).space, "tcp", "10.77.5.1:53")).toBe("10.77.5.2 asked tcp");
  });

  test("the host's own services cannot be reached by any of its addresses", async () => {
    const { space } = guest(A, 2);
    for (const address of ["10.77.5.1", "10.77.6.1", UPLINK, OTHER]) {
      expect([address, await ask(space, "udp", `${address}:9000`)]).toEqual([address, "silence"]);
      expect([address, await ask(space, "tcp", `${address}:9000`)]).toEqual([address, "silence"]);
    }
    expect(await ask(internet, "udp", `${UPLINK}:9000`)).toBe(`${INTERNET} asked udp`);
  });

  test("guests of different instances do not reach each other", async () => {
    expect(await ask(guest(A, 2).space, "udp", "10.77.6.2:8000")).toBe("silence");
    expect(await ask(guest(B, 2).space, "tcp", "10.77.5.2:8000")).toBe("silence");
  });

  test("a guest that takes another address is not heard", async () => {
    const { space } = guest(A, 3);
    space.run(["ip", "address", "add", "10.77.5.99/24", "dev", "eth0"]);
    expect(await ask(space, "udp", "10.77.5.2:8000", "10.77.5.99")).toBe("silence");
    expect(await ask(space, "udp", `${INTERNET}:7000`, "10.77.5.99")).toBe("silence");
    space.run(["ip", "address", "del", "10.77.5.99/24", "dev", "eth0"]);
    expect(await ask(space, "udp", "10.77.5.2:8000")).toBe("10.77.5.3 asked udp");
  });

  test("a guest that takes another MAC is not heard", async () => {
    const { space, place } = guest(A, 3);
    space.run(["ip", "link", "set", "eth0", "address", "02:00:00:00:00:77"]);
    expect(await ask(space, "udp", "10.77.5.2:8000")).toBe("silence");
    expect(await ask(space, "udp", "10.77.5.1:53")).toBe("silence");
    space.run(["ip", "link", "set", "eth0", "address", place.mac]);
    space.run(["ip", "route", "replace", "default", "via", "10.77.5.1"]);
    expect(await ask(space, "udp", "10.77.5.2:8000")).toBe("10.77.5.3 asked udp");
  });

  test("a guest cannot claim the gateway's address for itself", async () => {
    const { space } = guest(A, 3);
    lab.host.run(["ip", "neighbour", "flush", "dev", `bgr-${A}`]);
    guest(A, 2).space.run(["ip", "neighbour", "flush", "dev", "eth0"]);
    space.run(["ip", "address", "add", "10.77.5.1/32", "dev", "eth0"]);
    space.run(["ip", "neighbour", "flush", "dev", "eth0"]);
    expect(await ask(guest(A, 2).space, "udp", "10.77.5.1:53")).toBe("10.77.5.2 asked udp");
    const learned = guest(A, 2).space.run(["ip", "neighbour", "show", "10.77.5.1"]);
    expect(learned).not.toContain("02:00:00:00:00:03");
    space.run(["ip", "address", "del", "10.77.5.1/32", "dev", "eth0"]);
  });

  test("the bridge has no IPv6 address by which a guest could reach the host", () => {
    expect(lab.host.run(["ip", "-6", "address", "show", "dev", `bgr-${A}`])).toBe("");
  });

  test("rules are exchanged as a whole: a guest that sends with a false address all the time never gets one through", async () => {
    const { space } = guest(A, 3);
    const { server, lines } = await serve(guest(A, 2).space, "0.0.0.0", 8001);
    space.run(["ip", "address", "add", "10.77.5.99/24", "dev", "eth0"]);
    // Without this the guest would first have to ask, and its question would be dropped too.
    space.run(["ip", "neighbour", "replace", "10.77.5.2", "lladdr", "02:00:00:00:00:02", "dev", "eth0"]);
    const flood = Bun.spawn(space.inside([BUN, PROBE, "flood", "10.77.5.2", "8001", "10.77.5.99"]), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const output = flood.stdout.getReader();
    await output.read();
    for (let time = 0; time < 30; time += 1) await networks.get(A)?.addMember(guest(A, 3).place, "test");
    await flood.stdin.end();
    const sent = new TextDecoder().decode((await output.read()).value);
    expect(Number(/sent (\d+)/.exec(sent)?.[1])).toBeGreaterThan(100);
    // The last word: a true datagram, so that what came before it would have been seen.
    expect(await ask(space, "udp", "10.77.5.2:8001")).toBe("10.77.5.3 asked udp");
    const heard = new TextDecoder().decode((await lines.read()).value);
    expect(heard.trim()).toBe("got udp from 10.77.5.3");
    server.kill("SIGKILL");
    space.run(["ip", "address", "del", "10.77.5.99/24", "dev", "eth0"]);
  });

  test("a tap that no rule names lets nothing through", async () => {
    const { space, place } = guest(B, 3);
    await networks.get(B)?.removeMember(place, "test");
    expect(await ask(space, "udp", "10.77.6.2:8000")).toBe("silence");
    await networks.get(B)?.addMember(place, "test");
    // Else it would ask for the neighbour again only a second after the question that was dropped.
    space.run(["ip", "neighbour", "flush", "dev", "eth0"]);
    expect(await ask(space, "udp", "10.77.6.2:8000")).toBe("10.77.6.3 asked udp");
  });

  test("the end of one instance leaves another's traffic and foreign rules as they were", async () => {
    const foreign = lab.host.run(["nft", "list", "table", "inet", "foreign"]);
    for (const slot of [2, 3]) {
      const { place } = guest(B, slot);
      await networks.get(B)?.removeMember(place, "test");
      lab.host.run(["ip", "link", "delete", place.tap]);
    }
    await networks.get(B)?.removeTap({ ...guest(B, 2).place, tap: `bgr-${B}-9` }, "test");
    expect(await networks.get(B)?.list("test")).toEqual({ bridges: [], taps: [], tables: [], jails: [] });
    expect(await ask(guest(A, 2).space, "udp", `${INTERNET}:7000`)).toBe(`${UPLINK} asked udp`);
    expect(await ask(guest(A, 3).space, "udp", "10.77.5.2:8000")).toBe("10.77.5.3 asked udp");
    expect(lab.host.run(["nft", "list", "table", "inet", "foreign"])).toBe(foreign);
  });
});
