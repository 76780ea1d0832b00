// Pairs what the helper is asked with what it answers: pings by their eight bytes, shutdowns by order.
import { fail } from "../spec/errors.ts";
import { parseFields, renderFields } from "../spec/guest/fields.ts";
import { type Frame, renderFrame } from "../spec/guest/frames.ts";
import { FRAME, type ShutdownKind } from "../spec/guest/protocol.ts";
import { printable } from "./printable.ts";

/** A round trip to the guest and the guest's clocks. */
export type Ping = {
  roundTripMs: number;
  /** The guest's real-time clock minus the host's; the host's moment is the middle of the round trip. */
  clockSkewMs: number;
  /** How long the guest has been up, suspended time included. */
  uptimeMs: number;
};

/** Asked and not answered in time is kept until the answer comes, so that it is not taken for another's. */
const OUTSTANDING_MAX = 64;

type Waiting<Answer> = { resolve: (answer: Answer) => void; reject: (error: Error) => void };

export type Requests = {
  ping(timeoutMs: number): Promise<Ping>;
  shutdown(how: ShutdownKind, timeoutMs: number): Promise<void>;
  /** Handles PONG and SHUTDOWN_ACK; returns what is wrong, or null. */
  frame(frame: Frame): string | null;
  lost(error: Error): void;
};

/** Errors: operation.timeout, guest.refused (too many at once, or the guest says no), and what `lost` is given. */
export const createRequests = (options: { vm: string; send: (bytes: Uint8Array) => void }): Requests => {
  const { vm, send } = options;
  const pings = new Map<bigint, { sentAtMs: number; waiting: Waiting<Ping> }>();
  const shutdowns: Waiting<void>[] = [];
  let lastPing = 0n;

  const ask = <Answer>(
    operation: string,
    timeoutMs: number,
    begin: (waiting: Waiting<Answer>) => void,
  ): Promise<Answer> => {
    if (pings.size + shutdowns.length >= OUTSTANDING_MAX) {
      return Promise.reject(fail("guest.refused", { vm, detail: `${OUTSTANDING_MAX} requests are unanswered` }));
    }
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => reject(fail("operation.timeout", { operation, waitedMs: timeoutMs })), timeoutMs);
      begin({
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  };

  const ping = (timeoutMs: number): Promise<Ping> =>
    ask<Ping>(`The ping of ${vm}`, timeoutMs, (waiting) => {
      const payload = new Uint8Array(8);
      lastPing += 1n;
      new DataView(payload.buffer).setBigUint64(0, lastPing, true);
      pings.set(lastPing, { sentAtMs: performance.now(), waiting });
      send(renderFrame({ type: FRAME.ping, payload }));
    });

  const takePong = (payload: Uint8Array): string | null => {
    if (payload.length !== 24) return "a PONG of the wrong size";
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
    const asked = pings.get(view.getBigUint64(0, true));
    if (asked === undefined) return "a PONG that nobody asked for";
    pings.delete(view.getBigUint64(0, true));
    const roundTripMs = performance.now() - asked.sentAtMs;
    const guestMs = Number(view.getBigUint64(8, true) / 1000n) / 1000;
    asked.waiting.resolve({
      roundTripMs,
      clockSkewMs: guestMs - (Date.now() - roundTripMs / 2),
      uptimeMs: Number(view.getBigUint64(16, true) / 1000n) / 1000,
    });
    return null;
  };

  const takeAck = (payload: Uint8Array): string | null => {
    const parsed = parseFields(payload);
    if (!parsed.ok) return parsed.detail;
    const waiting = shutdowns.shift();
    if (waiting === undefined) return "a SHUTDOWN_ACK that nobody asked for";
    if (parsed.fields.ok === "1") waiting.resolve();
    else waiting.reject(fail("guest.refused", { vm, detail: printable(parsed.fields.error ?? "it gave no reason") }));
    return null;
  };

  return {
    ping,
    shutdown: (how, timeoutMs) =>
      ask<void>(`Asking ${vm} to ${how === "reboot" ? "reboot" : "power off"}`, timeoutMs, (waiting) => {
        shutdowns.push(waiting);
        send(renderFrame({ type: FRAME.shutdown, payload: renderFields({ how }) }));
      }),
    frame: ({ type, payload }) => (type === FRAME.pong ? takePong(payload) : takeAck(payload)),
    lost: (error) => {
      for (const { waiting } of pings.values()) waiting.reject(error);
      for (const waiting of shutdowns) waiting.reject(error);
      pings.clear();
      shutdowns.length = 0;
    },
  };
};
