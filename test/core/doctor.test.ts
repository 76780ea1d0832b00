// The checks of the host as tables: each state of each fact, what is said of it, and that whatever is bad has a fix.
import { describe, expect, test } from "bun:test";
import type { Finding } from "../../src/doctor/check.ts";
import { planPassage } from "../../src/doctor/check-network.ts";
import { checks } from "../../src/doctor/checks.ts";
import type { DoctorFacts } from "../../src/doctor/facts.ts";
import { findForwardDrops, parseRuleset } from "../../src/doctor/forward-rules.ts";
import { decideCheck } from "../../src/doctor/run-checks.ts";
import { fail } from "../../src/spec/errors.ts";

const binary = { path: "/usr/bin/vmm", version: "9.1.0", firmwareDir: null, isStatic: true };
const probed = { ok: true, binary, accelerator: "kvm", reason: "with KVM" } as const;
const missing = { ok: false, reason: "it is not installed", package: "qemu-system-x86" } as const;

/** A host on which nothing is wrong. */
const good: DoctorFacts = {
  user: { uid: 1000, name: "ada" },
  mode: "bridge",
  daemon: { version: "0.1.0", pid: 77 },
  kvm: { device: "usable", flag: "vmx", isGuest: false },
  tun: "usable",
  vhostVsock: "usable",
  firecracker: { probe: probed, path: binary.path, sha256: "ab".repeat(32), origin: "pinned" },
  jail: { jailer: "/usr/bin/jailer" },
  qemu: probed,
  choice: { ok: true, vmm: "firecracker", accelerator: "kvm", reason: "Firecracker 1.17.0 with KVM" },
  tools: Object.fromEntries(
    ["ip", "nft", "ssh", "ssh-keygen", "pasta", "newuidmap", "mmdebstrap", "mkfs.ext4", "tar", "apt-get", "dpkg-deb"]
      .concat(["zstd", "xz", "cpio", "depmod", "mksquashfs", "objcopy"])
      .map((name) => [name, `/usr/bin/${name}`]),
  ),
  root: { launch: { kind: "launch", argv: ["/usr/bin/sudo", "-n", "--", "/helper"], argv0: null }, refusal: null },
  helper: { path: "/helper", isCurrent: true },
  linger: { runtimeDir: "/run/user/1000/banger/abcde", vanishes: true, isLingering: true, killsUserProcesses: false },
  userNamespace: { works: true, detail: "", repair: [] },
  subordinateIds: { uids: true, gids: true },
  subnet: {
    bridge: "bgr-abcde",
    current: "10.77.5.0/24",
    configured: null,
    chosen: "10.77.5.0/24",
    clash: false,
    overlaps: [],
    hasDefaultRoute: true,
  },
  forward: { kind: "read", bridge: "bgr-abcde", drops: [] },
  dns: { host: "127.0.0.1", port: 42069, udpError: null, tcpError: null, actualPort: 42069, freePort: null },
  resolver: { zone: "vm", answer: "ours", setup: "none" },
  disk: { path: "/data", freeMiB: 100_000 },
  clone: { path: "/data", method: "reflink" },
  clock: { synchronised: true },
  guestClocks: [
    {
      vm: "web",
      skewMs: 3,
      measuredAt: "2026-11-22T10:00:00.000Z",
      isOff: false,
      sentence: "the clock of web is 3 ms ahead",
      fix: null,
    },
  ],
  directories: { failures: [], count: 4, runtimeDir: "/run/user/1000/banger/abcde" },
  database: { path: "/state/banger.db", exists: true, failure: null },
  images: [{ name: "debian-13", helperVersion: "0.1.0", failure: null }],
  guestKernel: { release: "6.12-banger" },
  native: { directory: "/usr/lib/banger", missing: [] },
  vmmProcesses: [{ name: "web", pid: 4242, uid: 1000 }],
};

