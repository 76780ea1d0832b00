// What the host decides without touching anything: commands, rules, launches, set-up, and what it reads from files of the system.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { commandFor } from "../../src/host/commands.ts";
import { parseAccount, parseProxy, parseResolvers, parseZonePath } from "../../src/host/facts.ts";
import { groupOf, inventoryOf, parseLinks, parseTables, type SeenLink } from "../../src/host/net-state.ts";
import { renderNft, renderNftDelete } from "../../src/host/nft-rules.ts";
import { findWeakness, INSTALLED_HELPER, type PathComponent, planRootLaunch } from "../../src/host/root-launch.ts";
import { planSetup, renderSudoers, sudoersPathFor } from "../../src/host/setup.ts";
import { BangerError } from "../../src/spec/errors.ts";
import { HostOp } from "../../src/spec/host-op.ts";

const tools = { ip: "/usr/sbin/ip", nft: "/usr/sbin/nft" };
const link = (name: string, more: Partial<SeenLink> = {}): SeenLink => ({
  name,
  kind: name.includes("-", 4) ? "tun" : "bridge",
  alias: "banger:abcde",
  master: null,
  isUp: true,
  hasCarrier: false,
  group: null,
  addresses: [],
  ...more,
});
const inputs = (op: unknown, links: SeenLink[] = []) =>
  commandFor(HostOp.parse(op), links, tools).map((command) =>
    command.kind === "exec" ? (command.stdin ?? command.argv.join(" ")) : `${command.key}=${command.value}`,
  );

const ensure = {
  op: "bridge.ensure",
  instance: "abcde",
  bridge: "bgr-abcde",
  subnet: "10.77.5.0/24",
  gateway: "10.77.5.1",
};
const create = { op: "tap.create", instance: "abcde", tap: "bgr-abcde-2", bridge: "bgr-abcde", ownerUid: 1000 };

describe("commandFor", () => {
  test("a bridge that is as it should be needs nothing", () => {
    expect(inputs(ensure, [link("bgr-abcde", { addresses: ["10.77.5.1/24"] })])).toEqual([]);
  });

  test("a bridge with another address or down is mended", () => {
    const seen = link("bgr-abcde", { addresses: ["10.1.1.1/24"], isUp: false });
    expect(inputs(ensure, [seen])).toEqual([
      "address flush dev bgr-abcde scope global\naddress add 10.77.5.1/24 dev bgr-abcde\nlink set dev bgr-abcde up\n",
    ]);
  });

  test("a link has our mark before anything else can be done to it, and no IPv6 before it is up", () => {
    const [made = "", noIpv6, up] = inputs(ensure);
    expect(made.split("\n")[0]).toStartWith("link add name bgr-abcde address 02:");
    expect(made.split("\n")[1]).toBe(`link set dev bgr-abcde alias banger:abcde group ${groupOf("abcde")}`);
    expect([noIpv6, up]).toEqual(["net/ipv6/conf/bgr-abcde/disable_ipv6=1", "link set dev bgr-abcde up\n"]);
  });

  test("a tap that a VMM holds is not taken from it, and an idle one is made anew", () => {
    const bridge = link("bgr-abcde");
    expect(() => inputs(create, [bridge, link("bgr-abcde-2", { hasCarrier: true })])).toThrow(BangerError);
    expect(inputs(create, [bridge, link("bgr-abcde-2")])[0]).toStartWith("link delete dev bgr-abcde-2\ntuntap add");
  });

  test("the last tap takes bridge and tables with it; one of several goes alone", () => {
    const release = { op: "net.release", instance: "abcde", bridge: "bgr-abcde", tap: "bgr-abcde-2" };
    const both = [link("bgr-abcde"), link("bgr-abcde-2", { master: "bgr-abcde" })];
    const [links, tables] = inputs(release, both);
    expect(links).toBe("link delete dev bgr-abcde-2\nlink delete dev bgr-abcde\n");
    expect(tables).toContain("delete table inet bgr-abcde");
    expect(inputs(release, [...both, link("bgr-abcde-3")])).toEqual(["link delete dev bgr-abcde-2\n"]);
    expect(inputs(release, [])).toEqual([renderNftDelete("abcde")]);
  });

  test("bridge and last tap go at once as a group, unless something else is in it", () => {
    const release = { op: "net.release", instance: "abcde", bridge: "bgr-abcde", tap: "bgr-abcde-2" };
    const group = groupOf("abcde");
    const both = [link("bgr-abcde", { group }), link("bgr-abcde-2", { group, master: "bgr-abcde" })];
    expect(inputs(release, both)[0]).toBe(`link delete group ${group}\n`);
    const foreign = link("eth7", { group, alias: null });
    expect(inputs(release, [...both, foreign])[0]).toBe("link delete dev bgr-abcde-2\nlink delete dev bgr-abcde\n");
    expect(inputs(release, both.slice(0, 1))[0]).toBe("link delete dev bgr-abcde\n");
    expect([groupOf("abcde"), groupOf("abcdf")].map(Number).every((one) => one >= 2 ** 30 && one < 2 ** 31)).toBe(true);
    expect(groupOf("abcde")).not.toBe(groupOf("abcdf"));
  });

  test("tables go while links do, unless something is connected: that stays within the rules until it is not", () => {
    const release = { op: "net.release" as const, instance: "abcde", bridge: "bgr-abcde", tap: "bgr-abcde-2" };
    const isBeside = (hasCarrier: boolean) => {
      const [, tables] = commandFor(release, [link("bgr-abcde"), link("bgr-abcde-2", { hasCarrier })], tools);
      return tables?.kind === "exec" && tables.isBeside === true;
    };
    expect([isBeside(false), isBeside(true)]).toEqual([true, false]);
  });

  test("rules for nobody are no rules, unless there is a tap that must be kept silent", () => {
    const apply = { ...ensure, op: "nft.apply", resolverPort: null, members: [] };
    expect(inputs(apply, [link("bgr-abcde")])).toEqual([renderNftDelete("abcde")]);
    expect(inputs(apply, [link("bgr-abcde"), link("bgr-abcde-2")])[0]).toContain('iifname "bgr-abcde-*" drop');
  });

  test("forwarding is written only where it is off", () => {
    expect(commandFor({ op: "sysctl.forward", instance: "abcde" }, [], tools)).toEqual([
      { kind: "sysctl", key: "net/ipv4/ip_forward", value: "1", isOptional: false, onlyIf: "0" },
    ]);
  });
});

