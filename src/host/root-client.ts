// The daemon's end of the privileged helper: starts it when needed, asks one thing at a time, and tells the log.
import { type ErrorCode, errors, fail, hasCode, reportOf } from "../spec/errors.ts";
import { type HostOp, type NetInventory, RootAnswer } from "../spec/host-op.ts";
import { SYSTEM_PATH } from "./command.ts";
import type { PrivLogSink, RootPort } from "./host.ts";
import type { RootLaunch } from "./root-launch.ts";

/** The helper ends an operation after 10 s by itself; one that says nothing for longer is stuck and is ended. */
const ANSWER_TIMEOUT_MS = 12_000;
/** sudo may have to ask a directory service who the user is. */
const START_TIMEOUT_MS = 15_000;
const MAX_LINE_CHARS = 4 * 1024 * 1024;

export type RootClientOptions = {
  /** Asked at each start of the helper, since `banger setup` may have installed it meanwhile. */
  planLaunch: () => RootLaunch | Promise<RootLaunch>;
  privLog: PrivLogSink;
  /** Wall clock, for the log. */
  now?: () => Date;
};

type Helper = {
  pid: number;
  ask(line: string): Promise<string>;
  end(): Promise<void>;
};

/** A helper that died before it answered: the operation is asked again, once, since all of them are idempotent. */
class HelperGone extends Error {
  override readonly name = "HelperGone";
}

/** sudo's own words, which are not about the helper (sudo(8), DIAGNOSTICS). */
const explainSilence = (stderr: string): string => {
  const text = stderr.trim();
  if (/password is required|a terminal is required|askpass/i.test(text)) return "sudo would ask for a password";
  if (/not in the sudoers|not allowed|may not run/i.test(text)) return "sudo does not allow it to this user";
  return text.split("\n").at(-1)?.slice(0, 300) || "it ended without a word";
};

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let held = "";
  for await (const chunk of stream) {
    held += decoder.decode(chunk, { stream: true });
    for (let end = held.indexOf("\n"); end >= 0; end = held.indexOf("\n")) {
      yield held.slice(0, end);
      held = held.slice(end + 1);
    }
    if (held.length > MAX_LINE_CHARS) return;
  }
}

const within = async <Result>(work: Promise<Result>, timeoutMs: number, onLate: () => Error): Promise<Result> => {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(onLate()), timeoutMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

const startHelper = async (launch: RootLaunch): Promise<Helper> => {
  if (launch.kind === "refusal") throw fail("root.unavailable", { detail: launch.detail });
  const spawn = () =>
    Bun.spawn([...launch.argv], {
      ...(launch.argv0 === null ? {} : { argv0: launch.argv0 }),
      // Nothing of ours goes along: BUN_* and LD_* in an environment make another program of the helper.
      env: { PATH: SYSTEM_PATH, LC_ALL: "C", HOME: "/" },
      cwd: "/",
      stdio: ["pipe", "pipe", "pipe"],
      // A Ctrl-C on the terminal of a daemon in the foreground is the daemon's to handle.
      detached: true,
    });
  let child: ReturnType<typeof spawn>;
  try {
    child = spawn();
  } catch (error) {
    throw fail("root.unavailable", { detail: `${launch.argv[0]}: ${(error as Error).message}` }, error);
  }
  child.unref();
  const stderr = new Response(child.stderr).text().catch(() => "");
  const lines = linesOf(child.stdout);
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // sudo is root's process and cannot be signalled by us: the end of its input ends it.
    }
  };
  const nextLine = async (): Promise<string> => {
    const next = await lines.next();
    if (next.done) throw new HelperGone();
    return next.value;
  };
  const refuse = async (): Promise<never> => {
    throw fail("root.unavailable", { detail: explainSilence(await stderr) });
  };
  const greeting = await within(nextLine(), START_TIMEOUT_MS, () => {
    kill();
    return fail("root.unavailable", { detail: `it did not start within ${START_TIMEOUT_MS / 1000} s` });
  }).catch((error) => (error instanceof HelperGone ? refuse() : Promise.reject(error)));
  const said = parseJson(greeting) as { helper?: unknown; error?: { message?: string } } | null;
  if (said?.helper !== "banger-root") {
    kill();
    throw fail("root.unavailable", { detail: said?.error?.message ?? "another program answered in its place" });
  }
  return {
    pid: child.pid,
    async ask(line) {
      try {
        child.stdin.write(line);
        await child.stdin.flush();
      } catch {
        throw new HelperGone();
      }
      return nextLine();
    },
    async end() {
      await Promise.resolve(child.stdin.end()).catch(() => {});
      await within(child.exited, 1000, () =>
        fail("operation.timeout", { operation: "banger-root", waitedMs: 1000 }),
      ).catch(kill);
    },
  };
};

