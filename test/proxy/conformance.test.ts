// What banger-proxy does with connections and with its control socket, as shipped and under sanitizers.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import { type ProxyRoute, proxies } from "../../src/host/proxy.ts";
import { identifyProcess, proveProcess } from "../../src/host/shim.ts";
import { sanitizerObstacle, shippedObstacle } from "../native.ts";
import { untilGone } from "../vm/processes.ts";
import { buildFuzz, buildProxy, directory, type RunningProxy, removeBuilt, startProxy } from "./built-proxy.ts";

const PATIENCE_MS = 120_000;
const builds = [
  { kind: "shipped", obstacle: shippedObstacle },
  { kind: "sanitized", obstacle: sanitizerObstacle() },
] as const;

/** A server of the test; half-open connections are its own affair. */
const serve = async (onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port };
};

/** A port that was free a moment ago. */
const freePort = async (): Promise<number> => {
  const { server, port } = await serve(() => {});
  await new Promise((resolve) => server.close(resolve));
  return port;
};

const connect = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true }, () => resolve(socket));
    socket.once("error", reject);
  });

const ended = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("end", () => socket.end());
    socket.resume();
  });

/** To its end; iterating over a socket would destroy it there. */
const readAll = (socket: Socket): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on("end", () => resolve(Buffer.concat(chunks)));
    socket.on("error", reject);
  });

const next = (socket: Socket): Promise<string> =>
  new Promise((resolve) => socket.once("data", (bytes) => resolve(bytes.toString())));

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

