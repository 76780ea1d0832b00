// Ports and names of a guest to which nothing leads from the host: what listens in it is open on an address of this host's loopback.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { PortRow } from "../../src/spec/ports.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until } from "./fixture.ts";
import { type Lab, openLab } from "./lab.ts";
import { findNamespaceObstacle, makeOrdinaryUser, type OrdinaryUser } from "./ordinary-user.ts";
import { isRoot } from "./processes.ts";

const obstacle = findObstacle() ?? findNamespaceObstacle();
const suite = obstacle === null ? describe : describe.skip;
/** What only root may change, in a host that is played. */
const played = isRoot ? test : test.skip;
const why = isRoot ? "" : " (a host is played for root alone)";
const CROWD = 200;
const CROWD_SCRIPT = join(import.meta.dir, "crowd.ts");

/** Answers lines, and whoever speaks HTTP; one process for any number of connections. */
const SERVER = (port: number) =>
  `$0 = "serve-${port}"; my $s = IO::Socket::INET->new(Listen => 512, LocalAddr => "0.0.0.0", LocalPort => ${port}, ReuseAddr => 1) or die; ` +
  `my $all = IO::Select->new($s); while (my @ready = $all->can_read) { for my $c (@ready) { ` +
  `if ($c == $s) { $all->add($s->accept); next } ` +
  `my $l; if (!sysread($c, $l, 4096)) { $all->remove($c); close $c; next } ` +
  `syswrite($c, $l =~ /^GET/ ? "HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello" : "${port}: $l"); ` +
  `if ($l =~ /^GET/) { $all->remove($c); close $c } } }`;

