// The privileged helper: reads requests as lines, refuses all that is not in the closed set, and does the rest one by one.
import { readFileSync } from "node:fs";
import { type BangerError, describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import { type HostOp, type HostOpName, type RootAnswer, RootRequest } from "../spec/host-op.ts";
import { bridgeName, isJailUid } from "../spec/names.ts";
import type { NetTools } from "./commands.ts";
import { doOperation, findTools, isInstanceGone, OPERATION_TIMEOUT_MS } from "./root-operation.ts";
import { type InstanceRegistry, isHostUidMap, openRegistry, unregistered } from "./root-registry.ts";

/** The longest request line; `nft.apply` with all 253 members needs about 24 KiB. */
export const MAX_LINE_BYTES = 128 * 1024;

/** The first line of every helper, by which its caller knows that it runs and what it speaks. */
export const GREETING = { helper: "banger-root", protocol: 1 } as const;

export type RootHelperIo = {
  input: AsyncIterable<Uint8Array>;
  write(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
  uid: number;
};

/**
 * Variables that make this very executable run other code, or load it: sudo removes them, and who starts the helper without
 * sudo must not set them. BUN_BE_BUN turns it into a script runner (FACTS §7).
 */
export const findDirtyVariable = (env: Readonly<Record<string, string | undefined>>): string | null =>
  Object.keys(env).find((name) => /^(BUN_|NODE_|LD_|GCONV_PATH$|MALLOC_|NLSPATH$)/.test(name)) ?? null;

/** The user on whose behalf the helper acts: sudo's word, else root itself. */
export const decideCaller = (env: Readonly<Record<string, string | undefined>>): number => {
  const text = env.SUDO_UID;
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : 0;
};

const refuse = (operation: string, detail: string) => fail("root.refused", { operation, detail });

/** Refuses names of another instance than the operation's own, and taps made for somebody else. Pure. */
export const checkNames = (op: HostOp, callerUid: number): void => {
  const bridge = bridgeName(op.instance);
  if ("bridge" in op && op.bridge !== bridge)
    throw refuse(op.op, `${op.bridge} is not a name of instance ${op.instance}`);
  const taps = op.op === "nft.apply" ? op.members.map(({ tap }) => tap) : "tap" in op ? [op.tap] : [];
  const stranger = taps.find((tap) => !tap.startsWith(`${bridge}-`));
  if (stranger) throw refuse(op.op, `${stranger} is not a name of instance ${op.instance}`);
  if ("gateway" in op) {
    const prefix = op.subnet.slice(0, op.subnet.lastIndexOf(".") + 1);
    if (op.gateway !== `${prefix}1`) throw refuse(op.op, `the gateway of ${op.subnet} is ${prefix}1`);
    const outside = op.op === "nft.apply" && op.members.find(({ address }) => !address.startsWith(prefix));
    if (outside) throw refuse(op.op, `${outside.address} is not in ${op.subnet}`);
    if (op.op === "nft.apply" && new Set(taps).size !== taps.length) throw refuse(op.op, "a tap is named twice");
  }
  if (op.op === "tap.create" && callerUid !== 0 && op.ownerUid !== callerUid && !isJailUid(op.ownerUid)) {
    throw refuse(op.op, `a tap of uid ${op.ownerUid} was asked for by uid ${callerUid}`);
  }
};

const errorAnswer = (id: number, error: unknown): RootAnswer => {
  const known: BangerError = isBangerError(error) ? error : fail("internal.bug", { detail: describeUnknown(error) });
  return { id, ok: false, result: null, error: { code: known.code, message: known.message, data: known.data } };
};

/** Whole lines of a byte stream; a line over the limit ends the stream with root.refused. */
async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at));
      bytes += at - from;
      if (bytes > MAX_LINE_BYTES) throw refuse("a request", `its line is longer than ${MAX_LINE_BYTES} bytes`);
      yield new TextDecoder().decode(Buffer.concat(parts));
      parts = [];
      bytes = 0;
      from = at + 1;
    }
    parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > MAX_LINE_BYTES) throw refuse("a request", `its line is longer than ${MAX_LINE_BYTES} bytes`);
  }
}

