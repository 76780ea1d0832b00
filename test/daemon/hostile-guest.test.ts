// A guest whose helper is hostile, beside an honest one in the same daemon: it harms its own row and nothing else.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { LiveVm } from "../../src/daemon/context.ts";
import { insideHandlers } from "../../src/daemon/handlers/inside.ts";
import { openGuestChannel } from "../../src/guest/channel.ts";
import { reportOf } from "../../src/spec/errors.ts";
import { renderFrame, renderSync } from "../../src/spec/guest/frames.ts";
import { FRAME } from "../../src/spec/guest/protocol.ts";
import { createInput, type Daemon, makeWorld, startDaemon } from "../crash/harness.ts";
import type { FakeWorld } from "../fakes/fake-host.ts";
import {
  type Behaviour,
  type FakeHelper,
  greet,
  sayHello,
  sayReady,
  startFakeHelper,
} from "../guest-channel/fake-helper.ts";
import { flood, rssMiB } from "../guest-channel/meet.ts";

const escapes = "\x1b]0;mine\x07\x1b[2J\x9b31m";
/** A header of a frame that would be a gigabyte long. */
const gigabyte = (() => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, 2 ** 30, true);
  bytes[6] = FRAME.ready;
  return bytes;
})();

const hostile: Readonly<Record<string, Behaviour>> = {
  floods: {
    onSync: (peer, nonce) => {
      greet(peer, nonce);
      flood(peer, renderFrame({ type: 250, payload: new Uint8Array(65_536) }), 500);
    },
  },
  silent: { onSync: () => {} },
  gigabyte: {
    onSync: (peer, nonce) => {
      peer.send(renderSync(nonce));
      sayHello(peer);
      peer.send(gigabyte);
    },
  },
  "no-utf8": {
    onSync: (peer, nonce) => {
      peer.send(renderSync(nonce));
      peer.send(renderFrame({ type: FRAME.hello, payload: Uint8Array.of(0x61, 0x3d, 0xff, 0xfe, 0) }));
    },
  },
  escapes: {
    onSync: (peer, nonce) => {
      peer.send(renderSync(nonce));
      sayHello(peer, { version: escapes, abilities: `ping,${escapes}` });
      sayReady(peer);
    },
  },
};

let world: FakeWorld;
let daemon: Daemon;
const helpers: FakeHelper[] = [];

beforeAll(async () => {
  world = makeWorld();
  daemon = await startDaemon(world);
  for (const name of ["good", ...Object.keys(hostile)]) {
    await daemon.vm["vm.create"]({ ...createInput(name), start: true } as never, daemon.call());
    const behaviour = hostile[name];
    if (behaviour === undefined) continue;
    const { id } = await daemon.vm["vm.show"]({ vm: name }, daemon.call() as never);
    const live = daemon.context.live.get(id) as LiveVm;
    live.channel.close();
    const helper = startFakeHelper(behaviour);
    helpers.push(helper);
    const channel = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: name });
    daemon.context.live.set(id, { ...live, channel });
  }
}, 60_000);

afterAll(() => {
  for (const { channel } of daemon.context.live.values()) channel.close();
  daemon.stop();
  for (const helper of helpers) helper.stop();
  world.close();
});

test("whatever a helper does, the others answer, no record changes, and nothing of it could steer a terminal", async () => {
  const inside = insideHandlers(daemon.context);
  const list = () => daemon.vm["vm.list"]({ label: {} }, daemon.call() as never);
  const ping = (vm: string) => inside["vm.ping"]({ vm }, daemon.call() as never);
  const before = { rows: (await list()).map(({ clock, ...rest }) => rest), rss: rssMiB() };

  const asked = Object.keys(hostile).map(
    async (vm) =>
      [
        vm,
        await ping(vm).then(
          ({ helperVersion }) => `answered by ${JSON.stringify(helperVersion)}`,
          (error) => reportOf(error).code,
        ),
      ] as const,
  );
  // Meanwhile the honest one is asked again and again.
  for (let count = 0; count < 20; count++) expect((await ping("good")).helperVersion).toBe("fake");
  const answers = Object.fromEntries(await Promise.all(asked));

  expect(answers).toMatchObject({
    silent: "guest.silent",
    gigabyte: "guest.protocol_error",
    "no-utf8": "guest.protocol_error",
  });
  expect(["guest.protocol_error", "guest.silent"]).toContain(answers.floods as string);
  expect(answers.escapes).toMatch(/^answered by "[^\p{Cc}]*"$/u);
  expect((await list()).map(({ clock, ...rest }) => rest)).toEqual(before.rows);
  const left = await Promise.all(
    Object.keys(hostile).map((vm) => inside["vm.activity"]({ vm, within: 200 }, daemon.call() as never)),
  );
  for (const activity of left) expect(activity).toMatchObject({ state: "running", sessions: null, jobs: null });
  expect(JSON.stringify([answers, left])).not.toMatch(/\\u001b|\\u009b|\\u0007/);
  expect(rssMiB() - before.rss).toBeLessThan(128);
}, 60_000);
