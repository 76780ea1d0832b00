// `banger dns setup` under a directory that plays the root: what it writes for each resolver, what a cut leaves, what undo takes back.
import { afterEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  DNS_JOURNAL,
  type DnsSetup,
  decideResolver,
  isWiredTo,
  planDnsSetup,
  type ResolverFacts,
  resolverKinds,
} from "../../src/core/dns-setup.ts";
import { isSetUp, readDnsJournal, readResolverFacts, runDnsSetup, undoDnsSetup } from "../../src/host/dns-setup.ts";
import { hasCode } from "../../src/spec/errors.ts";

const roots: string[] = [];
const makeRoot = (): string => {
  const root = mkdtempSync("/tmp/bgr-dns-");
  roots.push(root);
  mkdirSync(join(root, "etc"));
  mkdirSync(join(root, "var/lib"), { recursive: true });
  return root;
};
afterEach(() => {
  for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
});

/** Everything below a directory, as one comparable value. */
const treeOf = (root: string, below = ""): Record<string, string> =>
  Object.fromEntries(
    readdirSync(join(root, below), { withFileTypes: true }).flatMap((entry) => {
      const path = join(below, entry.name);
      if (!entry.isDirectory()) return [[path, readFileSync(join(root, path), "utf8")]];
      return [[`${path}/`, ""], ...Object.entries(treeOf(root, path))];
    }),
  );

const place = (root: string) => {
  const ran: string[] = [];
  return { root, ran, run: async (argv: readonly string[]) => void ran.push(argv.join(" ")) };
};
const setupOf = (kind: DnsSetup["kind"], server = "127.0.0.1:42069") => planDnsSetup({ kind, zone: "vm", server });
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "nothing",
    (error) => (error as { code?: string }).code ?? String(error),
  );

for (const kind of resolverKinds) {
  describe(kind, () => {
    test("what it writes and runs", async () => {
      const at = place(makeRoot());
      await runDnsSetup(setupOf(kind), at);
      const tree = Object.entries(treeOf(at.root)).filter(([path]) => path.startsWith("etc/"));
      expect({
        files: Object.fromEntries(tree.filter(([path]) => !path.endsWith("/"))),
        ran: at.ran,
      }).toMatchSnapshot();
    });

    test("undo leaves the tree as it was, an older file of the same name too", async () => {
      const at = place(makeRoot());
      const [first] = setupOf(kind).files;
      const path = join(at.root, first?.path ?? "");
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "somebody's own\n");
      const before = treeOf(at.root);
      await runDnsSetup(setupOf(kind), at);
      expect(treeOf(at.root)).not.toEqual(before);
      expect(await undoDnsSetup(at)).toBe(true);
      expect(treeOf(at.root)).toEqual(before);
      expect(await undoDnsSetup(at)).toBe(false);
    });

    test("done twice is done once, and for another server it is done anew", async () => {
      const at = place(makeRoot());
      const before = treeOf(at.root);
      await runDnsSetup(setupOf(kind), at);
      const commands = at.ran.length;
      await runDnsSetup(setupOf(kind), at);
      expect(at.ran.length).toBe(commands);
      const other = setupOf(kind, "127.0.0.1:5353");
      await runDnsSetup(other, at);
      expect(await isSetUp(other, at.root)).toBe(true);
      expect(JSON.stringify(treeOf(at.root))).not.toContain("42069");
      await undoDnsSetup(at);
      expect(treeOf(at.root)).toEqual(before);
    });

    test("a command that fails has everything taken back", async () => {
      const at = place(makeRoot());
      const before = treeOf(at.root);
      let isBroken = true;
      const run = async (argv: readonly string[]) => {
        if (isBroken && setupOf(kind).apply.some((command) => command.argv.join() === argv.join())) {
          isBroken = false;
          throw Object.assign(new TypeError("the command failed"), { code: "test.failed" });
        }
      };
      expect(await codeOf(runDnsSetup(setupOf(kind), { root: at.root, run }))).toBe("test.failed");
      expect(treeOf(at.root)).toEqual(before);
    });

    test("one that was cut short is finished by the next setup, or taken back by undo", async () => {
      for (const next of ["setup", "undo"] as const) {
        const at = place(makeRoot());
        const before = treeOf(at.root);
        const reached = Promise.withResolvers<void>();
        // As if the machine went down while the first command ran: nothing after it ever happens.
        const cut = () => {
          reached.resolve();
          return new Promise<never>(() => {});
        };
        void runDnsSetup(setupOf(kind), { root: at.root, run: cut });
        await reached.promise;
        expect((await readDnsJournal(at.root))?.state).toBe("setting-up");
        expect(await isSetUp(setupOf(kind), at.root)).toBe(false);
        if (next === "setup") {
          await runDnsSetup(setupOf(kind), at);
          expect(await isSetUp(setupOf(kind), at.root)).toBe(true);
        }
        await undoDnsSetup(at);
        expect(treeOf(at.root)).toEqual(before);
      }
    });

    test("a file that was changed by hand is left alone and told, until it is gone", async () => {
      const at = place(makeRoot());
      const before = treeOf(at.root);
      const [first] = setupOf(kind).files;
      const path = first?.path ?? "";
      await runDnsSetup(setupOf(kind), at);
      writeFileSync(join(at.root, path), "mine\n");
      expect(await codeOf(undoDnsSetup(at))).toBe("dns.changed_by_hand");
      expect(readFileSync(join(at.root, path), "utf8")).toBe("mine\n");
      rmSync(join(at.root, path));
      expect(await undoDnsSetup(at)).toBe(true);
      expect(treeOf(at.root)).toEqual(before);
    });
  });
}

