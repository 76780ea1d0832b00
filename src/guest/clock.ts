// Sets a guest's clock by what its helper can run: nothing but a shell and date(1), so that every image can do it.
import { fail } from "../spec/errors.ts";
import { EXEC, execFields } from "../spec/guest/exec.ts";
import { createMessageReader } from "../spec/guest/messages.ts";
import type { GuestChannel } from "./channel.ts";
import { printable } from "./printable.ts";

/** Moves the clock by `$1` nanoseconds. It is moved rather than set, so that the way there is no part of the error. */
export const MOVE_CLOCK =
  "t=$(($(date +%s%N) + $1)); " + 'exec date -s "@$((t / 1000000000)).$(printf %09d $((t % 1000000000)))"';
/** What lies between reading and setting is measured and moved by, too: so often at most. */
const ROUNDS_MAX = 3;
const GOOD_ENOUGH_MS = 20;
const SAID_MAX = 200;

/** Runs it and waits for its end. Errors: guest.refused, guest.channel_lost, operation.timeout. */
const move = async (channel: GuestChannel, given: { vm: string; byMs: number; timeoutMs: number }): Promise<void> => {
  const { vm, byMs, timeoutMs } = given;
  const argv = ["/bin/sh", "-c", MOVE_CLOCK, "sh", String(Math.round(byMs * 1_000_000))];
  const stream = await channel.open("exec", execFields({ argv, user: "root", env: { LC_ALL: "C" } }));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stream.abort("too late");
  }, timeoutMs);
  let said = "";
  let code: number | null = null;
  try {
    const reader = createMessageReader();
    for await (const bytes of stream.readable) {
      const messages = reader.push(bytes);
      if (messages === null) throw fail("guest.protocol_error", { vm, detail: "a message beyond all measure" });
      for (const { tag, bytes: payload } of messages) {
        if (tag === EXEC.stderr) said = (said + Buffer.from(payload).toString()).slice(0, SAID_MAX);
        if (tag === EXEC.exit) code = payload[0] ?? null;
      }
    }
  } catch (error) {
    throw isLate ? fail("operation.timeout", { operation: `Setting the clock of ${vm}`, waitedMs: timeoutMs }) : error;
  } finally {
    clearTimeout(timer);
    stream.abort("done");
  }
  if (code !== 0) throw fail("guest.refused", { vm, detail: `its clock was not set: ${printable(said).trim()}` });
};

/**
 * Brings a guest's clock to the host's and answers what is left of the skew.
 * Errors: guest.refused, guest.channel_lost, guest.not_ready, operation.timeout.
 */
export const setGuestClock = async (
  channel: GuestChannel,
  given: { vm: string; timeoutMs: number },
): Promise<{ wasMs: number; skewMs: number }> => {
  const { vm, timeoutMs } = given;
  const measure = async () => (await channel.ping({ timeoutMs })).clockSkewMs;
  const wasMs = await measure();
  let skewMs = wasMs;
  let lagMs = 0;
  for (let round = 0; round < ROUNDS_MAX && (round === 0 || Math.abs(skewMs) > GOOD_ENOUGH_MS); round++) {
    await move(channel, { vm, byMs: lagMs - skewMs, timeoutMs });
    skewMs = await measure();
    // Behind after having been set right: that long it took from reading to setting.
    lagMs = Math.max(0, lagMs - skewMs);
  }
  return { wasMs, skewMs };
};
