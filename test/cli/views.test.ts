// What people see: every method's view, on a terminal, in a pipe, with colours, and as JSON.
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { generatedCommands } from "../../src/cli/generated/commands.ts";
import { fail } from "../../src/spec/errors.ts";
import type { Image } from "../../src/spec/image.ts";
import { type FakeHandlers, startFakeDaemon, vm } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";

const image: Image = {
  id: "aaaabbbbcccc",
  name: "debian-13",
  aliases: ["debian"],
  isDefault: true,
  sizeMiB: 2048,
  usedMiB: 412,
  kernel: "kkkk",
  kernelRelease: "6.12.48",
  helperVersion: "1",
  origin: "built",
  usedBy: ["web", "db"],
  createdAt: "2026-11-20T12:00:00.000Z",
};

const newVms = {
  choice: "image",
  release: "6.12.48",
  hint: "the image's kernel; banger's own would be quicker",
} as const;

const changed = (over: Parameters<typeof vm>[0] = {}, isChanged = true) => ({ ...vm(over), changed: isChanged });

const handlers: FakeHandlers = {
  "system.status": () => ({
    pid: 77,
    version: "0.1.0",
    build: "2026-11-22T10:00:00Z-abcdef01",
    instance: "abcde",
    startedAt: "2026-11-22T11:58:30.000Z",
    socket: "/run/bangerd.sock",
    dataDir: "/data",
    stateDir: "/state",
    runtimeDir: "/run",
    configPath: "/cfg/config.toml",
    logPath: "/state/log/bangerd.log",
    privilege: "directly, as root",
    vms: { total: 3, running: 1 },
    images: 1,
    dns: {
      zone: "vm",
      address: "127.0.0.1",
      port: 42069,
      isPreferredPort: true,
      udpError: null,
      tcpError: null,
      records: 1,
      queries: 12,
      failed: 0,
    },
    memoryMiB: 46.2,
    openOperations: [],
  }),
  "system.audit": () => ({
    clean: false,
    findings: [{ kind: "leaked", what: "bgr-abcde-9", detail: "a tap of no VM", fix: "banger daemon restart" }],
  }),
  "system.priv-log": () => [
    {
      at: "2026-11-22T11:00:00.000Z",
      requestedBy: "vm.start#1",
      op: "tap.create",
      detail: "bgr-abcde-2",
      ok: true,
      ms: 4.2,
      error: null,
    },
  ],
  "dns.status": () => ({
    zone: "vm",
    serial: 7,
    listeners: [
      {
        view: "loopback",
        address: "127.0.0.1",
        port: 42069,
        isPreferredPort: true,
        udpError: null,
        tcpError: "EADDRINUSE",
        records: 2,
        udpQueries: 12,
        tcpQueries: 1,
        answers: { NOERROR: 11, NXDOMAIN: 2 },
        failed: 0,
        forwarded: 0,
        dropped: 0,
        tcpConnections: 0,
      },
      {
        view: "guest",
        address: "10.77.5.1",
        port: 40123,
        isPreferredPort: true,
        udpError: null,
        tcpError: null,
        records: 2,
        udpQueries: 1,
        tcpQueries: 0,
        answers: { SERVFAIL: 1 },
        failed: 1,
        forwarded: 1,
        dropped: 0,
        tcpConnections: 0,
      },
    ],
    upstreams: ["192.0.2.53"],
  }),
  "dns.records": () => [
    { name: "vm.", type: "NS", ttlS: 5, data: "ns.vm." },
    { name: "web.vm.", type: "A", ttlS: 5, data: "10.77.5.2" },
  ],
  "dns.query": () => ({
    name: "web.vm.",
    type: "A",
    rcode: "NOERROR",
    isAuthoritative: true,
    records: [{ name: "web.vm.", type: "A", ttlS: 5, data: "10.77.5.2" }],
    system: { addresses: [], error: "ENOTFOUND" },
  }),
  "config.show": () => [
    { key: "vm.memory", value: "8G", source: "file", description: "memory of a new VM" },
    { key: "dns.port", value: 42069, source: "default", description: "port of the name server" },
  ],
  "config.get": () => ({ key: "vm.memory", value: "8G", source: "file" }),
  "config.set": () => ({ key: "vm.memory", value: "8G", path: "/cfg/config.toml" }),
  "config.unset": () => ({
    ...{ key: "vm.memory", value: "auto", source: "default" as const, wasSet: true, path: "/cfg/config.toml" },
  }),
  "events.subscribe": (_, { emit }) => {
    const at = "2026-11-22T11:00:00.000Z";
    emit({ cursor: 1, at, event: { type: "vm.state", vm: "web", id: "0", state: "stopped", cause: "poweroff" } });
    emit({ cursor: 2, at, event: { type: "image.added", image: "debian-13", id: "1" } });
    return { cursor: 2 };
  },
  "vm.create": () => vm(),
  "vm.start": () => changed(),
  "vm.stop": () => changed({ state: "stopped" }),
  "vm.restart": () => changed(),
  "vm.kill": () => changed({ state: "stopped" }, false),
  "vm.delete": () => ({ id: "0", name: "web", deleted: true }),
  "vm.list": () => [
    vm(),
    vm({
      name: "a-much-longer-name",
      state: "stopped",
      addresses: [],
      startedAt: null,
      pid: null,
      pendingRestart: true,
    }),
    vm({ name: "broken", state: "error", addresses: [], diskUsedMiB: null }),
  ],
  "vm.show": () =>
    vm({
      lastEnd: { cause: "host_reboot", at: "2026-11-21T12:00:00.000Z" },
      lastError: {
        code: "guest.not_ready",
        message: "it was \u001b[31mnot\u001b[0m ready",
        fix: "banger logs web",
        at: "",
      },
    }),
  "vm.set": () => changed({ state: "stopped", memoryMiB: 8192 }),
  "vm.rename": () => changed({ name: "web-old" }),
  "vm.label": () => changed({ labels: { team: "blue", tier: "front" } }),
  "vm.logs": (_, { emit }) => {
    emit({ kind: "log", text: "hello\u001b]0;owned\u0007 \u001b[2Jworld\r" });
    return { lines: 1 };
  },
  "vm.stats": () => ({
    name: "web",
    state: "running",
    cpuPercent: 12.34,
    cpuSeconds: 60,
    memoryMiB: 310.4,
    memoryLimitMiB: 2048,
    diskUsedMiB: 310,
    diskMiB: 40_960,
    uptimeSeconds: 3700,
  }),
  "vm.why-slow": () => ({
    name: "web",
    operation: "vm.start",
    startedAt: "2026-11-22T11:00:00.000Z",
    totalMs: 2400,
    steps: [
      { step: "disk.clone", ms: 240, share: 0.1, usualMs: 200 },
      { step: "guest.ready", ms: 2160, share: 0.9, usualMs: null },
    ],
    remark: "nearly all of it was the guest's own boot",
  }),
  "vm.activity": () => ({
    id: "0123456789ab",
    name: "web",
    fqdn: "web.vm",
    state: "running",
    address: "10.77.5.2",
    sessions: [{ user: "ada", terminal: "pts/0", remote: "10.77.5.1", service: "sshd", sinceSeconds: 61 }],
    jobs: [{ pid: 7, user: "ada", name: "make", command: "make all", ageSeconds: 61 }],
    listeners: [{ address: "0.0.0.0", port: 3000, name: null }],
    memoryMiB: 300,
    diskUsedMiB: 1331,
  }),
  "vm.clock": () => ({ name: "web", wasMs: -3_600_250, skewMs: 4 }),
  "vm.ping": () => ({ name: "web", roundTripMs: 0.42, helperVersion: "1", uptimeSeconds: 61, clockSkewMs: -3.4 }),
  "vm.ports": () => ({
    name: "web",
    ports: [
      {
        protocol: "tcp",
        address: "0.0.0.0",
        port: 3000,
        scope: "any",
        pid: 712,
        process: "node",
        reach: "10.77.5.2:3000",
        blocked: null,
        name: "web.vm:3000",
        forwards: ["127.0.0.1:8080"],
        heldHere: { address: "0.0.0.0", port: 3000, pid: 4711, process: "caddy" },
      },
      {
        protocol: "tcp6",
        address: "::1",
        port: 5432,
        scope: "loopback",
        pid: 650,
        process: "postgres\u001b[31m",
        reach: null,
        blocked: null,
        name: null,
        forwards: [],
        heldHere: null,
      },
      {
        protocol: "tcp",
        address: "0.0.0.0",
        port: 80,
        scope: "any",
        pid: 9,
        process: "nginx",
        reach: null,
        blocked: {
          why: "privileged",
          by: null,
          detail: "Permission denied",
          fix: "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80",
        },
        name: null,
        forwards: [],
        heldHere: null,
      },
      {
        protocol: "tcp",
        address: "0.0.0.0",
        port: 5000,
        scope: "any",
        pid: 10,
        process: "flask",
        reach: null,
        blocked: {
          why: "taken",
          by: { address: "0.0.0.0", port: 5000, pid: 4712, process: "registry" },
          detail: "Address in use",
          fix: null,
        },
        name: null,
        forwards: [],
        heldHere: null,
      },
    ],
  }),
  "vm.forward": () => ({
    name: "web",
    changed: false,
    forwards: [
      {
        address: "127.0.0.1",
        hostPort: 8080,
        guestPort: 80,
        isKept: true,
        state: "published",
        blockedBy: null,
        detail: null,
      },
      {
        address: "::1",
        hostPort: 9000,
        guestPort: 9000,
        isKept: false,
        state: "blocked",
        blockedBy: { address: "::", port: 9000, pid: 4711, process: "caddy" },
        detail: "Address in use",
      },
    ],
  }),
  "image.build": () => ({ ...image, newVms }),
  "image.register": () => image,
  "image.list": () => [image],
  "image.show": () => ({
    ...image,
    newVms,
    made: {
      how: "built",
      suite: "trixie",
      mirror: "https://deb.debian.org/debian",
      packages: ["bash=5", "dash=0"],
      scripts: {},
      source: null,
      base: { id: "ba5e", name: "debian-13" },
      provisioned: [{ script: "tools.sh", sha256: "ab".repeat(32) }],
      kernel: { id: "k", release: "6.12", package: "linux-image-cloud-amd64", version: "6.12.1-1" },
    },
    rootPath: "/data/images/0/rootfs.ext4",
    kernelDir: "/data/kernels/k",
  }),
  "image.delete": () => ({ id: "0", name: "old", deleted: true }),
  "image.prune": () => ({ removed: ["/data/kernels/old"], freedMiB: 22 }),
};

