// The daemon's own commands in a guest, by the real helper: lines, exit codes, long input, and an end when nobody waits any more.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type GuestChannel, openGuestChannel } from "../../src/guest/channel.ts";
import { type GuestRun, runInGuest } from "../../src/guest/run.ts";
import { buildProblem, type RealHelper, startRealHelper, until } from "./real-helper.ts";
import { ME } from "./stream-host.ts";

const problem = buildProblem();

describe.skipIf(problem !== null)(`runs of the daemon${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  let helper: RealHelper;
  let channel: GuestChannel;

  beforeAll(async () => {
    helper = await startRealHelper();
    channel = openGuestChannel({ kind: "stream-socket", path: helper.path }, { vm: "web" });
    await channel.ready({ timeoutMs: 30_000 });
  }, 60_000);
  afterAll(async () => {
    channel?.close();
    await helper?.stop();
  });

  const run = async (argv: readonly string[], more: Partial<GuestRun> = {}) => {
    const lines: string[] = [];
    const exitCode = await runInGuest(channel, {
      ...{ vm: "web", user: ME, argv, timeoutMs: 20_000, signal: new AbortController().signal },
      onLine: (line) => lines.push(line),
      ...more,
    });
    return { exitCode, lines };
  };

  test("both outputs come in whole lines, the last one too when it does not end, and the exit code is the command's", async () => {
    expect(await run(["sh", "-c", "echo one; printf 'tw'; sleep 0.05; echo o; printf end; exit 9"])).toEqual({
      exitCode: 9,
      lines: ["one", "two", "end"],
    });
    expect(await run(["sh", "-c", "echo wrong >&2; kill -KILL $$"])).toEqual({ exitCode: 137, lines: ["wrong"] });
    expect((await run(["/no/such/command"])).exitCode).toBe(127);
  });

  test("what is set in its environment is there, and input that nobody gave has ended", async () => {
    expect((await run(["sh", "-c", 'cat; echo "$WHO"'], { env: { WHO: "me" } })).lines).toEqual(["me"]);
  });

  test("input longer than what may be under way arrives whole", async () => {
    const input = Buffer.alloc(1_000_003, "0123456789abcde\n");
    const wanted = new Bun.CryptoHasher("sha256").update(input).digest("hex");
    expect((await run(["sha256sum"], { input })).lines[0]?.slice(0, 64)).toBe(wanted);
  });

  test("a command that ends before it has read its input is no failure", async () => {
    expect((await run(["sh", "-c", "exit 4"], { input: Buffer.alloc(2_000_000) })).exitCode).toBe(4);
  });

  test("a line without an end is cut, so that a guest cannot fill the daemon", async () => {
    const { lines } = await run(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"]);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(4096);
  });

  const processes = () => Bun.spawnSync(["pgrep", "-f", "sleep 98[6]"]).stdout.toString().trim();

  test("whoever gives up ends the command in the guest", async () => {
    const stop = new AbortController();
    const running = run(["sleep", "986"], { signal: stop.signal });
    await until("it runs", () => processes() !== "");
    stop.abort(new Error("given up"));
    expect(await running.catch((error) => error)).toMatchObject({ message: "given up" });
    await until("it is gone", () => processes() === "");
  });

  test("a deadline ends it too, and is told as such", async () => {
    const late = await run(["sleep", "986"], { timeoutMs: 300 }).catch((error) => error);
    expect(late).toMatchObject({ code: "operation.timeout" });
    await until("it is gone", () => processes() === "");
  });
});