const idOf = (value: unknown): number => {
  const id = typeof value === "object" && value !== null ? (value as { id?: unknown }).id : null;
  return Number.isSafeInteger(id) ? (id as number) : 0;
};

type Session = { callerUid: number; registry: InstanceRegistry; tools: NetTools };

const deletesLast: ReadonlySet<HostOpName> = new Set(["bridge.delete", "nft.delete", "net.release", "jail.remove"]);
const makes: ReadonlySet<HostOpName> = new Set(["bridge.ensure", "tap.create", "nft.apply", "jail.prepare"]);

/** `tidy` is done after the answer has been given, since nobody waits for it. */
type Answered = { answer: RootAnswer; tidy?: () => Promise<void> };

const answerLine = async (line: string, { callerUid, registry, tools }: Session): Promise<Answered> => {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { answer: errorAnswer(0, refuse("a request", "it is not valid JSON")) };
  }
  const parsed = RootRequest.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return { answer: errorAnswer(idOf(value), refuse("a request", `${issue?.path.join(".")}: ${issue?.message}`)) };
  }
  const { id, op } = parsed.data;
  try {
    checkNames(op, callerUid);
    // Device nodes and users that count on the host: there are none in a namespace.
    if (op.op === "jail.prepare" && registry === unregistered) throw refuse(op.op, "jails are made by the host's root");
    const claimed = registry.claim(op.instance, callerUid);
    const result = await withTimeout(doOperation(op, { tools, callerUid }), op.op);
    // Looked at only where it can be so: after the last deletions, and when an instance was new to us and nothing was made.
    const mayBeGone = deletesLast.has(op.op) || (claimed === "new" && !makes.has(op.op));
    const tidy = async () => {
      if (mayBeGone && (await isInstanceGone(op.instance, tools))) registry.release(op.instance);
    };
    return { answer: { id, ok: true, result, error: null }, tidy };
  } catch (error) {
    return { answer: errorAnswer(id, error) };
  }
};

const withTimeout = async <Result>(work: Promise<Result>, operation: string): Promise<Result> => {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = fail("operation.timeout", { operation, waitedMs: OPERATION_TIMEOUT_MS });
    timer = setTimeout(() => reject(error), OPERATION_TIMEOUT_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

/**
 * Serves requests until the input ends; answers the exit code. It takes no arguments, so that the sudoers line can name exactly one
 * command. Requests are `RootRequest` lines, answers `RootAnswer` lines, after one greeting.
 */
export const runRootHelper = async (argv: readonly string[], io: RootHelperIo): Promise<number> => {
  const say = (answer: RootAnswer | typeof GREETING) => io.write(`${JSON.stringify(answer)}\n`);
  const dirty = findDirtyVariable(io.env);
  if (argv.length > 0 || dirty !== null || io.uid !== 0) {
    const detail = dirty ? `${dirty} is set` : io.uid !== 0 ? `it runs as uid ${io.uid}` : "it takes no arguments";
    say(errorAnswer(0, refuse("to start", detail)));
    return 1;
  }
  const isOnHost = isHostUidMap(readFileSync("/proc/self/uid_map", "utf8"));
  const session: Session = {
    callerUid: decideCaller(io.env),
    registry: isOnHost ? openRegistry() : unregistered,
    tools: findTools(),
  };
  say(GREETING);
  try {
    for await (const line of linesOf(io.input)) {
      if (line === "") continue;
      const { answer, tidy } = await answerLine(line, session);
      say(answer);
      // What it fails to forget now is forgotten at the next boot, with all of /run.
      await tidy?.().catch(() => {});
    }
  } catch (error) {
    say(errorAnswer(0, error));
    return 1;
  }
  return 0;
};