const decide = (id: string, facts: Partial<DoctorFacts> = {}): Finding[] => {
  const found = checks.find((check) => check.id === id);
  if (!found) throw new Error(`there is no check ${id}`);
  const all = Object.entries({ ...good, ...facts }).map(([name, value]) => [name, { value }]);
  return decideCheck(found, Object.fromEntries(all));
};

const first = (id: string, facts: Partial<DoctorFacts>): Finding => {
  const [finding] = decide(id, facts);
  if (!finding) throw new Error(`${id} found nothing`);
  return finding;
};

test("on a host without fault every check is ok", () => {
  const bad = checks.flatMap(({ id }) => decide(id).filter(({ status }) => status !== "ok"));
  expect(bad).toEqual([]);
  expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
});

test("without a kernel of banger's own nothing is wrong, and it is said how to get it", () => {
  const error = fail("bundle.missing", { artifact: "kernel", directory: "/b" });
  const found = first("kernel", { guestKernel: { absence: "nobody has built it: make kernel", error } });
  expect(found).toMatchObject({ status: "ok", fix: null });
  expect(found.summary).toContain("make kernel");
});

const emptyKvm = { ...good.kvm, device: "absent" } as const;
const noKernel = { ...missing, reason: "there is no kernel yet to prove KVM with" };
const silent = {
  ok: false,
  package: null,
  reason: "x needs KVM: /dev/kvm is there, but a kernel started on it said nothing in 12 s",
} as const;
const tcg = { ok: true, binary, accelerator: "tcg", reason: "with emulation" } as const;
const dns = { host: "127.0.0.1", port: 42069, udpError: null, tcpError: null, actualPort: 42069, freePort: 42070 };

