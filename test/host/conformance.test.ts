// The host suite over the model, over Linux in a network namespace that is thrown away, and over the namespaces of an instance without root.
import { afterAll, test } from "bun:test";
import { join } from "node:path";
import { createRootClient } from "../../src/host/root-client.ts";
import { describeHost } from "../conformance/host.ts";
import { createFakeWorld } from "../fakes/fake-host.ts";
import { buildHolder, openHolder, removeInstances } from "./built-holder.ts";
import { createNetLab, findLabObstacle } from "./net-lab.ts";
import { forgetInstances } from "./registry.ts";

// What a thrown-away namespace held is still registered on the host when the suite runs as root: taken out by these names.
const made: string[] = [];
const newId = () => {
  const id = `t${Math.random().toString(36).slice(2, 6).padEnd(4, "0")}`;
  made.push(id);
  return id;
};

describeHost(
  "the model",
  async () => {
    const world = createFakeWorld();
    return {
      root: world.host().root,
      uid: world.facts.uid,
      addForeignLink: (name, { kind, master }) =>
        void world.network.links.set(name, {
          kind,
          alias: null,
          master: master ?? null,
          address: null,
          ownerUid: null,
        }),
      hasLink: (name) => world.network.links.has(name),
      close: async () => world.close(),
    };
  },
  newId,
);

const obstacle = findLabObstacle();
if (obstacle === null) {
  describeHost(
    "Linux",
    async () => {
      const lab = await createNetLab();
      const root = createRootClient({ planLaunch: () => lab.rootLaunch, privLog: () => {} });
      return {
        root,
        uid: 0,
        addForeignLink(name, { kind, master }) {
          if (kind === "bridge") lab.host.run(["ip", "link", "add", name, "type", "bridge"]);
          else lab.host.run(["ip", "tuntap", "add", name, "mode", "tap"]);
          if (master) lab.host.run(["ip", "link", "set", name, "master", master]);
        },
        hasLink: (name) => lab.host.tries(["ip", "link", "show", name]),
        async close() {
          await root.close();
          await lab.close();
          forgetInstances(made.splice(0));
        },
      };
    },
    newId,
  );
} else {
  test.skip(`Linux (${obstacle})`, () => {});
}

const HELPER = join(import.meta.dir, "../fakes/root-entry.ts");
afterAll(removeInstances);

const shipped = buildHolder();
if ("executable" in shipped) {
  const { executable } = shipped;
  describeHost(
    "the namespaces of an instance, by its holder",
    async () => {
      const { holder, close } = await openHolder(executable);
      const inside = (argv: readonly string[]) =>
        Bun.spawnSync([...holder.enterArgv(), ...argv], { stdout: "ignore", stderr: "pipe" });
      const run = (...argv: string[]) => {
        const done = inside(argv);
        if (!done.success) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
      };
      const root = createRootClient({
        planLaunch: () => ({ kind: "launch", argv: [...holder.enterArgv(), process.execPath, HELPER], argv0: null }),
        privLog: () => {},
      });
      return {
        root,
        // Inside, the user is root.
        uid: 0,
        addForeignLink(name, { kind, master }) {
          if (kind === "bridge") run("/sbin/ip", "link", "add", name, "type", "bridge");
          else run("/sbin/ip", "tuntap", "add", name, "mode", "tap");
          if (master) run("/sbin/ip", "link", "set", name, "master", master);
        },
        hasLink: (name) => inside(["/sbin/ip", "link", "show", name]).success,
        async close() {
          await root.close();
          close();
          forgetInstances(made.splice(0));
        },
      };
    },
    newId,
  );
} else {
  test.skip(`the namespaces of an instance, by its holder (${shipped.obstacle})`, () => {});
}
