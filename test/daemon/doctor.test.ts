// `banger doctor` on hosts that lack things: hosts are played in mount and network namespaces, and the repairs are typed there.
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { asRoot, hasRoot, kill, processesOf, untilGone } from "../vm/processes.ts";

const root = join(import.meta.dir, "../..");
type Row = Output<"system.doctor">["checks"][number];

/** An ordinary user of no group and no name. */
const UID = 54_321;

type PlayedHost = {
  dir: string;
  /** Runs a shell line on that host; `banger` is this tree's. */
  run(line: string, options?: { asRoot?: boolean }): Promise<{ code: number; out: string; err: string }>;
  rows(options?: { asRoot?: boolean }): Promise<Map<string, Row>>;
  close(): Promise<void>;
};

const hosts: PlayedHost[] = [];
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
}, 60_000);

/** A host as `script` makes it out of this one, in namespaces that go with the process that holds them. */
const playHost = async (script: string, options: { config?: string; unshare?: string } = {}): Promise<PlayedHost> => {
  const dir = mkdtempSync("/tmp/bgt-d-");
  chmodSync(dir, 0o755);
  for (const name of ["bin", "lib/banger", "home", "tools", "upper"]) mkdirSync(join(dir, name), { recursive: true });
  // As it is installed, where every user may read it: a checkout may lie in somebody's home.
  cpSync(join(root, "build/banger"), join(dir, "bin/banger"));
  for (const name of ["banger-shim", "banger-holder", "banger-tsc", "guest"])
    cpSync(join(root, "build", name), join(dir, "lib/banger", name), { recursive: true });
  cpSync(join(root, "images"), join(dir, "lib/banger/images"), { recursive: true });
  const home = join(dir, "home");
  mkdirSync(join(home, ".config/banger"), { recursive: true });
  writeFileSync(
    join(home, ".config/banger/config.toml"),
    options.config ?? 'version = 1\n[dns]\nport = 0\n[network]\nmode = "bridge"\n',
  );
  Bun.spawnSync(asRoot(["chown", "-R", `${UID}:${UID}`, home]));
  const holder = Bun.spawn(
    asRoot([
      "unshare",
      ...(options.unshare ?? "-m").split(" "),
      "--propagation",
      "private",
      "sh",
      "-ec",
      `dir='${dir}'\n${script}\necho $$\nexec sleep 86400`,
    ]),
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const { value } = await holder.stdout.getReader().read();
  const pid = Number(new TextDecoder().decode(value).trim());
  if (!pid) throw new Error(`the host could not be played: ${await new Response(holder.stderr).text()}`);
  const enter = asRoot(["nsenter", "-m", "-n", "-t", String(pid), "--"]);
  const run: PlayedHost["run"] = async (line, { asRoot: isForRoot = false } = {}) => {
    const user = isForRoot ? [] : ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"];
    const path = `${dir}/tools:${dir}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
    const variables = [`PATH=${path}`, `HOME=${home}`, "LANG=C.UTF-8", "TERM=dumb"];
    const child = Bun.spawn([...enter, ...user, "env", "-i", ...variables, "sh", "-c", line], {
      cwd: "/",
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, out, err };
  };
  const host: PlayedHost = {
    dir,
    run,
    rows: async (who) => {
      const { out, err } = await run("banger doctor --json", who);
      if (out === "") throw new Error(`the doctor said nothing: ${err}`);
      const { checks } = JSON.parse(out) as { checks: Row[] };
      return new Map(checks.map((row) => [row.id, row]));
    },
    close: async () => {
      for (const who of [{}, { asRoot: true }]) await run("banger daemon stop --force", who);
      for (const { pid: left } of processesOf(dir)) kill(left, "SIGKILL");
      Bun.spawnSync(asRoot(["kill", "-KILL", String(pid)]));
      await untilGone(pid);
      Bun.spawnSync(asRoot(["rm", "-rf", dir]));
      rmSync(dir, { recursive: true, force: true });
    },
  };
  hosts.push(host);
  return host;
};

/** /usr/bin as it is, with a layer of this host's own above it. */
const OWN_PROGRAMS =
  "mount -t tmpfs tmpfs $dir/upper; mkdir $dir/upper/u $dir/upper/w; " +
  'mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$dir/upper/u,workdir=$dir/upper/w" /usr/bin';
/** A /dev with nothing but what every program needs. */
const BARE_DEV =
  "mkdir $dir/dev; for name in null zero full random urandom tty; do touch $dir/dev/$name; mount --bind /dev/$name $dir/dev/$name; done; " +
  "mount --rbind $dir/dev /dev";

const TUN = "mkdir -p $dir/dev/net; touch $dir/dev/net/tun; chmod 0666 $dir/dev/net/tun";

/** A stand-in for a program, in front of the PATH. */
const standIn = (host: PlayedHost, name: string, script: string): void => {
  const path = join(host.dir, "tools", name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
};

const needFix = (rows: Map<string, Row>) =>
  [...rows.values()].filter(({ status, fix }) => (status === "warning" || status === "error") && !fix);

/** A port of loopback that is somebody's by UDP and TCP. */
const takePort = async () => {
  for (;;) {
    const tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const udp = await Bun.udpSocket({ hostname: "127.0.0.1", port: tcp.port }).catch(() => null);
    if (udp) return { port: tcp.port, tcp, udp };
    tcp.stop(true);
  }
};

const inNamespaces = hasRoot ? describe : describe.skip;
const isQemuHere = Bun.which("qemu-system-x86_64") !== null;

inNamespaces(`on a host that lacks things${hasRoot ? "" : " (mounting needs root, and this user has no sudo)"}`, () => {
  test("without KVM, QEMU and sudo an ordinary user is told all three, and a start is refused in the same words", async () => {
    const host = await playHost(
      `${OWN_PROGRAMS}; cp /usr/bin/qemu-system-x86_64 $dir/upper/kept 2>/dev/null || :; ` +
        `rm -f /usr/bin/qemu-system-x86_64 /usr/bin/sudo; ${BARE_DEV}`,
    );
    const rows = await host.rows();
    expect(needFix(rows)).toEqual([]);
    expect(rows.get("kvm")).toMatchObject({ status: "error", summary: expect.stringContaining("/dev/kvm") });
    expect(rows.get("tun")).toMatchObject({ status: "error", code: "host.tun_unusable", fix: "sudo modprobe tun" });
    expect(rows.get("qemu")).toMatchObject({ status: "error", fix: "sudo apt-get install -y qemu-system-x86" });
    expect(rows.get("vmm")).toMatchObject({ status: "error", code: "host.command_missing" });
    expect(rows.get("sudo")).toMatchObject({ status: "error", code: "root.sudo_missing" });

    // People read the same, and scripts see it by the exit code.
    const told = await host.run("banger doctor");
    expect(told.code).toBe(5);
    expect(told.out).toContain("try: sudo modprobe tun");
    const refused = await host.run("banger create web --json");
    const { error } = JSON.parse(refused.err) as { error: { code: string; message: string; fix: string } };
    const row = rows.get("tun");
    expect([error.code, error.message, error.fix]).toEqual([row?.code ?? "", row?.summary ?? "", row?.fix ?? ""]);
    expect((await host.run("banger ls --json")).out.trim()).toBe("[]");

    // The repair, typed: stand-ins for sudo and apt-get do what those would.
    if (!isQemuHere) return;
    standIn(host, "sudo", 'exec "$@"');
    standIn(
      host,
      "apt-get",
      `test "$*" = "install -y qemu-system-x86" && cp ${host.dir}/upper/kept /usr/bin/qemu-system-x86_64`,
    );
    const repaired = await host.run(rows.get("qemu")?.fix ?? "false", { asRoot: true });
    expect(repaired).toMatchObject({ code: 0 });
    const after = await host.rows();
    expect([after.get("qemu")?.status, after.get("vmm")?.status]).toEqual(["ok", "ok"]);
    expect(after.get("kvm")?.status).toBe("warning");
  }, 120_000);

  test("without sudo a start is refused before anything is made", async () => {
    const host = await playHost(`${OWN_PROGRAMS}; rm -f /usr/bin/sudo; ${BARE_DEV}; ${TUN}`);
    const refused = await host.run("banger create web --json");
    const rows = await host.rows();
    const { error } = JSON.parse(refused.err) as { error: { code: string; message: string } };
    expect([error.code, error.message]).toEqual(["root.sudo_missing", rows.get("sudo")?.summary ?? ""]);
    expect(refused.code).toBe(5);
  }, 60_000);

  test("a /dev/kvm of others, and one that may be opened", async () => {
    const host = await playHost(`${BARE_DEV}; ${TUN}; touch $dir/dev/kvm; chmod 0600 $dir/dev/kvm`);
    const rows = await host.rows();
    expect(rows.get("kvm")?.fix).toContain("usermod -aG kvm");
    expect(rows.get("tun")?.status).toBe("ok");
    await host.run(`chmod 0666 ${host.dir}/dev/kvm`, { asRoot: true });
    expect((await host.rows()).get("kvm")?.summary).not.toContain("may not open");
  }, 60_000);

  test("a name server's port that is taken is told with a free one; --fix moves there", async () => {
    const taken = await takePort();
    try {
      const host = await playHost(":", {
        config: `version = 1\n[dns]\nport = ${taken.port}\n[network]\nmode = "bridge"\n`,
      });
      const row = (await host.rows()).get("dns-port");
      expect(row).toMatchObject({
        status: "warning",
        summary: expect.stringMatching(/UDP: EADDRINUSE, TCP: EADDRINUSE/),
      });
      expect(row?.fix).toMatch(/^banger config set dns\.port \d+ && banger daemon restart {3}#/);
      const fixed = await host.run("banger doctor --fix --json");
      expect(fixed.err).toContain("$ banger daemon restart");
      const { checks, repairs } = JSON.parse(fixed.out) as { checks: Row[]; repairs: { exitCode: number }[] };
      expect(checks.find(({ id }) => id === "dns-port")?.status).toBe("ok");
      expect(repairs.every(({ exitCode }) => exitCode === 0)).toBe(true);
    } finally {
      taken.udp.close();
      taken.tcp.stop(true);
    }
  }, 60_000);

  test("--fix asks root for nothing unless it is told to, and says what it left out", async () => {
    const host = await playHost(`${BARE_DEV}`);
    const marker = join(host.dir, "home/asked");
    standIn(host, "sudo", `echo "$*" >>${marker}`);
    const shy = await host.run("banger doctor --fix");
    expect(shy.err).toContain("left out, since it needs root (--root): sudo modprobe tun");
    expect((await host.run(`cat ${marker}`)).code).not.toBe(0);
    await host.run("banger doctor --fix --root");
    expect(readFileSync(marker, "utf8")).toContain("modprobe tun");
  }, 60_000);

  test("where no daemon can be started it says why, and checks all the same", async () => {
    const host = await playHost(":", { config: "version = 1\n[dns]\nport = many\n" });
    const rows = await host.rows();
    expect(rows.get("daemon")).toMatchObject({ status: "error", summary: expect.stringContaining("config.toml:3") });
    expect(rows.size).toBeGreaterThan(20);
    expect(needFix(rows)).toEqual([]);
    await host.run("printf 'version = 1\\n[dns]\\nport = 0\\n' >~/.config/banger/config.toml; banger ls");
    expect((await host.rows()).get("daemon")?.status).toBe("ok");
    // A damaged database is told twice: as what keeps the daemon from starting, and for itself.
    await host.run("banger daemon stop; printf garbage >~/.local/state/banger/banger.db");
    const broken = await host.rows();
    expect([broken.get("daemon")?.status, broken.get("database")?.status]).toEqual(["error", "error"]);
  }, 60_000);

  test("a directory that is a link, where nobody can make an instance, is told with its place", async () => {
    const host = await playHost(":");
    symlinkSync("/tmp", join(host.dir, "link"));
    await host.run(`mkdir -p ~/.local/state && ln -s ${host.dir}/link ~/.local/state/banger`);
    const rows = await host.rows();
    expect(rows.get("directories")).toMatchObject({ status: "error", code: "instance.unusable" });
    expect(rows.get("daemon")?.status).toBe("error");
  }, 60_000);

  test("another tool's rules that drop are told, and the rules that are typed let VMs through", async () => {
    if (Bun.which("nft") === null) return;
    const rules = "table ip other { chain f { type filter hook forward priority 0; policy drop; }; }";
    const host = await playHost(`ip link set lo up; echo '${rules}' | nft -f -`, { unshare: "-m -n" });
    const row = (await host.rows({ asRoot: true })).get("forward-rules:ip-other");
    const fix = row?.fix ?? "false";
    expect(row).toMatchObject({
      status: "warning",
      fix: expect.stringContaining("nft insert rule ip other f iifname bgr-"),
    });
    expect(await host.run(fix, { asRoot: true })).toMatchObject({ code: 0 });
    expect((await host.rows({ asRoot: true })).get("forward-rules")?.status).toBe("ok");
    // An ordinary user may not read them, which is no fault.
    expect((await host.rows()).get("forward-rules")?.status).toBe("skipped");
  }, 60_000);
});