for (const { kind, obstacle } of builds) {
  describe.skipIf(obstacle !== null)(
    `banger-proxy, ${kind}${obstacle === null ? "" : ` (skipped: ${obstacle})`}`,
    () => {
      let proxyPath: string;
      const running: RunningProxy[] = [];
      const servers: Server[] = [];

      beforeAll(() => {
        proxyPath = buildProxy(kind);
      }, PATIENCE_MS);
      afterEach(async () => {
        for (const proxy of running.splice(0)) await proxy.stop();
        for (const server of servers.splice(0)) server.close();
      });

      const start = async (...options: string[]): Promise<RunningProxy> => {
        const proxy = await startProxy(proxyPath, options);
        running.push(proxy);
        return proxy;
      };
      /** A route to a server of the test, open on a port of its own. */
      const route = async (proxy: RunningProxy, onConnection: (socket: Socket) => void): Promise<ProxyRoute> => {
        const { server, port: targetPort } = await serve(onConnection);
        servers.push(server);
        const made = { address: "127.0.0.1", port: await freePort(), targetAddress: "127.0.0.1", targetPort };
        expect(await proxies.open(proxy.where, [made])).toEqual([null]);
        return made;
      };
      const echo = (socket: Socket) => void socket.pipe(socket);

      test(
        "large streams arrive whole in both directions, and an end of one is not an end of the other",
        async () => {
          const proxy = await start();
          const sent = randomBytes(8 * 1024 * 1024);
          const back = randomBytes(8 * 1024 * 1024);
          const received = Promise.withResolvers<string>();
          const { port } = await route(proxy, async (socket) => {
            // It answers only when the client has ended its side: half-closing is carried through.
            received.resolve(hashOf(await readAll(socket)));
            socket.end(back);
          });
          const client = await connect(port);
          client.end(sent);
          expect(hashOf(await readAll(client))).toBe(hashOf(back));
          expect(await received.promise).toBe(hashOf(sent));
        },
        PATIENCE_MS,
      );

      test(
        "two hundred connections at once are all served",
        async () => {
          const proxy = await start();
          const { port } = await route(proxy, echo);
          const clients = await Promise.all(Array.from({ length: 200 }, () => connect(port)));
          const answers = clients.map((client) => next(client));
          for (const [at, client] of clients.entries()) client.write(`hello ${at}`);
          expect(await Promise.all(answers)).toEqual(clients.map((_, at) => `hello ${at}`));
          expect((await proxies.hello(proxy.where))?.connections).toBe(200);
          const ends = clients.map(ended);
          for (const client of clients) client.end();
          await Promise.all(ends);
        },
        PATIENCE_MS,
      );

      test(
        "more than its bound wait until others have ended",
        async () => {
          const proxy = await start("--connections", "2");
          const { port } = await route(proxy, echo);
          const [one, two, three] = await Promise.all([connect(port), connect(port), connect(port)]);
          const served: string[] = [];
          for (const client of [one, two, three])
            client.on("data", (bytes) => {
              served.push(bytes.toString());
              client.end();
            });
          for (const client of [one, two, three]) client.write("x");
          await Promise.all([one, two, three].map(ended));
          expect(served).toEqual(["x", "x", "x"]);
        },
        PATIENCE_MS,
      );

      test(
        "a connection without a byte is ended after its time, and so is one that has ended on one side",
        async () => {
          const proxy = await start("--idle", "1", "--half-idle", "1");
          const silent = await route(proxy, () => {});
          await ended(await connect(silent.port));
          const half = await connect(silent.port);
          const over = ended(half);
          half.end();
          await over;
        },
        PATIENCE_MS,
      );

      test(
        "a reset of one side is one of the other; a target that nobody serves resets the client",
        async () => {
          const proxy = await start();
          const broken = Promise.withResolvers<void>();
          const { port } = await route(proxy, (socket) => {
            socket.resume();
            socket.on("close", () => broken.resolve());
            socket.write("ready");
          });
          const client = await connect(port);
          await next(client);
          client.resetAndDestroy();
          await broken.promise;
          const nowhere = {
            address: "127.0.0.1",
            port: await freePort(),
            targetAddress: "127.0.0.1",
            targetPort: await freePort(),
          };
          expect(await proxies.open(proxy.where, [nowhere])).toEqual([null]);
          // The kernel takes the connection for the proxy, whose reset may come before we have seen that.
          await connect(nowhere.port).then(ended, ({ code }) => expect(code).toBe("ECONNRESET"));
        },
        PATIENCE_MS,
      );

      test(
        "closing a port leaves its connections alone, dropping it ends them",
        async () => {
          const proxy = await start();
          const kept = await route(proxy, echo);
          const dropped = await route(proxy, echo);
          const [one, two] = await Promise.all([connect(kept.port), connect(dropped.port)]);
          const greetings = [next(one), next(two)];
          one.write("a");
          two.write("b");
          await Promise.all(greetings);
          expect(await proxies.list(proxy.where)).toEqual([kept, dropped]);
          const over = ended(two);
          await proxies.close(proxy.where, [kept], { drops: false });
          await proxies.close(proxy.where, [dropped], { drops: true });
          await over;
          const answer = next(one);
          one.write("still");
          expect(await answer).toBe("still");
          expect(await connect(kept.port).catch(() => "refused")).toBe("refused");
          expect(await proxies.list(proxy.where)).toEqual([]);
          one.destroy();
        },
        PATIENCE_MS,
      );

      test(
        "why a port cannot be opened is told apart",
        async () => {
          const proxy = await start();
          const { server, port } = await serve(() => {});
          servers.push(server);
          const to = { targetAddress: "127.0.0.1", targetPort: port };
          const [taken, foreign] = await proxies.open(proxy.where, [
            { address: "127.0.0.1", port, ...to },
            { address: "203.0.113.7", port: await freePort(), ...to },
          ]);
          expect(taken).toMatchObject({ code: "taken" });
          expect(foreign).toMatchObject({ code: "unavailable" });
          expect(await proxies.list(proxy.where)).toEqual([]);
        },
        PATIENCE_MS,
      );

      test(
        "what is no request is refused, and it goes on",
        async () => {
          const proxy = await start();
          const asked = ["", "open", "open 1.2.3.4 0 1.2.3.4 1", "close 127.0.0.1 1", "x".repeat(200), "hello there"];
          const { stdout } = Bun.spawnSync([proxyPath, "--ask", proxy.control], {
            stdin: Buffer.from(asked.map((line) => `${line}\n`).join("")),
          });
          const answers = stdout.toString().split("\n.\n").slice(0, -1);
          for (const answer of answers) expect(answer).toStartWith("error ");
          expect(await proxies.hello(proxy.where)).toMatchObject({ id: "vm1", listeners: 0 });
        },
        PATIENCE_MS,
      );

      test(
        "it is the process it says it is, and ends when it is told to, socket and all",
        async () => {
          const proxy = await start();
          const identity = await proxies.hello(proxy.where);
          if (!identity) throw new Error("it does not answer");
          expect(await identifyProcess(identity.pid)).toMatchObject({ startTicks: identity.startTicks });
          expect(await proveProcess(identity)).toBe("same");
          await proxies.quit(proxy.where);
          expect(await untilGone(identity.pid, PATIENCE_MS)).toBe(true);
          expect(existsSync(proxy.control)).toBe(false);
          expect(await proxies.hello(proxy.where)).toBeNull();
        },
        PATIENCE_MS,
      );

      test(
        "it ends with the process it is bound to, and refuses to be bound to another of the same number",
        async () => {
          const proxy = await start();
          const identity = await proxies.hello(proxy.where);
          const wrong = proxy.argv.with(2, `${proxy.control}-2`).with(6, "1");
          expect(proxy.run([...wrong]).exitCode).toBe(3);
          proxy.bound.kill("SIGKILL");
          expect(await untilGone(identity?.pid ?? 0, PATIENCE_MS)).toBe(true);
          expect(await proxies.list(proxy.where)).toBeNull();
        },
        PATIENCE_MS,
      );

      test(
        "a live control socket is left alone, a stale one is replaced",
        async () => {
          const proxy = await start();
          const second = proxy.run([...proxy.argv]);
          expect(second.exitCode).toBe(4);
          expect(second.stderr.toString()).toContain("another one answers");
          expect((await proxies.hello(proxy.where))?.id).toBe("vm1");
          const identity = await proxies.hello(proxy.where);
          process.kill(identity?.pid ?? 0, "SIGKILL");
          await untilGone(identity?.pid ?? 0, PATIENCE_MS);
          expect(existsSync(proxy.control)).toBe(true);
          expect(proxy.run([...proxy.argv]).exitCode).toBe(0);
          expect((await proxies.hello(proxy.where))?.id).toBe("vm1");
        },
        PATIENCE_MS,
      );

      if (kind === "shipped")
        test("it is small, at work too", async () => {
          const proxy = await start();
          const identity = await proxies.hello(proxy.where);
          expect(readFileSync(proxyPath).length).toBeLessThan(128 * 1024);
          const status = readFileSync(`/proc/${identity?.pid}/status`, "utf8");
          expect(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(2048);
        });
    },
  );
}

describe.skipIf(sanitizerObstacle() !== null)("the proxy's parser under sanitizers", () => {
  test(
    "mutated requests find nothing",
    () => {
      const fuzz = buildFuzz();
      writeFileSync(`${directory}/log`, "");
      for (const seed of ["1", "2", "3"]) {
        const { exitCode, stderr } = Bun.spawnSync([fuzz, seed, "50000"], { stderr: "pipe" });
        expect({ seed, exitCode, stderr: stderr.toString() }).toEqual({ seed, exitCode: 0, stderr: "" });
      }
    },
    PATIENCE_MS,
  );
});

afterAll(removeBuilt);
