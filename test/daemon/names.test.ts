// The name server of a real daemon without guests: what it says of itself, what it holds and answers, and ports that were taken.
import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { BANGER, type Instance, type InstanceOptions, isRoot, openTestInstance, until } from "../vm/fixture.ts";
import { codeOf } from "./small-image.ts";

const open: Instance[] = [];
const openOne = async (options: InstanceOptions = {}) => {
  const instance = await openTestInstance({ hasImage: false, ...options });
  open.push(instance);
  return instance;
};
afterEach(async () => {
  for (const instance of open.splice(0)) await instance.close();
}, 60_000);

const statusOf = (banger: Instance) => banger.json<Output<"dns.status">>(["dns", "status"]);

test("its records are listed, and its answers are those of the zone: data, no such name, refusal", async () => {
  const banger = await openOne();
  const records = await banger.json<Output<"dns.records">>(["dns", "records"]);
  expect(records.map(({ name, type }) => `${name} ${type}`)).toEqual(["vm. SOA", "vm. NS", "ns.vm. A"]);
  const answer = await banger.json<Output<"dns.query">>(["dns", "query", "--type", "SOA", "vm."]);
  expect(answer).toMatchObject({ rcode: "NOERROR", isAuthoritative: true, system: null });
  expect(answer.records[0]?.data).toContain("ns.vm");
  const nothing = await banger.json<Output<"dns.query">>(["dns", "query", "-t", "AAAA", "ns"]);
  expect(nothing).toMatchObject({ name: "ns.vm.", rcode: "NOERROR", records: [] });
  const failing = [
    ["dns.no_such_name", 3, ["dns", "query", "web"]],
    ["dns.refused", 3, ["dns", "query", "www.example.org"]],
    ["dns.bad_name", 2, ["dns", "query", "a..b"]],
  ] as const;
  for (const [error, code, line] of failing) {
    const ran = await banger.run([...line, "--json"]);
    expect({ error: codeOf(ran), code: ran.code }).toEqual({ error, code });
  }
}, 60_000);

test("what it is asked is counted, what it cannot read too", async () => {
  const banger = await openOne();
  const [loopback] = (await statusOf(banger)).listeners;
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port: loopback?.port ?? 0 },
    socket: { data: () => {}, error: () => {} },
  });
  // A header that promises a question and has none, until it is seen: packets may be lost.
  await until("the malformed query is counted", async () => {
    socket.send(new Uint8Array([0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    const { dns } = await banger.json<Output<"system.status">>(["daemon", "status"]);
    return dns.failed > 0 && dns.queries >= dns.failed;
  });
  socket.close();
  expect((await statusOf(banger)).listeners[0]?.answers.FORMERR).toBeGreaterThan(0);
}, 60_000);

for (const taken of ["UDP", "TCP"] as const) {
  test(`a ${taken} port that is taken is told while the other serves, and is taken by itself once it is free`, async () => {
    const tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const { port } = tcp;
    const blocker = taken === "TCP" ? tcp : await Bun.udpSocket({ hostname: "127.0.0.1", port });
    if (taken === "UDP") tcp.stop(true);
    const free = () => ("stop" in blocker ? blocker.stop(true) : blocker.close());
    try {
      const banger = await openOne({ env: { BANGER_DNS_PORT: String(port) } });
      const [before] = (await statusOf(banger)).listeners;
      const lacks =
        taken === "TCP" ? { udpError: null, tcpError: "EADDRINUSE" } : { udpError: "EADDRINUSE", tcpError: null };
      expect(before).toMatchObject({ port, isPreferredPort: true, ...lacks });
      expect(await banger.ok(["daemon", "status"])).toContain("EADDRINUSE");
      free();
      await until("both sockets are there", async () => {
        const [now] = (await statusOf(banger)).listeners;
        return now?.port === port && now.udpError === null && now.tcpError === null;
      });
    } finally {
      free();
    }
  }, 60_000);
}

test("banger dns setup shows every file and command first, and does nothing where nobody can be asked", async () => {
  const banger = await openOne();
  const line = ["dns", "setup", "--resolver", "dnsmasq", "--zone", "vm", "--server", "127.0.0.1:42069"];
  const printed = await banger.ok([...line, "--print"]);
  expect(printed).toContain("write /etc/dnsmasq.d/banger.conf:");
  expect(printed).toContain("server=/vm/127.0.0.1#42069");
  expect(printed).toContain("run systemctl restart dnsmasq.service");
  const asked = await banger.run(line);
  expect({ code: asked.code, err: asked.err }).toEqual({ code: 1, err: expect.stringContaining("--yes") });
  expect(existsSync("/etc/dnsmasq.d/banger.conf")).toBe(false);
  const bad = await banger.run([...line.slice(0, -1), "127.0.0.1", "--print"]);
  expect({ code: bad.code, err: bad.err }).toEqual({ code: 2, err: expect.stringContaining("ADDRESS:PORT") });
}, 60_000);

test.skipIf(!isRoot)(
  `and as root does it, is done then, and is taken back${isRoot ? "" : " (needs root)"}`,
  async () => {
    const banger = await openOne();
    // Another /etc and /var/lib, and a service manager that has nothing to manage.
    const place = [
      `mount -t tmpfs tmpfs /mnt; cp -a /etc /mnt/etc; mkdir -p /mnt/lib /mnt/etc/dnsmasq.d; cp -a /mnt/etc /mnt/before`,
      "mount --bind /mnt/etc /etc; mount --bind /mnt/lib /var/lib",
      "[ -e /usr/bin/systemctl ] && mount --bind /bin/true /usr/bin/systemctl",
    ];
    const setup = `${BANGER} dns setup --resolver dnsmasq --zone vm --server 127.0.0.1:42069 --yes`;
    const script = [
      ...place,
      `${setup}; grep -c '^server=/vm/' /etc/dnsmasq.d/banger.conf; ${setup}; ${BANGER} dns undo --yes; ${BANGER} dns undo --yes`,
      "diff -r --no-dereference /mnt/before /etc && ls -A /var/lib | wc -l",
    ];
    const ran = Bun.spawn(["unshare", "-m", "--propagation", "private", "sh", "-ec", script.join("\n")], {
      env: banger.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: 50_000,
    });
    const [out, err] = await Promise.all([ran.stdout.text(), ran.stderr.text(), ran.exited]);
    expect({ code: ran.exitCode, err }).toEqual({ code: 0, err: expect.not.stringContaining("banger:") });
    expect(out).toContain("This host's resolver finds VMs by name already.");
    expect(out).toContain("This host's resolver knows nothing of banger.");
    expect(out.trim().split("\n").at(-1)).toBe("0");
  },
  60_000,
);
