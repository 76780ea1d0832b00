// banger-dns-front, the program in front of the name server: what it remembers, when it forgets, and what becomes of names without it.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DnsServer, DnsServerOptions } from "../../src/dns/server.ts";
import { createDnsFront } from "../../src/host/dns-front.ts";
import { ask, askUdp, headerOf, opt, question, rawQuery, serve, until, zoneOf } from "./asking.ts";
import {
  boards,
  buildFront,
  createFront,
  frontObstacle,
  openFront,
  removeBoardsAfterAll,
  sanitizerObstacle,
} from "./built-front.ts";

removeBoardsAfterAll();
const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0)) await thing.close();
});

const serveFronted = async (options: Partial<DnsServerOptions> = {}): Promise<DnsServer> => {
  const server = await serve({ front: openFront(), ...options });
  open.push(server);
  return server;
};
const answer = async (server: DnsServer, query: Uint8Array): Promise<Uint8Array> =>
  (await askUdp(server.port, [query]))[0]!;

/** Processes of this very helper that listen for us: our children. */
const helpers = (executable: string): number[] =>
  readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter((pid) => pid !== "" && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(`${executable}\0`))
    .map(Number);

describe.skipIf(frontObstacle !== null)(
  `a server behind banger-dns-front${frontObstacle ? `: ${frontObstacle}` : ""}`,
  () => {
    test("answers the second time as the first, but for the id, and counts both", async () => {
      const server = await serveFronted();
      const query = (id: number) => rawQuery({ id, questions: [question("hello.vm")], additionals: [opt()] });
      const first = await answer(server, query(0x0101));
      const second = await answer(server, query(0xfefe));
      expect(headerOf(second).id).toBe(0xfefe);
      expect(second.subarray(2)).toEqual(first.subarray(2));
      await answer(server, ask("nobody.vm"));
      await answer(server, ask("nobody.vm"));
      expect(server.stats()).toMatchObject({ udpQueries: 4, dropped: 0, rcodes: { 0: 2, 3: 2 } });
    });

    test("keeps each client's spelling", async () => {
      const server = await serveFronted();
      for (const name of ["hello.vm", "HELLO.vm", "hElLo.Vm", "hello.vm"]) {
        const query = ask(name);
        const bytes = await answer(server, query);
        expect(bytes.subarray(12, query.length)).toEqual(query.subarray(12));
        expect(headerOf(bytes).rcode).toBe(0);
      }
    });

    test("says nothing of an old zone once it was told of the new one", async () => {
      let zone = zoneOf();
      const server = await serveFronted({ zone: () => zone });
      for (let round = 0; round < 50; round++) {
        const isThere = round % 2 === 0;
        zone = zoneOf(isThere ? {} : { hosts: [] });
        server.zoneChanged();
        expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(isThere ? 0 : 3);
        expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(isThere ? 0 : 3);
      }
    });

    test("answers more kinds of queries than it can remember", async () => {
      const server = await serveFronted();
      for (let round = 0; round < 2; round++) {
        for (let at = 0; at < 12_000; at += 50) {
          const queries = Array.from({ length: 50 }, (_, index) =>
            rawQuery({ id: index, questions: [question(`n${at + index}.wild.vm`)] }),
          );
          const answers = await askUdp(server.port, queries);
          for (const bytes of answers) {
            const { id, rcode } = headerOf(bytes);
            expect(rcode).toBe(0);
            expect(bytes.subarray(12, queries[id]!.length)).toEqual(queries[id]!.subarray(12));
          }
        }
      }
    });

    test("goes on by itself when the program in front is killed", async () => {
      const said: string[] = [];
      const server = await serveFronted({ log: (line) => said.push(line) });
      await answer(server, ask("hello.vm"));
      await answer(server, ask("hello.vm"));
      const { port } = server;
      for (const pid of helpers(buildFront())) process.kill(pid, "SIGKILL");
      await until(() => said.some((line) => line.includes("banger-dns-front is not used any more")));
      await until(() => server.udpError === null);
      expect(server.port).toBe(port);
      expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(0);
      expect(server.stats()).toMatchObject({ udpQueries: 3, rcodes: { 0: 3 } });
      expect(helpers(buildFront())).toEqual([]);
    });

    test("leaves no process and no file", async () => {
      const server = await serveFronted();
      expect(helpers(buildFront())).toHaveLength(1);
      expect(readdirSync(boards).filter((name) => name.startsWith("dns-"))).toEqual([]);
      await server.close();
      await until(() => helpers(buildFront()).length === 0);
    });

    test("ends when whoever started it is killed, and the port is free", async () => {
      const script = join(import.meta.dir, "front-inside.ts");
      const child = Bun.spawn([process.execPath, script, buildFront(), boards], { stdout: "pipe" });
      const reader = child.stdout.getReader();
      const { value } = await reader.read();
      const [port = 0, pid = 0] = new TextDecoder().decode(value).trim().split(" ").map(Number);
      expect(headerOf((await askUdp(port, [ask("hello.vm")]))[0]!).rcode).toBe(0);
      child.kill("SIGKILL");
      await child.exited;
      await until(() => !isRunning(pid));
      const server = await serveFronted({ listen: { host: "127.0.0.1", port } });
      expect([server.port, server.udpError]).toEqual([port, null]);
    });
  },
);

