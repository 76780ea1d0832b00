// What the host may lack: QEMU, space, whole files, a free port. Each is told with its code before anything is made.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, truncateSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { asRoot, hasRoot, type Instance, type InstanceOptions, isRoot, openTestInstance } from "../vm/fixture.ts";
import { addSmallImage, codeOf } from "./small-image.ts";

const open: Instance[] = [];
const openOne = async (options: InstanceOptions = {}) => {
  const instance = await openTestInstance({ hasImage: false, ...options });
  open.push(instance);
  return instance;
};
afterEach(async () => {
  for (const instance of open.splice(0)) await instance.close();
}, 60_000);

/** The daemon that this starts sees another file system than everyone else; later commands find it by its socket. */
const startInside = async (banger: Instance, script: string): Promise<void> => {
  const user = isRoot
    ? []
    : ["setpriv", "--reuid", String(process.getuid?.()), "--regid", String(process.getgid?.()), "--init-groups"];
  const enter = ["unshare", "-m", "--propagation", "private", "sh", "-ec", `${script}; exec "$@"`, "sh"];
  const variables = Object.entries(banger.env).map(([name, value]) => `${name}=${value}`);
  const argv = [
    ...asRoot(enter),
    ...user,
    "env",
    ...variables,
    ...banger.beside([join(import.meta.dir, "../../build/banger"), "ls"]),
  ];
  const started = Bun.spawnSync(argv, { stdout: "pipe", stderr: "pipe" });
  if (!started.success) throw new Error(`a daemon in a namespace of its own: ${started.stderr}`);
};

const inNamespaces = hasRoot ? describe : describe.skip;
const create = (banger: Instance, ...flags: string[]) =>
  banger.run(["vm", "create", "web", "--no-start", "--disk", "1G", "--json", ...flags]);

const expectNothing = async (banger: Instance) => {
  expect(await banger.json<unknown[]>(["ls"])).toEqual([]);
  expect(await banger.audit()).toEqual({ clean: true, findings: [] });
};

test("an image that was cut short, or is gone, is told as broken with its repair", async () => {
  const banger = await openOne();
  const root = addSmallImage(banger);
  truncateSync(root, 1024 * 1024);
  const short = await create(banger);
  expect(codeOf(short)).toBe("image.broken");
  expect(short.err).toContain("banger image build");
  unlinkSync(root);
  expect(codeOf(await create(banger))).toBe("image.broken");
  await expectNothing(banger);
}, 60_000);

test("a network that this host routes elsewhere is told with the route, before anything is made", async () => {
  const inside = [
    "unshare",
    isRoot ? "-n" : "-rn",
    "sh",
    "-ec",
    'ip address add 10.99.0.1/16 dev lo; ip link set lo up; exec "$@"',
    "sh",
  ];
  const banger = await openOne({ inside, config: 'version = 1\n[network]\nsubnet = "10.99.3.0/24"\n' });
  addSmallImage(banger);
  await banger.ok(["vm", "create", "web", "--no-start", "--disk", "1G"]);
  const started = await banger.run(["start", "web", "--json"]);
  expect(codeOf(started)).toBe("net.subnet_taken");
  expect(started.err).toContain("10.99.0.0/16 to lo");
  expect(started.err).toMatch(/banger config set network.subnet 1\d+\.\d+\.\d+\.0\/24/);
  expect((await banger.show("web")).state).toBe("stopped");
  await banger.ok(["rm", "web", "--force"]);
  await expectNothing(banger);
}, 60_000);

test("without any image the way to one is told", async () => {
  const banger = await openOne();
  const ran = await create(banger);
  expect({ code: ran.code, error: codeOf(ran) }).toEqual({ code: 3, error: "image.not_found" });
  expect(ran.err).toContain("banger image build");
}, 60_000);

/** A port of loopback that is somebody's by TCP, and by UDP too. */
const takePort = async () => {
  for (;;) {
    const tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const udp = await Bun.udpSocket({ hostname: "127.0.0.1", port: tcp.port }).catch(() => null);
    if (udp) return { port: tcp.port, tcp, udp };
    tcp.stop(true);
  }
};

test("a name server's port that is taken is told, and another one is used", async () => {
  const taken = await takePort();
  const banger = await openOne({ env: { BANGER_DNS_PORT: String(taken.port) } });
  const dnsOf = async () => (await banger.json<Output<"system.status">>(["daemon", "status"])).dns;
  try {
    await banger.ok(["ls"]);
    const elsewhere = await dnsOf();
    expect(elsewhere.isPreferredPort).toBe(false);
    expect(elsewhere.port).not.toBe(taken.port);
    // With one of the two free it stays where people look for it, and says what it lacks.
    taken.udp.close();
    await banger.ok(["daemon", "restart"]);
    expect(await dnsOf()).toMatchObject({ port: taken.port, udpError: null, tcpError: "EADDRINUSE" });
  } finally {
    taken.udp.close();
    taken.tcp.stop(true);
  }
}, 60_000);

inNamespaces(`in a mount namespace${hasRoot ? "" : " (mounting needs root, and this user has no sudo)"}`, () => {
  test("a full disk is told before the copy, and nothing of it is left", async () => {
    const banger = await openOne();
    addSmallImage(banger);
    const vms = join(banger.dir, "data/banger/vms");
    mkdirSync(vms, { recursive: true, mode: 0o700 });
    const owner = `uid=${process.getuid?.()},gid=${process.getgid?.()},mode=0700`;
    await startInside(banger, `mount -t tmpfs -o size=1m,${owner} tmpfs '${vms}'`);
    const ran = await create(banger);
    expect({ code: ran.code, error: codeOf(ran) }).toEqual({ code: 5, error: "host.no_space" });
    await expectNothing(banger);
  }, 60_000);

  test("a host without QEMU is told the package, and has it as soon as it is installed", async () => {
    const banger = await openOne();
    addSmallImage(banger);
    const [upper, work] = [join(banger.dir, "upper"), join(banger.dir, "work")];
    for (const dir of [upper, work]) mkdirSync(dir);
    await startInside(
      banger,
      `mount -t tmpfs tmpfs '${work}'; mkdir '${work}/u' '${work}/w'; ` +
        `mount -t overlay overlay -o 'lowerdir=/usr/bin,upperdir=${work}/u,workdir=${work}/w' /usr/bin; ` +
        "rm -f /usr/bin/qemu-system-x86_64",
    );
    const ran = await create(banger, "--vmm", "qemu");
    expect({ code: ran.code, error: codeOf(ran) }).toEqual({ code: 5, error: "host.command_missing" });
    expect(ran.err).toContain("qemu-system-x86");
    await expectNothing(banger);
  }, 60_000);
});