/** id, facts, status, what the summary says, what the fix says. */
const table: readonly [string, Partial<DoctorFacts>, Finding["status"], RegExp, RegExp | null][] = [
  ["kvm", { kvm: emptyKvm, qemu: tcg }, "warning", /no \/dev\/kvm.*emulates/, /^sudo modprobe kvm_intel/],
  ["kvm", { kvm: { ...emptyKvm, flag: "svm" }, qemu: missing }, "error", /no \/dev\/kvm/, /^sudo modprobe kvm_amd/],
  ["kvm", { kvm: { ...emptyKvm, flag: null }, qemu: tcg }, "warning", /no virtualisation/, /firmware/],
  [
    "kvm",
    { kvm: { device: "absent", flag: null, isGuest: true }, qemu: tcg },
    "warning",
    /no virtualisation/,
    /nested/,
  ],
  ["kvm", { kvm: { ...good.kvm, device: "forbidden" }, qemu: tcg }, "warning", /may not open/, /usermod -aG kvm ada/],
  [
    "kvm",
    { qemu: { ...tcg, reason: silent.reason }, firecracker: { ...good.firecracker, probe: silent } },
    "warning",
    /boots nothing: a kernel/,
    /^use a host/,
  ],
  [
    "kvm",
    { qemu: tcg, firecracker: { ...good.firecracker, probe: { ...silent, againMs: 1 } } },
    "warning",
    /boots nothing: a kernel/,
    /^banger doctor {3}# after that time/,
  ],
  [
    "kvm",
    {
      qemu: { ...tcg, reason: "x: /dev/kvm is there, but a kernel started on it met an instruction" },
      firecracker: { ...good.firecracker, probe: { ...silent, againMs: 1 } },
    },
    "warning",
    /boots nothing: a kernel started on it met/,
    /^use a host/,
  ],
  [
    "kvm",
    { qemu: tcg, firecracker: { ...good.firecracker, probe: noKernel } },
    "skipped",
    /when there is an image/,
    null,
  ],
  ["tun", { tun: "absent" }, "error", /no \/dev\/net\/tun/, /^sudo modprobe tun$/],
  ["tun", { tun: "forbidden" }, "error", /may not open/, /^sudo chmod 0666 \/dev\/net\/tun$/],
  ["vhost-vsock", { vhostVsock: "absent" }, "warning", /QEMU with a vsock.*virtio-serial/, /modprobe vhost_vsock/],
  [
    "firecracker",
    { firecracker: { probe: { ...missing, package: null }, path: null, sha256: null, origin: "unknown" } },
    "warning",
    /not installed/,
    /bundle fetch/,
  ],
  [
    "firecracker",
    { firecracker: { probe: missing, path: null, sha256: null, origin: "unknown" }, kvm: emptyKvm },
    "skipped",
    /without KVM/,
    null,
  ],
  [
    "firecracker",
    { firecracker: { ...good.firecracker, probe: { ...probed, binary: { ...binary, isStatic: false } } } },
    "warning",
    /jailer/,
    /static/,
  ],
  ["jail", { jail: null }, "skipped", /vmm\.jail is off/, null],
  [
    "jail",
    { jail: { refusal: "/opt/firecracker belongs to uid 1000, not to root", fix: "chown it" } },
    "error",
    /can be jailed.*belongs to uid 1000/,
    /chown it/,
  ],
  ["vmm-privilege", { vmmProcesses: [{ name: "web", pid: 1, uid: 0x7012_3456 }] }, "ok", /1 of them in a jail/, null],
  ["qemu", { qemu: missing }, "warning", /Firecracker runs VMs/, /apt-get install -y qemu-system-x86/],
  ["firecracker", { firecracker: { ...good.firecracker, origin: "changed" } }, "warning", /another file/, /bundle use/],
  ["firecracker", { firecracker: { ...good.firecracker, origin: "own" } }, "ok", /static, your own/, null],
  [
    "qemu",
    { qemu: missing, firecracker: { probe: missing, path: null, sha256: null, origin: "unknown" } },
    "error",
    /not installed/,
    /apt-get/,
  ],
  [
    "vmm",
    { choice: { ok: false, vmm: "qemu", reason: "x", packages: ["qemu-system-x86"] } },
    "error",
    /not installed/,
    /apt-get/,
  ],
  [
    "vmm",
    { choice: { ok: false, vmm: "auto", reason: "nothing works", packages: [] } },
    "error",
    /nothing works/,
    /mend/,
  ],
  [
    "sudo",
    { root: { launch: { kind: "refusal", detail: "sudo is not installed", lacks: "sudo" }, refusal: null } },
    "error",
    /sudo is not installed/,
    /apt-get install sudo/,
  ],
  [
    "sudo",
    { root: { launch: { kind: "refusal", detail: "x is not installed", lacks: "helper" }, refusal: null } },
    "error",
    /x is not installed/,
    /banger setup/,
  ],
  ["sudo", { root: { ...good.root, refusal: "a password is required" } }, "error", /ada.*password/, /banger setup/],
  [
    "sudo",
    { mode: "namespace", root: { launch: { kind: "refusal", detail: "" }, refusal: null } },
    "skipped",
    /no root/,
    null,
  ],
  ["helper", { helper: { path: "/helper", isCurrent: false } }, "warning", /not this banger's/, /banger setup/],
  ["linger", { linger: { ...good.linger, isLingering: false } }, "error", /logs out/, /loginctl enable-linger ada/],
  [
    "linger",
    { linger: { ...good.linger, vanishes: false, isLingering: false, killsUserProcesses: true } },
    "warning",
    /KillUserProcesses/,
    /enable-linger/,
  ],
  [
    "user-namespaces",
    { userNamespace: { works: false, detail: "denied", repair: ["sudo", "sysctl", "-w", "a=0"] } },
    "warning",
    /denied/,
    /sysctl -w a=0/,
  ],
  ["user-namespaces", { subordinateIds: { uids: false, gids: true } }, "warning", /subuid/, /usermod --add-subuids/],
  ["user-namespaces", { tools: { ...good.tools, newuidmap: null } }, "warning", /newuidmap/, /uidmap/],
  ["vmm-privilege", { user: { uid: 0, name: "root" } }, "warning", /as root/, /ordinary user/],
  ["vmm-privilege", { vmmProcesses: [{ name: "web", pid: 1, uid: 0 }] }, "error", /web/, /banger restart web/],
  [
    "network-tools",
    { tools: { ...good.tools, ip: null, nft: null } },
    "error",
    /ip is not installed/,
    /iproute2 nftables/,
  ],
  ["pasta", { tools: { ...good.tools, pasta: null } }, "skipped", /need none/, null],
  ["pasta", { tools: { ...good.tools, pasta: null }, mode: "namespace" }, "error", /pasta/, /passt/],
  ["ssh", { tools: { ...good.tools, "ssh-keygen": null } }, "error", /ssh-keygen/, /openssh-client/],
  [
    "image-tools",
    { tools: { ...good.tools, mmdebstrap: null, xz: null } },
    "warning",
    /mmdebstrap, xz/,
    /mmdebstrap xz-utils/,
  ],
  ["subnet", { subnet: { ...good.subnet, chosen: null } }, "error", /No private/, /ip route/],
  [
    "subnet",
    { subnet: { ...good.subnet, chosen: null, configured: "10.0.0.0/24" } },
    "error",
    /10.0.0.0/,
    /network.subnet/,
  ],
  ["subnet", { subnet: { ...good.subnet, clash: true } }, "error", /sent elsewhere/, /banger stop --all/],
  [
    "forward-rules",
    { forward: { kind: "hidden", bridge: "bgr-abcde", suspects: [] } },
    "skipped",
    /root's to read/,
    null,
  ],
  [
    "forward-rules",
    { forward: { kind: "hidden", bridge: "bgr-abcde", suspects: ["docker"] } },
    "skipped",
    /Docker/,
    /DOCKER-USER -i bgr-abcde/,
  ],
  [
    "dns-port",
    { dns: { ...dns, udpError: "EADDRINUSE", actualPort: 5353 } },
    "warning",
    /UDP: EADDRINUSE.*5353/,
    /dns.port 42070/,
  ],
  ["dns-port", { dns: { ...dns, tcpError: "EADDRINUSE" } }, "warning", /TCP: EADDRINUSE/, /dns.port 42070/],
  ["dns-port", { dns: { ...dns, actualPort: 5353 } }, "warning", /when bangerd started/, /daemon restart/],
  ["dns-port", { dns: { ...dns, port: 0 } }, "skipped", /any free port/, null],
  [
    "resolver",
    { resolver: { zone: "vm", answer: "none", setup: "none" } },
    "warning",
    /does not ask/,
    /^banger dns setup .*127.0.0.1/,
  ],
  ["resolver", { resolver: { zone: "vm", answer: "theirs", setup: "none" } }, "warning", /somebody else/, /./],
  [
    "resolver",
    { resolver: { zone: "vm", answer: "ours", setup: "cut-short" } },
    "warning",
    /cut short/,
    /banger dns undo/,
  ],
  ["disk", { disk: { path: "/data", freeMiB: 100 } }, "error", /100 MiB free/, /image prune/],
  ["disk", { disk: { path: "/data", freeMiB: 2000 } }, "warning", /2.0 GiB/, /image prune/],
  ["reflink", { clone: { path: "/data", method: "sparse" } }, "ok", /copied for each/, null],
  ["time", { clock: { synchronised: false } }, "warning", /not kept/, /set-ntp/],
  ["time", { clock: { synchronised: null } }, "skipped", /nothing here/, null],
  ["guest-clocks", { guestClocks: [] }, "skipped", /measured/, null],
  [
    "guest-clocks",
    { guestClocks: [{ ...good.guestClocks[0]!, isOff: true, fix: "banger vm clock web" }] },
    "warning",
    /clock of web/,
    /banger vm clock web/,
  ],
  [
    "daemon",
    { daemon: { failure: fail("daemon.start_failed", { detail: "no", log: "/log" }) } },
    "error",
    /could not be started/,
    /tail/,
  ],
  [
    "directories",
    {
      directories: {
        ...good.directories,
        failures: [fail("instance.unusable", { path: "/x", detail: "it is a symbolic link" })],
      },
    },
    "error",
    /symbolic link/,
    /ls -ld \/x/,
  ],
  [
    "database",
    { database: { path: "/db", exists: true, failure: fail("store.corrupt", { path: "/db", detail: "page 3" }) } },
    "error",
    /page 3/,
    /backup/,
  ],
  ["images", { images: [] }, "warning", /no image/, /banger image build/],
  [
    "images",
    { images: [{ name: "old", helperVersion: null, failure: fail("image.without_helper", { image: "old" }) }] },
    "warning",
    /old does not carry/,
    /./,
  ],
  [
    "kernel",
    {
      guestKernel: {
        absence: "cut short",
        error: fail("bundle.stale", {
          artifact: "kernel",
          directory: "/b",
          detail: "cut short",
          repair: "make kernel",
        }),
      },
    },
    "warning",
    /cut short/,
    /make kernel/,
  ],
  ["runtime", { native: { directory: "/lib", missing: ["/lib/banger-shim"] } }, "error", /banger-shim is missing/, /./],
];

describe("each state", () => {
  for (const [index, [id, facts, status, summary, fix]] of table.entries()) {
    test(`${id}, state ${index}: ${status}`, () => {
      const finding = first(id, facts);
      expect(finding.status).toBe(status);
      expect(finding.summary).toMatch(summary);
      if (fix === null) expect(finding.fix).toBeNull();
      else expect(finding.fix).toMatch(fix);
    });
  }

  test("whatever is neither ok nor skipped has a fix", () => {
    const without = table.flatMap(([id, facts]) =>
      decide(id, facts).filter(({ status, fix }) => (status === "warning" || status === "error") && fix === null),
    );
    expect(without).toEqual([]);
  });

  test("a fact that could not be found out is skipped with its reason", () => {
    const check = checks.find(({ id }) => id === "disk");
    if (!check) throw new Error("no check of the disk");
    const [finding] = decideCheck(check, {
      disk: { failure: fail("host.file_failed", { path: "/d", operation: "read", detail: "EIO" }) },
    });
    expect([finding?.status, finding?.summary]).toEqual(["skipped", expect.stringContaining("EIO")]);
  });
});

describe("other tools' rules", () => {
  const chain = (table: string, name: string, base: object = {}) => ({ chain: { family: "ip", table, name, ...base } });
  const rule = (table: string, name: string, expr: object[]) => ({ rule: { family: "ip", table, chain: name, expr } });
  const matching = (key: string, right: unknown) => ({ match: { op: "==", left: { meta: { key } }, right } });
  const read = (...nftables: object[]) => findForwardDrops(parseRuleset(JSON.stringify({ nftables })), "bgr-abcde");
  const forward = { type: "filter", hook: "forward", prio: 0 };
  const docker = [
    chain("filter", "FORWARD", { ...forward, policy: "drop" }),
    chain("filter", "DOCKER-USER"),
    rule("filter", "FORWARD", [{ jump: { target: "DOCKER-USER" } }]),
  ];

  test("a policy that drops is found, and whose it is", () => {
    expect(read(...docker)).toEqual([{ owner: "docker", family: "ip", table: "filter", chain: "FORWARD" }]);
    expect(read(chain("x", "f", { ...forward, policy: "accept" }))).toEqual([]);
    expect(read(chain("bgr-zzzzz", "f", { ...forward, policy: "drop" }))).toEqual([]);
    expect(read()).toEqual([]);
  });

  test("a rule that lets our bridge through, also in a chain that is jumped to, makes it harmless", () => {
    expect(
      read(...docker, rule("filter", "DOCKER-USER", [matching("iifname", "bgr-abcde"), { accept: null }])),
    ).toEqual([]);
    expect(
      read(...docker, rule("filter", "DOCKER-USER", [matching("iifname", "bgr-other"), { accept: null }])).length,
    ).toBe(1);
    expect(
      read(...docker, rule("filter", "FORWARD", [matching("oifname", { set: ["a", "bgr-*"] }), { accept: null }])),
    ).toEqual([]);
  });

  test("a rule that accepts everything, here or in a chain that is jumped to, makes it harmless too", () => {
    const accepting = { accept: null };
    expect(read(...docker, rule("filter", "FORWARD", [{ counter: null }, accepting]))).toEqual([]);
    expect(read(...docker, rule("filter", "DOCKER-USER", [accepting]))).toEqual([]);
    const tcp = { match: { op: "==", left: { payload: { protocol: "ip", field: "protocol" } }, right: "tcp" } };
    expect(read(...docker, rule("filter", "FORWARD", [tcp, accepting])).length).toBe(1);
    expect(
      read(...docker, rule("filter", "FORWARD", [{ drop: null }]), rule("filter", "FORWARD", [accepting])).length,
    ).toBe(1);
    const limited = { limit: { rate: 10, per: "second" } };
    expect(read(...docker, rule("filter", "FORWARD", [limited, accepting])).length).toBe(1);
    const established = rule("filter", "FORWARD", [tcp, { jump: { target: "DOCKER-USER" } }]);
    const [policy, user] = docker as [object, object];
    expect(read(policy, user, established, rule("filter", "DOCKER-USER", [accepting])).length).toBe(1);
    const late = [rule("filter", "DOCKER-USER", [{ drop: null }]), rule("filter", "FORWARD", [accepting])];
    expect(read(...docker, ...late).length).toBe(1);
    const back = [rule("filter", "DOCKER-USER", [{ return: null }]), rule("filter", "DOCKER-USER", [accepting])];
    expect(read(...docker, ...back).length).toBe(1);
  });

  test("chains that jump to each other many times are each looked at once", () => {
    const names = Array.from({ length: 40 }, (_, index) => `c${index}`);
    const jump = (target: string) => [{ jump: { target } }];
    const woven = names.flatMap((name, index) =>
      names.slice(index + 1).flatMap((next) => [rule("filter", name, jump(next)), rule("filter", name, jump(next))]),
    );
    const chains = names.map((name) => chain("filter", name));
    const found = read(...docker, ...chains, rule("filter", "FORWARD", jump("c0")), ...woven);
    expect(found.map(({ owner }) => owner)).toEqual(["docker"]);
    const last = rule("filter", "c39", [matching("iifname", "bgr-*"), { accept: null }]);
    expect(read(...docker, ...chains, rule("filter", "FORWARD", jump("c0")), ...woven, last)).toEqual([]);
  });

  test("a last rule that rejects everything counts like a policy", () => {
    const firewalld = [
      { chain: { family: "inet", table: "firewalld", name: "filter_FORWARD", ...forward, policy: "accept" } },
      { rule: { family: "inet", table: "firewalld", chain: "filter_FORWARD", expr: [{ reject: { type: "icmpx" } }] } },
    ];
    expect(read(...firewalld).map(({ owner }) => owner)).toEqual(["firewalld"]);
    expect(read(chain("x", "f", forward), rule("x", "f", [matching("iifname", "a"), { drop: null }]))).toEqual([]);
    const rejecting = [{ counter: null }, { xt: { type: "target", name: "REJECT" } }];
    expect(read(chain("x", "f", forward), chain("x", "end"), rule("x", "end", rejecting))).toEqual([]);
    expect(
      read(
        chain("x", "f", forward),
        chain("x", "end"),
        rule("x", "f", [{ jump: { target: "end" } }]),
        rule("x", "end", rejecting),
      ).length,
    ).toBe(1);
  });

  test("each tool is told in its own way", () => {
    const spelled = (owner: "docker" | "firewalld" | "ufw" | "other") =>
      planPassage({ owner, family: "inet", table: "t", chain: "c" }, "bgr-abcde").map((argv) => argv[1]);
    expect(spelled("docker")).toEqual(["iptables", "iptables"]);
    expect(spelled("firewalld")).toEqual(["firewall-cmd", "firewall-cmd"]);
    expect(spelled("ufw")).toEqual(["ufw", "ufw"]);
    expect(spelled("other")).toEqual(["nft", "nft"]);
  });
});