/** The parts of an operation that a person wants to see in `banger priv log`. */
const describeOp = (op: HostOp): string => {
  switch (op.op) {
    case "bridge.ensure":
      return `${op.bridge} ${op.gateway}/24`;
    case "bridge.delete":
      return op.bridge;
    case "tap.create":
      return `${op.tap} on ${op.bridge} for uid ${op.ownerUid}`;
    case "tap.delete":
    case "net.release":
      return op.tap;
    case "jail.prepare":
    case "jail.remove":
      return op.vm;
    case "nft.apply":
      return `${op.bridge} ${op.subnet}, ${op.members.length} guests`;
    default:
      return op.instance;
  }
};

const errorFrom = ({ code, message, data }: { code: string; message: string; data: unknown }) =>
  Object.hasOwn(errors, code)
    ? fail(code as ErrorCode, data as never)
    : fail("internal.bug", { detail: `banger-root: ${message}` });

/** The root port, and the end of its helper. */
export const createRootClient = (
  options: RootClientOptions,
): RootPort & {
  /** Ends the helper until it is needed again. */
  rest(): Promise<void>;
  close(): Promise<void>;
  helperPid(): number | null;
} => {
  const { planLaunch, privLog, now = () => new Date() } = options;
  let helper: Helper | null = null;
  let isClosed = false;
  let nextId = 1;
  let queue: Promise<unknown> = Promise.resolve();

  const drop = async () => {
    const old = helper;
    helper = null;
    await old?.end();
  };

  const askOnce = async (op: HostOp, requestedBy: string): Promise<NetInventory | null> => {
    helper ??= await startHelper(await planLaunch());
    const id = nextId++;
    const line = `${JSON.stringify({ id, requestedBy: requestedBy.slice(0, 200), op })}\n`;
    try {
      const text = await within(helper.ask(line), ANSWER_TIMEOUT_MS, () =>
        fail("operation.timeout", { operation: op.op, waitedMs: ANSWER_TIMEOUT_MS }),
      );
      const parsed = RootAnswer.safeParse(parseJson(text));
      if (!parsed.success) throw fail("root.unavailable", { detail: "its answer cannot be understood" });
      const { error, result, id: answered } = parsed.data;
      if (error) throw errorFrom(error);
      if (answered !== id) throw new HelperGone();
      return result;
    } catch (error) {
      // After anything but a proper answer nobody knows which answer comes next on this pipe.
      if (!hasCode(error, "host.command_failed") && !hasCode(error, "host.not_ours")) await drop();
      throw error;
    }
  };

  const ask = async (op: HostOp, requestedBy: string): Promise<NetInventory | null> => {
    if (isClosed) throw fail("daemon.stopping", {});
    try {
      return await askOnce(op, requestedBy);
    } catch (error) {
      if (!(error instanceof HelperGone)) throw error;
    }
    return askOnce(op, requestedBy).catch((error) => {
      throw error instanceof HelperGone
        ? fail("root.unavailable", { detail: "it died twice over one operation" })
        : error;
    });
  };

  const logged = async (op: HostOp, requestedBy: string) => {
    const startedMs = performance.now();
    const log = (error: unknown) =>
      privLog({
        at: now().toISOString(),
        requestedBy,
        op: op.op,
        detail: describeOp(op),
        ok: error === null,
        ms: performance.now() - startedMs,
        error: error === null ? null : reportOf(error).message,
      });
    try {
      const result = await ask(op, requestedBy);
      log(null);
      return result;
    } catch (error) {
      log(error);
      throw error;
    }
  };

  return {
    run(op, requestedBy) {
      const result = queue.then(() => logged(op, requestedBy));
      queue = result.catch(() => {});
      return result;
    },
    rest() {
      const done = queue.then(drop);
      queue = done.catch(() => {});
      return done;
    },
    async close() {
      isClosed = true;
      await queue;
      await drop();
    },
    helperPid: () => helper?.pid ?? null,
  };
};