describe("rules", () => {
  const members = [{ tap: "bgr-abcde-2", mac: "02:00:00:00:00:02", address: "10.77.5.2" }];
  const op = { ...ensure, op: "nft.apply" as const, resolverPort: 5300, members };

  test("no table but the instance's own two is named", () => {
    for (const text of [renderNft(op), renderNftDelete("abcde")]) {
      const names = [...text.matchAll(/table (\w+) (\S+)/g)].map(([, family, name]) => `${family} ${name}`);
      expect([...new Set(names)].sort()).toEqual(["bridge bgr-abcde", "inet bgr-abcde"]);
      expect(text).not.toContain("flush");
    }
  });

  test("without a resolver nothing is redirected and port 53 stays closed", () => {
    const text = renderNft({ ...op, resolverPort: null });
    expect(text).not.toContain("redirect");
    expect(text).not.toContain("dport");
  });

  test("a resolver on port 53 itself needs no redirection", () => {
    const text = renderNft({ ...op, resolverPort: 53 });
    expect(text).not.toContain("redirect");
    expect(text).toContain("udp dport 53 accept");
  });
});

describe("what the kernel shows", () => {
  test("only names of the instance are in its inventory", () => {
    const rows = ["lo", "bgr-abcde", "bgr-abcde-2", "bgr-abcdf", "bgr-abcdef-1"].map((ifname) => ({ ifname }));
    const tables = [{ table: { family: "inet", name: "bgr-abcde" } }, { table: { family: "ip", name: "filter" } }];
    const links = parseLinks(JSON.stringify(rows));
    const seen = parseTables(JSON.stringify({ nftables: [{ metainfo: {} }, ...tables] }));
    expect(inventoryOf({ instance: "abcde", links, tables: seen, jails: ["0123456789ab"] })).toEqual({
      bridges: ["bgr-abcde"],
      taps: ["bgr-abcde-2"],
      tables: ["inet bgr-abcde"],
      jails: ["0123456789ab"],
    });
  });
});

describe("the helper's launch", () => {
  const owned = (path: string, more: Partial<PathComponent> = {}): PathComponent => ({
    path,
    uid: 0,
    mode: 0o755,
    isLink: false,
    ...more,
  });
  const good = ["/", "/usr", "/usr/local", "/usr/local/lib", "/usr/local/lib/banger", INSTALLED_HELPER].map((path) =>
    owned(path),
  );
  const own = { argv: ["/home/ada/banger/build/banger"], argv0: "banger-root" };
  const facts = { uid: 1000, own, installed: good, sudo: "/usr/bin/sudo" };

  test("root starts what it runs already", () => {
    expect(planRootLaunch({ ...facts, uid: 0, installed: null, sudo: null })).toEqual({ kind: "launch", ...own });
  });

  test("a user starts the root-owned copy through sudo, never their own executable", () => {
    expect(planRootLaunch(facts)).toEqual({
      kind: "launch",
      argv: ["/usr/bin/sudo", "-n", "--", INSTALLED_HELPER],
      argv0: null,
    });
    expect(planRootLaunch({ ...facts, installed: null }).kind).toBe("refusal");
    expect(planRootLaunch({ ...facts, sudo: null }).kind).toBe("refusal");
  });

  test("a copy that anyone else could replace is refused, through whichever directory", () => {
    for (let at = 0; at < good.length; at += 1) {
      for (const flaw of [{ uid: 1000 }, { mode: 0o775 }, { mode: 0o757 }, { isLink: true }]) {
        const installed = good.map((component, index) => (index === at ? { ...component, ...flaw } : component));
        expect(findWeakness(installed)).toContain(good[at]?.path ?? "?");
        expect(planRootLaunch({ ...facts, installed }).kind).toBe("refusal");
      }
    }
  });
});

