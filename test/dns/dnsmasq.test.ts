// A real dnsmasq that reads what `banger dns setup` wrote: names of VMs go to the name server, and no other ever does.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { planDnsSetup } from "../../src/core/dns-setup.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import { runDnsSetup, undoDnsSetup } from "../../src/host/dns-setup.ts";
import { serve } from "./asking.ts";
import { closeAll, upstream } from "./resolver.ts";

const isThere = Bun.which("dnsmasq") !== null && Bun.which("dig") !== null;

describe.skipIf(!isThere)(`dnsmasq${isThere ? "" : " (not installed: dnsmasq-base, bind9-dnsutils)"}`, () => {
  let root: string;
  let server: DnsServer;
  let internet: Awaited<ReturnType<typeof upstream>>;
  let running: Bun.Subprocess | null = null;
  let port = 0;

  const stop = async () => {
    running?.kill();
    await running?.exited;
    running = null;
  };

  const dig = async (...words: string[]): Promise<string> => {
    const line = ["dig", "@127.0.0.1", "-p", String(port), "+time=10", "+tries=3", ...words];
    const child = Bun.spawn(line, { stdin: "ignore", stdout: "pipe", stderr: "ignore", timeout: 60_000 });
    const out = await child.stdout.text();
    await child.exited;
    return out;
  };
  const askedOutside = (name: string) =>
    internet.seen.some(({ query }) => Buffer.from(query).toString("latin1").includes(name));

  /** What an init system would do; a port that somebody took in between is left to them. */
  const restart = async () => {
    await stop();
    for (let tries = 0; tries < 10; tries++) {
      const probe = await serve();
      port = probe.port;
      await probe.close();
      const argv = [
        "dnsmasq",
        "-k",
        "-C",
        "/dev/null",
        `--conf-dir=${join(root, "etc/dnsmasq.d")}`,
        "-p",
        String(port),
      ];
      argv.push("-a", "127.0.0.1", "-z", "-R", "-h", "-c", "0", "--stop-dns-rebind");
      if (process.getuid?.() === 0) argv.push("-u", "root");
      argv.push("-x", "", "-S", `127.0.0.1#${internet.port}`);
      const child = Bun.spawn(argv, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
      running = child;
      // It answers for itself without asking anybody.
      while (child.exitCode === null) {
        if ((await dig("+short", "version.bind", "CH", "TXT")).includes("dnsmasq")) return;
      }
    }
    throw new Error("dnsmasq does not start");
  };

  const place = () => ({
    root,
    run: async (argv: readonly string[]) => {
      expect(argv).toEqual(["systemctl", "restart", "dnsmasq.service"]);
      await restart();
    },
  });

  beforeAll(async () => {
    root = mkdtempSync("/tmp/bgr-dnsmasq-");
    mkdirSync(join(root, "etc/dnsmasq.d"), { recursive: true });
    mkdirSync(join(root, "var/lib"), { recursive: true });
    server = await serve();
    internet = await upstream((query) => {
      const answer = query.slice();
      answer[2] = 0x81;
      answer[3] = 0x83;
      return [answer];
    });
    await restart();
  }, 120_000);
  afterAll(async () => {
    await stop();
    await server?.close();
    await closeAll();
    rmSync(root, { recursive: true, force: true });
  });

  test("finds VMs after setup, asks nothing else of the name server, and finds none after undo", async () => {
    expect(await dig("hello.vm")).toContain("NXDOMAIN");
    expect(askedOutside("hello")).toBe(true);

    const setup = planDnsSetup({ kind: "dnsmasq", zone: "vm", server: `127.0.0.1:${server.port}` });
    await runDnsSetup(setup, place());
    expect(await dig("+short", "hello.vm")).toBe("10.77.5.9\n");
    expect(await dig("+short", "+tcp", "HELLO.vm")).toBe("10.77.5.9\n");
    expect((await dig("+short", "many.vm")).trim().split("\n").length).toBe(100);
    expect(await dig("none.vm")).toContain("NXDOMAIN");
    expect(await dig("hello.vm", "AAAA")).toMatch(/NOERROR[\s\S]*ANSWER: 0/);
    expect(await dig("www.example.org")).toContain("NXDOMAIN");
    expect(askedOutside("none")).toBe(false);
    expect(askedOutside("example")).toBe(true);
    expect(server.stats().rcodes[5] ?? 0).toBe(0);

    expect(await undoDnsSetup(place())).toBe(true);
    expect(await dig("hello.vm")).toContain("NXDOMAIN");
  }, 180_000);
});