const daemon = startFakeDaemon({ ...handlers });
beforeEach(() => {
  daemon.handlers = { ...handlers };
});
afterAll(() => daemon.close());

/** A line for every method that is a command. */
const lines: Readonly<Record<string, string>> = {
  "system.status": "daemon status",
  "system.audit": "audit",
  "system.priv-log": "priv log",
  "events.subscribe": "events",
  "config.show": "config show",
  "config.get": "config get vm.memory",
  "config.set": "config set vm.memory 8G",
  "config.unset": "config unset vm.memory",
  "dns.status": "dns status",
  "dns.records": "dns records",
  "dns.query": "dns query web",
  "vm.create": "create web",
  "vm.start": "start web",
  "vm.stop": "stop web",
  "vm.restart": "restart web",
  "vm.kill": "kill web",
  "vm.delete": "rm web",
  "vm.list": "ls",
  "vm.show": "show web",
  "vm.set": "vm set web --memory 8G",
  "vm.rename": "rename web web-old",
  "vm.label": "vm label web --set tier=front",
  "vm.logs": "logs web",
  "vm.stats": "stats web",
  "vm.why-slow": "vm why-slow web",
  "vm.activity": "vm activity web",
  "vm.clock": "vm clock web",
  "vm.ping": "vm ping web",
  "vm.ports": "vm ports web",
  "vm.forward": "vm forward web",
  "image.build": "image build",
  "image.register": "image register mine /tmp/root.ext4",
  "image.list": "image ls",
  "image.show": "image show debian",
  "image.delete": "image rm old",
  "image.prune": "image prune",
};

