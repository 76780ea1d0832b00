// What a guest tells about itself over streams: what listens in it, who is logged in, what has long been running. Bounded and printable, believed no further.
import { fail } from "../spec/errors.ts";
import { type Fields, parseFields } from "../spec/guest/fields.ts";
import { createMessageReader, type Message } from "../spec/guest/messages.ts";
import type { GuestChannel, GuestStream } from "./channel.ts";
import { printable } from "./printable.ts";

/** A TCP socket that listens. `pid` and `name` are of a process that holds it; null when none was found. */
export type GuestListener = {
  protocol: "tcp" | "tcp6";
  address: string;
  port: number;
  uid: number;
  pid: number | null;
  name: string | null;
};

export type GuestSession = {
  id: string;
  user: string;
  terminal: string;
  remote: string;
  service: string;
  /** As logind has it: `active`, `online`, `opening` or `closing`. */
  state: string;
  /** `user` for people; `manager` and `background` are none. */
  sessionClass: string;
  sinceMs: number | null;
};

/** A process that is nobody's service: of a login, or begun from outside. */
export type GuestProcess = {
  pid: number;
  user: string;
  name: string;
  command: string;
  ageSeconds: number;
  cpuSeconds: number;
};

export type GuestStatus = {
  memoryMiB: number;
  memoryAvailableMiB: number;
  diskMiB: number;
  diskFreeMiB: number;
  /** Over 1, 5 and 15 minutes. */
  load: readonly [number, number, number];
  uptimeSeconds: number;
  sessions: readonly GuestSession[];
  processes: readonly GuestProcess[];
};

const TAG = { port: 17, all: 18, system: 17, session: 18, process: 19 } as const;
const ENTRIES_MAX = 512;
const TEXT_MAX = 256;

const numberOf = (text: string | undefined): number => (/^[0-9]{1,15}$/.test(text ?? "") ? Number(text) : 0);
const textOf = (text: string | undefined): string => printable(text ?? "").slice(0, TEXT_MAX);
const loadOf = (text: string | undefined): number =>
  /^[0-9]{1,6}(\.[0-9]{1,4})?$/.test(text ?? "") ? Number(text) : 0;

const fieldsOf = (bytes: Uint8Array): Fields => {
  const parsed = parseFields(bytes);
  return parsed.ok ? parsed.fields : {};
};

const readListener = (fields: Fields): GuestListener => ({
  protocol: fields.protocol === "tcp6" ? "tcp6" : "tcp",
  address: /^[0-9a-f.:]{1,45}$/.test(fields.address ?? "") ? (fields.address as string) : "?",
  port: Math.min(numberOf(fields.port), 65_535),
  uid: numberOf(fields.uid),
  pid: fields.pid === undefined ? null : numberOf(fields.pid),
  name: fields.name === undefined ? null : textOf(fields.name),
});

/** Every message of a stream, in order. Errors: guest.protocol_error, and those of the stream. */
const eachMessage = async (vm: string, stream: GuestStream, take: (message: Message) => void): Promise<void> => {
  const reader = createMessageReader();
  for await (const bytes of stream.readable) {
    const messages = reader.push(bytes);
    if (messages === null) throw fail("guest.protocol_error", { vm, detail: "a message beyond all measure" });
    for (const message of messages) take(message);
  }
  await stream.closed;
};

/** Runs until the signal is aborted, and calls with all listeners: at once, and whenever they have changed (looked for every second, in the guest). Errors: guest.refused, guest.channel_lost. */
export const watchListeners = async (
  channel: GuestChannel,
  options: { vm: string; signal: AbortSignal; onChange: (listeners: readonly GuestListener[]) => void },
): Promise<void> => {
  const { vm, signal } = options;
  const stream = await channel.open("listen");
  const leave = () => stream.abort("not watched any more");
  if (signal.aborted) return leave();
  signal.addEventListener("abort", leave, { once: true });
  let found: GuestListener[] = [];
  try {
    await eachMessage(vm, stream, ({ tag, bytes }) => {
      if (tag === TAG.port && found.length < ENTRIES_MAX) found.push(readListener(fieldsOf(bytes)));
      if (tag !== TAG.all) return;
      options.onChange(found);
      found = [];
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", leave);
  }
};

/** Opens a stream that ends by itself, and aborts it when it does not within the time. */
const readOnce = async (
  channel: GuestChannel,
  options: { vm: string; kind: string; fields: Fields; timeoutMs: number },
): Promise<{ tag: number; fields: Fields }[]> => {
  const { vm, kind, timeoutMs } = options;
  const stream = await channel.open(kind, options.fields);
  const told: { tag: number; fields: Fields }[] = [];
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    stream.abort("too late");
  }, timeoutMs);
  try {
    await eachMessage(vm, stream, ({ tag, bytes }) => {
      if (told.length < ENTRIES_MAX) told.push({ tag, fields: fieldsOf(bytes) });
    });
    return told;
  } catch (error) {
    throw isLate
      ? fail("operation.timeout", { operation: `Asking ${vm} for its ${kind}`, waitedMs: timeoutMs })
      : error;
  } finally {
    clearTimeout(timer);
  }
};

/** What listens now. Errors: guest.refused, guest.channel_lost, operation.timeout. */
export const readListeners = async (
  channel: GuestChannel,
  options: { vm: string; timeoutMs: number },
): Promise<GuestListener[]> => {
  const told = await readOnce(channel, { ...options, kind: "listen", fields: { once: "1" } });
  return told.filter(({ tag }) => tag === TAG.port).map(({ fields }) => readListener(fields));
};

/** What would be left behind now; processes younger than `minAgeSeconds` (10 when left out) are not told. Errors: guest.refused, guest.channel_lost, operation.timeout. */
export const readStatus = async (
  channel: GuestChannel,
  options: { vm: string; timeoutMs: number; minAgeSeconds?: number },
): Promise<GuestStatus> => {
  const age = options.minAgeSeconds;
  const told = await readOnce(channel, {
    ...options,
    kind: "status",
    fields: age === undefined ? {} : { min_age_s: String(Math.max(0, Math.floor(age))) },
  });
  const system = told.find(({ tag }) => tag === TAG.system)?.fields ?? {};
  const mib = (text: string | undefined) => Math.round(numberOf(text) / 1024);
  return {
    memoryMiB: mib(system.memory_kib),
    memoryAvailableMiB: mib(system.memory_available_kib),
    diskMiB: mib(system.disk_kib),
    diskFreeMiB: mib(system.disk_free_kib),
    load: [loadOf(system.load_1), loadOf(system.load_5), loadOf(system.load_15)],
    uptimeSeconds: numberOf(system.uptime_s),
    sessions: told
      .filter(({ tag }) => tag === TAG.session)
      .map(({ fields }) => ({
        id: textOf(fields.id),
        user: textOf(fields.user),
        terminal: textOf(fields.tty),
        remote: textOf(fields.remote),
        service: textOf(fields.service),
        state: textOf(fields.state),
        sessionClass: textOf(fields.class),
        sinceMs: fields.since_us === undefined ? null : Math.round(Number(fields.since_us.slice(0, 20)) / 1000) || null,
      })),
    processes: told
      .filter(({ tag }) => tag === TAG.process)
      .map(({ fields }) => ({
        pid: numberOf(fields.pid),
        user: textOf(fields.user),
        name: textOf(fields.name),
        command: textOf(fields.command),
        ageSeconds: numberOf(fields.age_s),
        cpuSeconds: numberOf(fields.cpu_s),
      })),
  };
};