test("a setup that fails and cannot be taken back is told as cut short", async () => {
  const root = makeRoot();
  const run = async () => {
    throw new TypeError("nothing runs here");
  };
  const failure = await runDnsSetup(setupOf("dnsmasq"), { root, run }).catch((error) => error);
  expect(hasCode(failure, "dns.cut_short")).toBe(true);
  expect((await readDnsJournal(root))?.state).toBe("undoing");
  await undoDnsSetup(place(root));
  expect(await readDnsJournal(root)).toBe(null);
});

test("a journal that nobody can read is no setup, and is told", async () => {
  const root = makeRoot();
  mkdirSync(join(root, dirname(DNS_JOURNAL)));
  writeFileSync(join(root, DNS_JOURNAL), "{");
  expect(await readDnsJournal(root)).toBe(null);
  expect(await codeOf(undoDnsSetup(place(root)))).toBe("dns.cut_short");
});

test("a file that is there and cannot be read is not taken for one that is missing: nothing is changed", async () => {
  const at = place(makeRoot());
  const path = join(at.root, setupOf("dnsmasq").files[0]?.path ?? "");
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync("loop.conf", join(dirname(path), "loop.conf"));
  symlinkSync("loop.conf", path);
  expect(await codeOf(runDnsSetup(setupOf("dnsmasq"), at))).toBe("host.file_failed");
  expect(readlinkSync(path)).toBe("loop.conf");
  expect([at.ran, await readDnsJournal(at.root)]).toEqual([[], null]);
});

test("a journal that is there and cannot be read is never written over", async () => {
  const at = place(makeRoot());
  mkdirSync(join(at.root, DNS_JOURNAL), { recursive: true });
  expect(await codeOf(undoDnsSetup(at))).toBe("host.file_failed");
  expect(await codeOf(runDnsSetup(setupOf("dnsmasq"), at))).toBe("host.file_failed");
});

const facts: ResolverFacts = {
  resolvConf: "nameserver 127.0.0.53\n",
  hasResolved: true,
  hasNssResolve: false,
  systemdVersion: 252,
  networkManagerDns: null,
  hasDnsmasqDir: false,
};
const local = { ...facts, resolvConf: "nameserver 127.0.0.1\n", hasResolved: false };

const decisions: [what: string, facts: ResolverFacts, kind: DnsSetup["kind"] | null][] = [
  ["systemd-resolved's stub", facts, "resolved-link"],
  ["a version with delegate files", { ...facts, systemdVersion: 258 }, "resolved-delegate"],
  [
    "nss-resolve beside another server",
    { ...facts, resolvConf: "nameserver 192.0.2.1\n", hasNssResolve: true },
    "resolved-link",
  ],
  ["a systemd-resolved that nobody asks", { ...facts, resolvConf: "nameserver 192.0.2.1\n" }, null],
  ["a stub without systemd-resolved", { ...facts, hasResolved: false }, null],
  ["NetworkManager's dnsmasq", { ...local, networkManagerDns: "dnsmasq", hasDnsmasqDir: true }, "networkmanager"],
  ["a dnsmasq of its own", { ...local, hasDnsmasqDir: true }, "dnsmasq"],
  ["some other local server", local, null],
  ["a server elsewhere", { ...local, resolvConf: "nameserver 192.0.2.1\n", hasDnsmasqDir: true }, null],
  ["no resolver at all", { ...local, resolvConf: "" }, null],
];

describe("the resolver of a host with", () => {
  for (const [what, found, kind] of decisions) {
    test(`${what} is ${kind ?? "none that can be told"}`, () => expect(decideResolver(found)).toBe(kind));
  }

  test("files as they are found", async () => {
    const root = makeRoot();
    mkdirSync(join(root, "etc/NetworkManager/conf.d"), { recursive: true });
    writeFileSync(join(root, "etc/resolv.conf"), "nameserver 127.0.0.1\n");
    writeFileSync(join(root, "etc/nsswitch.conf"), "hosts: files resolve [!UNAVAIL=return] dns\n");
    writeFileSync(join(root, "etc/NetworkManager/NetworkManager.conf"), "[main]\ndns=default\n");
    writeFileSync(join(root, "etc/NetworkManager/conf.d/dns.conf"), "[main]\n  dns = dnsmasq\n");
    const { systemdVersion: _, ...found } = await readResolverFacts(root);
    expect(found).toEqual({
      resolvConf: "nameserver 127.0.0.1\n",
      hasResolved: false,
      hasNssResolve: true,
      networkManagerDns: "dnsmasq",
      hasDnsmasqDir: false,
    });
  });
});

test("names are said only while the setup that is done is about this very server", async () => {
  const at = place(makeRoot());
  const server = { zone: "vm", address: "127.0.0.1", port: 42069 };
  expect(isWiredTo(await readDnsJournal(at.root), server)).toBe(false);
  await runDnsSetup(setupOf("dnsmasq"), at);
  const journal = await readDnsJournal(at.root);
  expect(isWiredTo(journal, server)).toBe(true);
  expect(isWiredTo(journal, { ...server, port: 42070 })).toBe(false);
  expect(isWiredTo(journal, { ...server, port: null })).toBe(false);
  expect(isWiredTo(journal, { ...server, zone: "lab" })).toBe(false);
  expect(isWiredTo(journal && { ...journal, state: "undoing" }, server)).toBe(false);
});
