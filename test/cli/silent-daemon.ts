// Run as a program by client.test.ts: a daemon that says nothing for longer than the runtime's own patience, and what becomes of three calls.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callOnce } from "../../src/client/wire.ts";

const dir = mkdtempSync(join(tmpdir(), "bgr-cli-"));
const socket = join(dir, "silent.sock");
const { promise: released, resolve: release } = Promise.withResolvers<void>();

/** Answers only when it is released: `quiet` not even begins, `events` begins a stream and is silent in it. */
const answer = async (request: Request): Promise<Response> => {
  const { method } = (await request.json()) as { method: string };
  const result = `${JSON.stringify({ jsonrpc: "2.0", id: 1, result: method })}\n`;
  if (method === "quiet") await released;
  if (method !== "events") return new Response(result);
  const body = new ReadableStream<string>({
    start: async (controller) => {
      controller.enqueue('{"method":"$/event","params":{}}\n');
      await released;
      controller.enqueue(result);
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "application/x-ndjson" } });
};

const server = Bun.serve({ unix: socket, idleTimeout: 0, fetch: answer } as never);
const calls = ["quiet", "events"].map((method) => callOnce({ socket, method, params: {} }));
// A call without any care shows that the runtime's patience has ended by now.
const careless = await fetch("http://bangerd/rpc", { unix: socket, method: "POST", body: '{"method":"quiet"}' }).then(
  () => "answered",
  (error: Error) => error.name,
);
release();
console.log(JSON.stringify([careless, ...(await Promise.allSettled(calls)).map((one) => one.status)]));
await server.stop(true);
rmSync(dir, { recursive: true, force: true });