suite(`ports of a VM without root${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: Lab | null = null;
  let user: OrdinaryUser;
  let banger: Instance;
  let vm: Vm;

  const addressAt = (wanted: "guest" | "host") => vm.addresses.find(({ side }) => side === wanted)?.address ?? "";
  const row = async (port: number): Promise<PortRow | undefined> =>
    (await banger.json<Output<"vm.ports">>(["vm", "ports", "n"])).ports.find((one) => one.port === port);
  const serve = (port: number) =>
    banger.guest("n", `setsid -f perl -MIO::Socket::INET -MIO::Select -e '${SERVER(port)}' </dev/null >/dev/null 2>&1`);
  const unserve = (port: number) => banger.guest("n", `pkill -x serve-${port}`);
  const untilOpen = (port: number) =>
    until(`${port} is open`, async () => ((await row(port))?.reach ? true : null), BOOT_MS);
  /** A program of the played host, as root; where none is played, as whoever runs the tests. */
  const onHost = (argv: readonly string[]) => [...(lab?.inside ?? []), ...argv];
  /** What a web server there says; null when nobody takes the connection. */
  const fetched = async (address: string, port: number): Promise<string | null> => {
    const get = `exec 3<>/dev/tcp/${address}/${port} || exit 1; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3`;
    const child = Bun.spawn(onHost(["timeout", "30", "bash", "-c", get]), { stdout: "pipe", stderr: "ignore" });
    const text = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? text.slice(text.indexOf("\r\n\r\n") + 4) : null;
  };
  /** Addresses that the host's kernel has listeners on. */
  const listening = (port: number): string[] =>
    Bun.spawnSync(onHost(["cat", "/proc/net/tcp", "/proc/net/tcp6"]))
      .stdout.toString()
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(
        ([, local = "", , state]) =>
          state === "0A" && local.endsWith(`:${port.toString(16).toUpperCase().padStart(4, "0")}`),
      )
      .map(([, local = ""]) => local.split(":")[0] ?? "");
  const asHex = (address: string) =>
    address
      .split(".")
      .reverse()
      .map((octet) => Number(octet).toString(16).padStart(2, "0"))
      .join("")
      .toUpperCase();

  beforeAll(async () => {
    if (isRoot) lab = await openLab();
    user = makeOrdinaryUser(lab);
    const { inside, env, executable, uid } = user;
    banger = await openTestInstance({ inside, env, executable, owner: uid });
    vm = await banger.create("n", "--network", "namespace");
  }, 1_200_000);
  afterAll(async () => {
    try {
      await banger?.close();
    } finally {
      await lab?.close();
      user?.close();
    }
  }, 2 * TEARDOWN_MS);

  test(
    "its name leads people of this host to an address of the loopback, forwards and backwards, and guests to its own",
    async () => {
      expect(addressAt("host")).toMatch(/^127\.\d+\.\d+\.\d+$/);
      expect(addressAt("guest")).not.toMatch(/^127\./);
      const asked = async (...query: string[]) =>
        (await banger.json<Output<"dns.query">>(["dns", "query", ...query])).records.map(({ data }) => data);
      expect(await asked("n")).toEqual([addressAt("host")]);
      expect(await asked(addressAt("host"))).toEqual(["n.vm."]);
      const held = async (...flags: string[]) =>
        (await banger.json<Output<"dns.records">>(["dns", "records", ...flags]))
          .filter(({ name, type }) => name === "n.vm." && type === "A")
          .map(({ data }) => data);
      expect(await held()).toEqual([addressAt("host")]);
      expect(await held("--guest")).toEqual([addressAt("guest")]);
    },
    BOOT_MS,
  );

  test(
    "a server of the guest is open there under its own port, on no other address, and closed when it ends",
    async () => {
      await serve(3000);
      await untilOpen(3000);
      const host = addressAt("host");
      expect(await row(3000)).toMatchObject({ reach: `${host}:3000`, name: "n.vm:3000", blocked: null });
      expect(await fetched(host, 3000)).toBe("hello");
      expect(listening(3000)).toEqual([asHex(host)]);
      expect(await banger.ok(["show", "n"])).toContain(`3000 serve-3000 (http://${host}:3000)`);
      await unserve(3000);
      await until("it is closed", async () => listening(3000).length === 0, BOOT_MS);
      expect(await fetched(host, 3000)).toBeNull();
    },
    BOOT_MS,
  );

  test(
    "a port that a program here has on all addresses is blocked, with its owner, and opened once that ends",
    async () => {
      const listen = `$s = IO::Socket::INET->new(Listen => 9, LocalAddr => "0.0.0.0", LocalPort => 3100, ReuseAddr => 1) or die; print "open\\n"; sleep`;
      const holder = Bun.spawn(banger.beside(["perl", "-MIO::Socket::INET", "-e", `$| = 1; ${listen}`]), {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      });
      try {
        await holder.stdout.getReader().read();
        await serve(3100);
        await until("it is told", async () => ((await row(3100))?.blocked ? true : null), BOOT_MS);
        expect(await row(3100)).toMatchObject({
          reach: null,
          name: null,
          blocked: { why: "taken", by: { address: "0.0.0.0", process: "perl" } },
        });
        const { blocked } = (await row(3100)) as PortRow;
        expect(blocked?.by?.pid).toBeGreaterThan(1);
        expect(await banger.ok(["ports", "n"])).toMatch(/3100\/tcp .* blocked by perl \(\d+\) on 0\.0\.0\.0/);
      } finally {
        holder.kill("SIGKILL");
        await holder.exited;
      }
      // By itself: nobody asks banger meanwhile.
      await until("it is open", async () => listening(3100).includes(asHex(addressAt("host"))), BOOT_MS);
      expect(await fetched(addressAt("host"), 3100)).toBe("hello");
      await unserve(3100);
    },
    BOOT_MS,
  );

  played(
    `a port below what users may open is listed with the command that would allow it, which does${why}`,
    async () => {
      const fix = "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=22";
      expect(await row(22)).toMatchObject({ reach: null, blocked: { why: "privileged", by: null, fix } });
      expect(await banger.ok(["ports", "n"])).toContain(fix);
      lab?.run(fix.split(" ").slice(1));
      expect(await row(22)).toMatchObject({ reach: `${addressAt("host")}:22`, blocked: null });
      const greeting = `exec 3<>/dev/tcp/${addressAt("host")}/22; head -c 4 <&3`;
      expect(lab?.run(["timeout", "30", "bash", "-c", greeting])).toBe("SSH-");
    },
    BOOT_MS,
  );

  test(
    `${CROWD} connections at once are all served`,
    async () => {
      await serve(3200);
      await untilOpen(3200);
      const crowd = Bun.spawn(onHost([process.execPath, CROWD_SCRIPT, addressAt("host"), "3200", String(CROWD)]), {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "inherit",
      });
      expect(await new Response(crowd.stdout).text()).toBe(`${CROWD} open at once, ${CROWD} answered\n`);
      await unserve(3200);
    },
    BOOT_MS,
  );

  test(
    "a connection outlives the daemon, and the next one finds what is open and closes what ended",
    async () => {
      await serve(3300);
      await untilOpen(3300);
      const talk = `exec 3<>/dev/tcp/${addressAt("host")}/3300; echo first >&3; cat <&3 & cat >&3`;
      const child = Bun.spawn(onHost(["bash", "-c", talk]), { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
      const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      try {
        expect((await said.read()).value).toBe("3300: first\n");
        await banger.killDaemon();
        child.stdin.write("without a daemon\n");
        await child.stdin.flush();
        expect((await said.read()).value).toBe("3300: without a daemon\n");
        expect(await fetched(addressAt("host"), 3300)).toBe("hello");
        await untilOpen(3300);
        expect(listening(3300)).toEqual([asHex(addressAt("host"))]);
        child.stdin.write("still\n");
        await child.stdin.flush();
        expect((await said.read()).value).toBe("3300: still\n");
      } finally {
        child.kill("SIGKILL");
        await child.exited;
      }
      await unserve(3300);
      await until("it is closed", async () => listening(3300).length === 0, BOOT_MS);
      expect((await banger.audit()).findings).toEqual([]);
    },
    BOOT_MS,
  );

  test(
    "stopped, nothing of it is open here",
    async () => {
      await serve(3400);
      await untilOpen(3400);
      await banger.ok(["stop", "n"]);
      expect(listening(3400)).toEqual([]);
      expect((await banger.audit()).findings).toEqual([]);
      expect(user.calledSudo()).toBe(false);
    },
    2 * BOOT_MS,
  );
});
