// The host suite over the model and over Linux, in a network namespace that is thrown away.
import { test } from "bun:test";
import { rmSync } from "node:fs";
import { createRootClient } from "../../src/host/root-client.ts";
import { REGISTRY_DIR } from "../../src/host/root-registry.ts";
import { describeHost } from "../conformance/host.ts";
import { createFakeWorld } from "../fakes/fake-host.ts";
import { createNetLab, findLabObstacle } from "./net-lab.ts";

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
          for (const id of made.splice(0)) rmSync(`${REGISTRY_DIR}/${id}`, { force: true });
        },
      };
    },
    newId,
  );
} else {
  test.skip(`Linux (${obstacle})`, () => {});
}
