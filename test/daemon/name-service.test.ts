// The daemon's name service by itself: what it opens for guests is opened once, and closed again.
import { afterEach, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { resolveConfig } from "../../src/core/config.ts";
import { type NameService, openNameService } from "../../src/daemon/names.ts";
import { until } from "../vm/processes.ts";

const open: NameService[] = [];
afterEach(async () => {
  for (const names of open.splice(0)) await names.close();
});

const quiet = { info: () => {}, warn: () => {}, error: () => {} };

const openOne = async (): Promise<{ names: NameService; announced: (number | null)[] }> => {
  const announced: (number | null)[] = [];
  const { config } = resolveConfig({ flags: { "dns.port": "0" } });
  const names = await openNameService({
    config: () => config,
    network: { setResolverPort: async ({ port }) => void announced.push(port) },
    bindInside: async () => null,
    subnet: () => null,
    loopback: () => null,
    readSetup: () => null,
    log: quiet,
  });
  open.push(names);
  return { names, announced };
};

const countSockets = (): number => {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // That of the directory itself.
      return "";
    }
  });
  return links.filter((link) => link.startsWith("socket:")).length;
};

/** A closed socket may take a turn of the loop to go. */
const untilBack = (before: number) => until("its sockets are gone", async () => countSockets() <= before);

const place = { mode: "bridge", gateway: "127.0.0.1" } as const;

test("VMs that start side by side share one server for guests, and nothing of it is left when they are gone", async () => {
  const { names, announced } = await openOne();
  const before = countSockets();
  await Promise.all(["one", "two", "three"].map((by) => names.serveGuests(place, by)));
  // One for UDP, one for TCP.
  expect(countSockets() - before).toBe(2);
  const served = names.details().listeners.at(-1)?.port ?? null;
  expect(new Set(announced)).toEqual(new Set([served]));
  await names.dismissGuests("bridge");
  await untilBack(before);
});

test("one that is dismissed while it is opened is gone, too", async () => {
  const { names } = await openOne();
  const before = countSockets();
  await Promise.all([names.serveGuests(place, "one"), names.dismissGuests("bridge")]);
  expect(names.details().listeners).toHaveLength(1);
  await untilBack(before);
});
