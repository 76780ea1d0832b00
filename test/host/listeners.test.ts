// What listens on this machine, found with the process that holds it.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { readHostListeners, readHostSockets } from "../../src/host/listeners.ts";

test("a listener of ours is found with its address, process and name", async () => {
  const four = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const six = Bun.listen({ hostname: "::1", port: 0, socket: { data: () => undefined } });
  try {
    const found = await readHostListeners(new Set([four.port, six.port]));
    const process_ = readFileSync(`/proc/${process.pid}/comm`, "utf8").trim();
    const ours = { pid: process.pid, process: process_ };
    expect(found).toContainEqual({ address: "127.0.0.1", port: four.port, ...ours });
    expect(found).toContainEqual({ address: "::1", port: six.port, ...ours });
    expect(await readHostSockets()).toContainEqual({ address: "127.0.0.1", port: four.port });
  } finally {
    four.stop();
    six.stop();
  }
  expect(await readHostListeners(new Set([four.port]))).toEqual([]);
});