const methods = generatedCommands.map(({ name }) => name).filter((name) => name !== "system.stop");

test("after banger dns setup people are told names instead of addresses", async () => {
  daemon.handlers["vm.show"] = () => vm({ isFoundByName: true });
  daemon.handlers["vm.create"] = () => vm({ isFoundByName: true });
  expect((await runLine(daemon, ["show", "web"])).out).toMatch(/DNS name\s+web\.vm$/m);
  const named = (await runLine(daemon, ["create", "web"])).err;
  expect(named).toContain("curl http://web.vm:8080");
  expect(named).not.toContain("10.77.5.2");
  daemon.handlers["vm.create"] = () => vm();
  expect((await runLine(daemon, ["create", "web"])).err).toContain("curl http://10.77.5.2:8080");
});

test("one vCPU is one, whether a VM was made with it or set to it", async () => {
  daemon.handlers["vm.create"] = () => vm({ vcpus: 1 });
  daemon.handlers["vm.set"] = () => changed({ vcpus: 1 });
  expect((await runLine(daemon, ["create", "web"])).err).toContain(", 1 vCPU, ");
  expect((await runLine(daemon, ["vm", "set", "web", "--vcpu", "1"])).out).toContain("web has 1 vCPU, ");
});

describe("every method's view", () => {
  test("has a line here", () => expect(Object.keys(lines).sort()).toEqual([...methods].sort()));

  for (const [method, line] of Object.entries(lines)) {
    test(`banger ${line}, in a pipe`, async () => {
      const shown = await runLine(daemon, line.split(" "));
      expect(shown).toMatchSnapshot();
      expect(shown.out + shown.err).not.toMatch(/\u001b|undefined|NaN|\[object/);
      for (const text of shown.out.split("\n")) expect(text).toBe(text.trimEnd());
    });

    test(`banger ${line}, with colours says the same`, async () => {
      const plain = await runLine(daemon, line.split(" "), { isTty: true });
      const colored = await runLine(daemon, line.split(" "), { isTty: true, hasColor: true });
      expect(Bun.stripANSI(colored.out)).toBe(plain.out);
      expect(Bun.stripANSI(colored.err)).toBe(plain.err);
    });

    test(`banger ${line} --json is the answer of ${method} and nothing else`, async () => {
      const shown = await runLine(daemon, [...line.split(" "), "--json"]);
      expect(shown.err).toBe("");
      if (method === "vm.logs" || method === "events.subscribe") {
        const events = shown.out
          .trimEnd()
          .split("\n")
          .map((text) => JSON.parse(text));
        expect(events.length).toBeGreaterThan(0);
        return;
      }
      const expected = await (handlers as Record<string, (...given: unknown[]) => unknown>)[method]?.(
        {},
        { emit: () => {} },
      );
      expect(JSON.parse(shown.out)).toEqual(JSON.parse(JSON.stringify(expected)));
    });
  }
});

describe("what is left of an answer when there is nothing", () => {
  const table: [string, FakeHandlers, { out: string; err: RegExp }][] = [
    ["ls", { "vm.list": () => [] }, { out: "", err: /no VMs yet: banger create/ }],
    ["ls -l a=b", { "vm.list": () => [] }, { out: "", err: /No VM has that label/ }],
    ["ls -q", { "vm.list": () => [] }, { out: "", err: /^$/ }],
    ["ls --json", { "vm.list": () => [] }, { out: "[]\n", err: /^$/ }],
    ["image ls", { "image.list": () => [] }, { out: "", err: /no images yet: banger image build/ }],
    ["image prune", { "image.prune": () => ({ removed: [], freedMiB: 0 }) }, { out: "", err: /nothing to prune/ }],
    ["priv log", { "system.priv-log": () => [] }, { out: "", err: /Nothing was done/ }],
  ];
  for (const [line, given, { out, err }] of table) {
    test(`banger ${line}`, async () => {
      Object.assign(daemon.handlers, given);
      const shown = await runLine(daemon, line.split(" "));
      expect({ exitCode: shown.exitCode, out: shown.out }).toEqual({ exitCode: 0, out });
      expect(shown.err).toMatch(err);
    });
  }
});

describe("vm create", () => {
  test("a person reads four lines on stderr, and nothing on stdout", async () => {
    const shown = await runLine(daemon, ["create", "web"], { isTty: true });
    expect(shown.out).toBe("");
    expect(shown.err.trimEnd().split("\n")).toHaveLength(4);
    expect(shown.err).toContain("web is running");
    expect(shown.err).toContain("banger ssh web");
    expect(shown.err).toContain("10.77.5.2:PORT");
    expect(shown.err).toContain("banger rm --force web");
  });

  test("a pipe gets the name alone", async () => expect((await runLine(daemon, ["create"])).out).toBe("web\n"));

  test("one that was not started says how to start it", async () => {
    daemon.handlers["vm.create"] = () => vm({ state: "stopped", addresses: [], startedAt: null });
    const shown = await runLine(daemon, ["create", "--no-start"], { isTty: true });
    expect(shown.err).toContain("banger start web");
    expect(shown.err.trimEnd().split("\n")).toHaveLength(4);
  });
});

describe("names, states and errors", () => {
  test("ls -q prints names only, ls all states", async () => {
    expect((await runLine(daemon, ["ls", "-q"])).out).toBe("web\na-much-longer-name\nbroken\n");
    expect((await runLine(daemon, ["ls"])).out).toMatch(/running[\s\S]*stopped\*[\s\S]*error/);
  });

  test("audit ends with 0 when it is clean and 1 when not, also with --json", async () => {
    expect((await runLine(daemon, ["audit"])).exitCode).toBe(1);
    expect((await runLine(daemon, ["audit", "--json"])).exitCode).toBe(1);
    daemon.handlers["system.audit"] = () => ({ clean: true, findings: [] });
    expect((await runLine(daemon, ["audit"])).exitCode).toBe(0);
  });

  test("the daemon's fields are told as the flags that were typed", async () => {
    daemon.handlers["vm.create"] = () => {
      throw fail("input.invalid", {
        issues: [
          { path: "sshKey.0", message: "too long" },
          { path: "name", message: "bad" },
        ],
      });
    };
    const shown = await runLine(daemon, ["create", "web"]);
    expect(shown).toEqual({
      exitCode: 2,
      out: "",
      err: "banger: --ssh-key: too long; NAME: bad\n  try: banger help vm create\n",
    });
  });

  test("an error without a fix is one line, and with --json one object", async () => {
    daemon.handlers["vm.show"] = () => {
      throw fail("operation.cancelled", { operation: "vm.show" });
    };
    expect((await runLine(daemon, ["show", "web"])).err).toBe(
      "banger: vm.show was cancelled; what it had done was undone.\n",
    );
    const shown = await runLine(daemon, ["show", "web", "--json"]);
    expect(shown.exitCode).toBe(130);
    expect(JSON.parse(shown.err).error.code).toBe("operation.cancelled");
  });
});
