// Meets a fake helper as the daemon would, and cleans up after each test.
import { afterEach } from "bun:test";
import { type ChannelChange, type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { type BangerError, hasCode } from "../../src/spec/errors.ts";
import { type Behaviour, type FakeHelper, type Peer, startFakeHelper } from "./fake-helper.ts";
import { until } from "./real-helper.ts";

const cleanUps: (() => void)[] = [];

/** Does this after the present test. */
export const afterThisTest = (clean: () => void): void => {
  cleanUps.push(clean);
};

afterEach(() => {
  for (const clean of cleanUps.splice(0)) clean();
});

export const meet = (behaviour: Behaviour): { helper: FakeHelper; channel: GuestChannel; changes: ChannelChange[] } => {
  const helper = startFakeHelper(behaviour);
  const channel = openGuestChannel(
    behaviour.vsockAnswer === undefined
      ? { kind: "stream-socket", path: helper.path }
      : { kind: "vsock-uds", path: helper.path, port: 42070 },
    { vm: "blue" },
  );
  afterThisTest(() => {
    channel.close();
    helper.stop();
  });
  const changes: ChannelChange[] = [];
  channel.onStateChange((change) => changes.push(change));
  return { helper, channel, changes };
};

export const failureOf = async (work: Promise<unknown>): Promise<BangerError> => {
  try {
    await work;
  } catch (error) {
    if (hasCode(error, (error as BangerError).code)) return error;
    throw error;
  }
  throw new Error("it did not fail");
};

export const firstFault = async (changes: ChannelChange[]): Promise<string> => {
  await until("the channel is lost", () => changes.some(({ error }) => error !== undefined));
  return changes.find(({ error }) => error !== undefined)?.error?.message ?? "";
};

export const rssMiB = (): number => process.memoryUsage.rss() / 2 ** 20;

/** Sends the same bytes for as long as the host takes them. */
export const flood = (peer: Peer, bytes: Uint8Array, pieces: number): void => {
  for (let i = 0; i < pieces; i++) peer.send(bytes);
};
