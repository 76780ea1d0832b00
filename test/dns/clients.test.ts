// The name server as the usual clients see it: dig, kdig and drill, over UDP and TCP.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseQuery } from "../../src/core/dns-query.ts";
import type { DnsServer } from "../../src/dns/server.ts";
import { serve } from "./asking.ts";

const packageOf = { dig: "bind9-dnsutils", kdig: "knot-dnsutils", drill: "ldnsutils" };

const run = async (command: string[]): Promise<string> => {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", stdin: "ignore", timeout: 10_000 });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return out + err;
};

let server: DnsServer;
beforeAll(async () => {
  server = await serve();
});
afterAll(() => server.close());

/** One spelling for the three: what to ask, over what. */
const command = (
  tool: string,
  { name, type = "A", tcp = false }: { name: string; type?: string; tcp?: boolean },
): string[] => {
  const port = String(server.port);
  if (tool === "drill") return ["drill", "-a", "-p", port, ...(tcp ? ["-t"] : []), "@127.0.0.1", name, type];
  return [tool, "@127.0.0.1", "-p", port, name, type, "+retry=0", "+time=3", ...(tcp ? ["+tcp"] : [])];
};

for (const tool of ["dig", "kdig", "drill"] as const) {
  const isThere = Bun.which(tool) !== null;
  describe.skipIf(!isThere)(`${tool}${isThere ? "" : ` (not installed: ${packageOf[tool]})`}`, () => {
    for (const tcp of [false, true]) {
      const by = tcp ? "TCP" : "UDP";
      test(`gets an address with authority and no complaint by ${by}`, async () => {
        const out = await run(command(tool, { name: "HeLLo.vm", tcp }));
        expect(out).toMatch(/hello\.vm\.\s+5\s+IN\s+A\s+10\.77\.5\.9/i);
        expect(out).toMatch(/(status: NOERROR|rcode: NOERROR)/);
        expect(out.toLowerCase()).toMatch(/flags: qr aa rd\b/);
        // "recursion requested but not available" is no complaint about the answer.
        expect(out).not.toMatch(/mismatch|malformed|bad packet|extra bytes|trailing/i);
      });
      test(`gets NXDOMAIN with the SOA by ${by}`, async () => {
        const out = await run(command(tool, { name: "nobody.vm", tcp }));
        expect(out).toContain("NXDOMAIN");
        expect(out).toMatch(/vm\.\s+5\s+IN\s+SOA\s+ns\.vm\. nobody\.invalid\. 7 3600 1200 604800 5/);
      });
      test(`gets a PTR and a refusal by ${by}`, async () => {
        expect(await run(command(tool, { name: "9.5.77.10.in-addr.arpa", type: "PTR", tcp }))).toMatch(
          /PTR\s+hello\.vm\./,
        );
        expect(await run(command(tool, { name: "example.com", tcp }))).toContain("REFUSED");
      });
    }
    test("comes back by TCP when the answer is truncated", async () => {
      const out = await run(command(tool, { name: "many.vm" }));
      expect(out.match(/many\.vm\.\s+5\s+IN\s+A\s+10\.77\.6\./g)).toHaveLength(100);
    });
  });
}

describe.skipIf(!Bun.which("dig"))("dig's odd queries (RFC 8906 §8)", () => {
  const dig = (...words: string[]) =>
    run(["dig", "@127.0.0.1", "-p", String(server.port), "+tries=1", "+time=3", ...words]);
  test("an EDNS version of 1 is BADVERS", async () => {
    const out = await dig("+edns=1", "+noednsneg", "hello.vm");
    expect(out).toContain("status: BADVERS");
    expect(out).toContain("EDNS: version: 0");
  });
  test("an unknown opcode with a bare header is NOTIMP", async () => {
    expect(await dig("+opcode=15", "+header-only", "+noedns", "+norec", "hello.vm")).toContain("status: NOTIMP");
  });
  test("a cookie, a subnet and an unknown option change nothing", async () => {
    for (const option of [
      "+cookie",
      "+subnet=0",
      "+subnet=192.0.2.0/24",
      "+ednsopt=100:0102",
      "+nsid",
      "+keepalive",
      "+padding=64",
    ]) {
      expect(await dig(option, "hello.vm")).toContain("10.77.5.9");
    }
  });
  test("a transfer is refused", async () => {
    expect(await dig("vm", "AXFR")).toMatch(/Transfer failed|REFUSED/);
  });
});

test("what dig sends by default is read with its EDNS", () => {
  // dig 9.18, captured: id, RD and AD, one question, OPT of 1232 with a cookie.
  const captured = "50e4012000010000000000010568656c6c6f02766d000001000100002904d000000000000c000a00081339d8dca3f0ef67";
  const parsed = parseQuery(Uint8Array.from(Buffer.from(captured, "hex")));
  expect(parsed).toMatchObject({
    kind: "query",
    frame: { edns: { payloadBytes: 1232, version: 0, isDnssecOk: false } },
  });
});