describe("set-up", () => {
  const facts = {
    user: "ada",
    uid: 1000,
    executable: "/home/ada/banger",
    executableHash: "a",
    installedHash: "a",
    weakness: null,
    sudoers: renderSudoers({ user: "ada", uid: 1000 }),
  };

  test("nothing is planned when all is as it should be, nor for root", () => {
    expect(planSetup(facts)).toEqual([]);
    expect(planSetup({ ...facts, uid: 0, installedHash: null, sudoers: null })).toEqual([]);
  });

  test("a missing, old or untrustworthy helper is installed, and a missing or changed line is written", () => {
    const kinds = (more: object) => planSetup({ ...facts, ...more }).map(({ kind }) => kind);
    expect(kinds({ installedHash: null, sudoers: null })).toEqual(["install-helper", "write-sudoers"]);
    expect(kinds({ installedHash: "b" })).toEqual(["install-helper"]);
    expect(kinds({ weakness: "it belongs to ada" })).toEqual(["install-helper"]);
    const jail = { from: "/home/ada/banger-jail", hash: "c", installedHash: "c", weakness: null };
    expect(kinds({ jail })).toEqual([]);
    expect(kinds({ jail: { ...jail, installedHash: null } })).toEqual(["install-helper"]);
    expect(kinds({ jail: { ...jail, weakness: "it belongs to ada" } })).toEqual(["install-helper"]);
    expect(kinds({ sudoers: "ada ALL=(ALL) NOPASSWD: ALL\n" })).toEqual(["write-sudoers"]);
  });

  test("names that sudoers or sudoers.d would read otherwise are given by number", () => {
    expect(renderSudoers({ user: "ada l@corp,ALL", uid: 1001 })).toContain("\n#1001 ALL=(root)");
    expect(sudoersPathFor("ada.l", 1001)).toBe("/etc/sudoers.d/banger-1001");
  });

  const hasVisudo = Bun.file("/usr/sbin/visudo").size > 0;
  (hasVisudo ? test : test.skip)(`visudo accepts the file${hasVisudo ? "" : " (sudo is not installed)"}`, () => {
    const directory = mkdtempSync(`${tmpdir()}/bgr-`);
    for (const user of ["ada", "ada.l@corp"]) {
      writeFileSync(`${directory}/sudoers`, renderSudoers({ user, uid: 1001 }), { mode: 0o440, flag: "w" });
      expect(Bun.spawnSync(["/usr/sbin/visudo", "-cf", `${directory}/sudoers`]).stdout.toString()).toContain(
        "parsed OK",
      );
      rmSync(`${directory}/sudoers`);
    }
    rmSync(directory, { recursive: true });
  });
});

describe("facts", () => {
  test("nameservers are read in order, comments and other lines are not", () => {
    const text =
      "# nameserver 1.1.1.1\nsearch corp\nnameserver 192.0.2.53\n nameserver fe80::1%eth0 # local\nnameserver\noptions edns0\n";
    expect(parseResolvers(text)).toEqual(["192.0.2.53", "fe80::1%eth0"]);
  });

  test("a time zone is what follows zoneinfo in the link", () => {
    expect(parseZonePath("../usr/share/zoneinfo/Europe/Berlin")).toBe("Europe/Berlin");
    expect(parseZonePath("/usr/share/zoneinfo/posix/UTC")).toBe("UTC");
    expect(parseZonePath("/somewhere")).toBeNull();
  });

  test("proxies are known by either spelling, the lower-case one first, and never with control characters", () => {
    const env = {
      HTTP_PROXY: "http://upper",
      https_proxy: "http://lower",
      HTTPS_PROXY: "http://upper",
      no_proxy: "a\nb",
    };
    expect(parseProxy(env)).toEqual({ http_proxy: "http://upper", https_proxy: "http://lower" });
  });

  test("a user is found by uid, with a shell in any case", () => {
    const passwd = "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/home/ada:\n";
    expect(parseAccount(passwd, 1000)).toEqual({ userName: "ada", home: "/home/ada", shell: "/bin/sh" });
    expect(parseAccount(passwd, 100)).toBeNull();
  });
});