const isRunning = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
};

test("a server whose program in front is missing answers all the same, and says why", async () => {
  const said: string[] = [];
  const front = createFront("/nonexistent/banger-dns-front");
  const server = await serveFronted({ front, log: (line) => said.push(line) });
  expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(0);
  expect(said.join("\n")).toContain("names are answered without it");
  expect(readdirSync(boards).filter((name) => name.startsWith("dns-"))).toEqual([]);
});

test("what it shares with the daemon has its place from the beginning, so that a full disk cannot end both", async () => {
  // Only where files live in memory is a page without a place met by a SIGBUS.
  const directory = mkdtempSync("/dev/shm/bgr-front-");
  open.push({ close: () => rmSync(directory, { recursive: true, force: true }) });
  const looking = join(directory, "looking");
  writeFileSync(looking, `#!/bin/sh\nstat -c %b "$3" >${directory}/blocks\n`, { mode: 0o700 });
  const front = createDnsFront({ helper: looking, directory });
  const asked = front({ host: "127.0.0.1", port: 0, answer: () => null, onEnd: () => {} });
  expect(await asked.catch((error: Error) => error.name)).toBe("BangerError");
  expect(Number(readFileSync(join(directory, "blocks"), "utf8"))).toBeGreaterThan(0);
});

test("one that says nothing is given up, and names are answered without it", async () => {
  const said: string[] = [];
  const mute = join(boards, "mute");
  mkdirSync(boards, { recursive: true });
  writeFileSync(mute, "#!/bin/sh\nexec sleep 600\n", { mode: 0o700 });
  const front = createFront(mute);
  const server = await serveFronted({ front, log: (line) => said.push(line) });
  expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(0);
  expect(said.join("\n")).toContain("names are answered without it");
}, 20_000);

test.skipIf(frontObstacle !== null)("it is not for people: a line that makes no sense is its usage", () => {
  for (const line of [[], ["127.0.0.1"], ["::1", "53", "/x"], ["127.0.0.1", "65536", "/x"], ["127.0.0.1", "x", "/x"]]) {
    const { exitCode, stderr } = Bun.spawnSync([buildFront(), ...line], { stderr: "pipe" });
    expect([line, exitCode, stderr.toString().slice(0, 6)]).toEqual([line, 2, "usage:"]);
  }
});

describe.skipIf(sanitizerObstacle() !== null)(
  `under sanitizers${sanitizerObstacle() ? `: ${sanitizerObstacle()}` : ""}`,
  () => {
    test("it takes packets of every length and content, and goes on", async () => {
      const server = await serveFronted({ front: openFront("sanitized") });
      const random = (limit: number) => Math.floor(Math.random() * limit);
      for (let round = 0; round < 100; round++) {
        const packets = Array.from({ length: 40 }, () => {
          const packet = crypto.getRandomValues(new Uint8Array(random(8) === 0 ? random(6000) : random(200)));
          if (random(2) === 0) packet.set(ask("hello.vm").subarray(0, packet.length));
          return packet;
        });
        const sentinel = rawQuery({ id: 0xbeef, questions: [question("ns.vm")] });
        const answers = await askUdp(server.port, [...packets, sentinel], 1);
        expect(answers.length).toBeGreaterThan(0);
      }
      expect(headerOf(await answer(server, ask("hello.vm"))).rcode).toBe(0);
      expect(helpers(buildFront("sanitized"))).toHaveLength(1);
    });
  },
);
