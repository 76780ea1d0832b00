// `banger exec` from its command line to a process: the real program, the daemon's socket for streams, the real helper.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openClientStream } from "../../src/client/stream.ts";
import { EXEC, EXEC_INPUT_WINDOW_BYTES, execFields } from "../../src/spec/guest/exec.ts";
import { createMessageReader, renderMessage } from "../../src/spec/guest/messages.ts";
import { vm } from "../cli/fake-daemon.ts";
import { bangerOnTerminal, MAIN } from "../cli/spawned.ts";
import { hasRoot } from "../vm/processes.ts";
import { buildProblem, until } from "./real-helper.ts";
import { ME, type StreamHost, startStreamHost } from "./stream-host.ts";

const problem = buildProblem();

/** The kernel bounds what all pipes of a user hold (fs.pipe-user-pages-soft), and pasta may have most of it; in a guest the helper is root. */
const crowd = hasRoot
  ? { test, why: "" }
  : { test: test.skip, why: " (as root or with sudo: pasta may have this user's pipes)" };

/** Writes it all and ends; whoever does not read it to its end is no failure. */
const pour = (to: unknown, input: Uint8Array | string): void => {
  const sink = to as Bun.FileSink;
  const ignore = () => undefined;
  Promise.resolve(sink.write(input)).then(() => Promise.resolve(sink.end()).catch(ignore), ignore);
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe.skipIf(problem !== null)(`exec${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  let host: StreamHost;

  beforeAll(async () => {
    host = await startStreamHost(["web", "db"]);
    host.daemon.handlers["vm.list"] = () => [vm({ name: "web" }), vm({ name: "db" })];
  }, 60_000);
  afterAll(() => host.stop());

  const start = (argv: readonly string[], stdin: "ignore" | "pipe" = "ignore", env: Record<string, string> = {}) =>
    Bun.spawn([process.execPath, MAIN, ...argv], {
      env: { ...host.daemon.env, ...env },
      stdin,
      stdout: "pipe",
      stderr: "pipe",
    });

  const run = async (argv: readonly string[], input?: Uint8Array | string, env: Record<string, string> = {}) => {
    const child = start(argv, input === undefined ? "ignore" : "pipe", env);
    if (input !== undefined) {
      pour(child.stdin, input);
    }
    const [out, err] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
    return { exitCode: child.exitCode, out: Buffer.from(out), text: Buffer.from(out).toString(), err };
  };

  const exec = (...command: string[]) => run(["exec", "web", "--", ...command]);

  test.each([0, 1, 7, 127, 255])("exit code %d of the command is banger's", async (code) => {
    expect((await exec("sh", "-c", `exit ${code}`)).exitCode).toBe(code);
  });

  test("a command that dies of signal n gives 128+n", async () => {
    expect((await exec("sh", "-c", "kill -KILL $$")).exitCode).toBe(137);
    expect((await exec("sh", "-c", "kill -TERM $$")).exitCode).toBe(143);
  });

  test("a command that there is not is 127, one that cannot be run is 126, and both say why", async () => {
    const missing = await exec("/no/such/command");
    expect([missing.exitCode, missing.err.trim()]).toEqual([
      127,
      "banger exec: /no/such/command: No such file or directory",
    ]);
    expect((await exec("/etc/passwd")).exitCode).toBe(126);
    const elsewhere = await run(["exec", "-w", "/no/such", "web", "--", "true"]);
    expect([elsewhere.exitCode, elsewhere.err.trim()]).toEqual([
      126,
      "banger exec: /no/such: No such file or directory",
    ]);
  });

  test("output and errors stay apart, and arguments arrive as they were given", async () => {
    const done = await exec("sh", "-c", 'printf "%s|" "$@"; echo oops >&2', "sh", "a b", "", "$HOME", "ü\n*");
    expect([done.text, done.err]).toEqual(["a b||$HOME|ü\n*|", "oops\n"]);
  });

  test("environment, directory and user are as asked, and else those of a login", async () => {
    const asked = await run(
      [
        "exec",
        "-e",
        "A=1=2",
        "-e",
        "B",
        "-e",
        "GONE",
        "-w",
        "/tmp",
        "-u",
        ME,
        "web",
        "--",
        "sh",
        "-c",
        'echo "$A $B $(printenv GONE || echo unset) $PWD"',
      ],
      undefined,
      { B: "from here" },
    );
    expect(asked.text).toBe("1=2 from here unset /tmp\n");
    const plain = await exec("sh", "-c", 'echo "$HOME $USER $SHELL $(printenv B || echo unset)"; pwd');
    const [home, user, shell, b] = (plain.text.split("\n")[0] ?? "").split(" ");
    expect({ hasHome: home?.startsWith("/"), hasUser: user !== "", hasShell: shell?.startsWith("/"), b }).toEqual({
      hasHome: true,
      hasUser: true,
      hasShell: true,
      b: "unset",
    });
    const nobody = await run(["exec", "-u", "nobody-of-that-name", "web", "--", "true"]);
    expect(nobody.err).toContain("there is no such user");
    expect(nobody.exitCode).toBe(1);
  });

  test("a command has a session of its own and none of the helper's descriptors or signal masks", async () => {
    const { text } = await exec(
      "sh",
      "-c",
      "ls -l /proc/self/fd | grep -c -e pipe -e null; grep -E 'Sig(Blk|Ign)' /proc/self/status",
    );
    const [descriptors, blocked, ignored] = text.split("\n");
    expect(Number(descriptors)).toBeLessThanOrEqual(4);
    // Signals 1 to 31: the two after them are the C library's own, and whoever started the tests may have ignored those.
    const ordinary = (line: string | undefined) => BigInt(`0x${line?.split(/\s+/)[1]}`) & 0x7fff_ffffn;
    expect(ordinary(blocked)).toBe(0n);
    expect(ordinary(ignored)).toBe(0n);
  });

  test("1 MiB goes in and comes back unchanged, and the end of input is the command's end of input", async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(65_536));
    const all = Buffer.concat(Array.from({ length: 16 }, () => bytes));
    const done = await run(["exec", "web", "--", "cat"], all);
    expect(done.exitCode).toBe(0);
    expect(Buffer.compare(done.out, all)).toBe(0);
  });

  test("a command that reads none of its input ends nevertheless, and so does banger", async () => {
    expect((await run(["exec", "web", "--", "sh", "-c", "exit 3"], new Uint8Array(2_000_000))).exitCode).toBe(3);
  });

  test("a signal reaches the command even while input waits that it does not read", async () => {
    const child = start(
      ["exec", "web", "--", "sh", "-c", "trap 'exit 44' TERM; echo ready; while :; do sleep 0.02; done"],
      "pipe",
    );
    pour(child.stdin, new Uint8Array(3_000_000));
    const reader = child.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("ready\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(44);
  });

  test("Ctrl-C ends the command's whole process group", async () => {
    const child = start(["exec", "web", "--", "sh", "-c", "echo ready; sleep 60 | cat"]);
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("when banger is killed, the command and what it started are ended", async () => {
    const child = start(["exec", "web", "--", "sh", "-c", "trap '' HUP; sleep 61 & echo $$ $!; wait"]);
    const { value } = await child.stdout.getReader().read();
    const pids = Buffer.from(value ?? [])
      .toString()
      .trim()
      .split(" ")
      .map(Number);
    expect(pids.length).toBe(2);
    child.kill("SIGKILL");
    await child.exited;
    await until("both are gone", () => pids.every((pid) => !isAlive(pid)), 10_000);
    await until("the daemon knows it", () => host.busy().length === 0);
  });

  test("what a command leaves in the background does not hold it open", async () => {
    const began = performance.now();
    const done = await exec("sh", "-c", "sleep 3 & echo done");
    expect([done.text, done.exitCode]).toEqual(["done\n", 0]);
    expect(performance.now() - began).toBeLessThan(2_500);
  });

  crowd.test(`40 run at once over the one connection${crowd.why}`, async () => {
    const streams = await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        collectExec(host, ["sh", "-c", `head -c 100000 /dev/zero | tr '\\0' x; exit ${index}`]),
      ),
    );
    expect(streams.map(({ end }) => end)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    expect(streams.every(({ bytes }) => bytes === 100_000)).toBe(true);
  });

  crowd.test(
    `the 65th stream is refused, and the others know nothing of it${crowd.why}`,
    async () => {
      const open = () =>
        openClientStream({
          socket: host.socket,
          vm: "db",
          kind: "exec",
          fields: execFields({ argv: ["cat"], user: ME }),
        });
      const streams = await Promise.all(Array.from({ length: 64 }, open));
      const refused = await openClientStream({
        socket: host.socket,
        vm: "db",
        kind: "exec",
        fields: execFields({ argv: ["true"], user: ME }),
      }).then(
        async (stream) =>
          stream.read().then(
            () => "no error",
            (error: Error) => error.message,
          ),
        (error: Error) => error.message,
      );
      expect(refused).toContain("64 streams");
      for (const stream of streams) stream.abort();
      await until("all are over", () => host.busy().length === 0, 10_000);
    },
    20_000,
  );

  test("with --tty the command has a terminal of our size that follows it, and keys reach it raw", async () => {
    const screen = bangerOnTerminal(host.daemon.env, ["exec", "-t", "web", "--", "sh"]);
    screen.type("stty size; echo $((40+2)) $TERM\r");
    await screen.shows("24 80");
    await screen.shows("42 xterm-256color");
    (screen.child as unknown as { terminal: { resize(columns: number, rows: number): void } }).terminal.resize(101, 33);
    screen.type("sleep 0.2; stty size\r");
    await screen.shows("33 101");
    screen.type("sh -c 'echo sle\"\"eps; exec sleep 50'\r");
    await screen.shows("sleeps");
    screen.type("\u0003");
    screen.type("exit 9\r");
    await screen.child.exited;
    expect(screen.child.exitCode).toBe(9);
  }, 20_000);

  test("--tty without a terminal is refused before anything runs", async () => {
    const done = await run(["exec", "-t", "web", "--", "touch", "/tmp/never"]);
    expect([done.exitCode, done.err]).toEqual([2, expect.stringContaining("--tty needs a terminal")]);
  });

  test("--all runs in each, prefixes lines, sums up and ends with the worst code", async () => {
    const done = await run(["exec", "--all", "--", "sh", "-c", "echo one; printf two; echo bad >&2; exit 5"]);
    expect(done.text.split("\n").sort().filter(Boolean)).toEqual(["db  | one", "db  | two", "web | one", "web | two"]);
    expect(done.err).toContain("web | bad");
    expect(done.err).toMatch(/0 of 2 well; (web exit 5, db exit 5|db exit 5, web exit 5)/);
    expect(done.exitCode).toBe(5);
  });

  test("a command after --all without -- is told from a VM's name", async () => {
    const done = await run(["exec", "--all", "uptime"]);
    expect([done.exitCode, done.err]).toEqual([
      2,
      expect.stringContaining('"uptime" is one too many; a command comes after --'),
    ]);
  });

  test("--json tells one result as an object", async () => {
    const done = await run(["exec", "--json", "web", "--", "sh", "-c", "echo hi; echo no >&2; exit 4"]);
    expect(JSON.parse(done.text)).toEqual({
      vm: "web",
      exitCode: 4,
      signal: null,
      stdout: "hi\n",
      stderr: "no\n",
      isCut: false,
      error: null,
    });
    expect(done.exitCode).toBe(4);
  });

  test("a VM that there is not is told as everywhere", async () => {
    const done = await run(["exec", "nope", "--", "true"]);
    expect([done.exitCode, done.err]).toEqual([3, expect.stringContaining('There is no VM "nope"')]);
  });

  test("a reader who takes nothing holds the command back, and nobody's memory grows", async () => {
    const stream = await openClientStream({
      socket: host.socket,
      vm: "web",
      kind: "exec",
      fields: execFields({ argv: ["sh", "-c", "head -c 400000000 /dev/zero"], user: ME }),
    });
    await stream.read();
    const before = process.memoryUsage.rss();
    const helperRss = Number(
      /VmRSS:\s+(\d+)/.exec(await Bun.file(`/proc/${host.helper("web").pid()}/status`).text())?.[1],
    );
    // Whatever was going to pile up has had its time when others got through meanwhile.
    for (let i = 0; i < 5; i++) await collectExec(host, ["true"]);
    expect(process.memoryUsage.rss() - before).toBeLessThan(32 * 1024 * 1024);
    expect(helperRss).toBeLessThanOrEqual(1024);
    stream.abort();
  });

  test("a writer whom the command does not read is held back", async () => {
    const stream = await openClientStream({
      socket: host.socket,
      vm: "web",
      kind: "echo",
      fields: {},
    });
    let sent = 0;
    const piece = new Uint8Array(65_536);
    const pump = (async () => {
      for (; sent < 400_000_000; sent += piece.length) await stream.write(piece);
    })();
    for (let i = 0; i < 5; i++) await collectExec(host, ["true"]);
    expect(sent).toBeLessThan(16 * 1024 * 1024);
    stream.abort();
    await pump;
  });

  test("more input than the window ends the command with an error, not the helper", async () => {
    const stream = await openClientStream({
      socket: host.socket,
      vm: "web",
      kind: "exec",
      fields: execFields({ argv: ["sleep", "60"], user: ME }),
    });
    for (let sent = 0; sent <= 2 * EXEC_INPUT_WINDOW_BYTES + 65_536; sent += 32_768)
      await stream.write(renderMessage(EXEC.stdin, new Uint8Array(32_768)));
    const failure = await (async () => {
      while ((await stream.read()) !== null);
    })().then(
      () => "no error",
      (error: Error) => error.message,
    );
    expect(failure).toContain("more input than was asked for");
    expect((await exec("true")).exitCode).toBe(0);
  });

  test("a message beyond all measure ends its stream and its command alone", async () => {
    const stream = await openClientStream({
      socket: host.socket,
      vm: "web",
      kind: "exec",
      fields: execFields({ argv: ["sh", "-c", "echo $$; exec sleep 60"], user: ME }),
    });
    const pid = Number(
      Buffer.from((await stream.read()) ?? [])
        .subarray(5)
        .toString(),
    );
    expect(isAlive(pid)).toBe(true);
    await stream.write(Uint8Array.of(1, 255, 255, 255, 255));
    await expect(stream.read()).rejects.toThrow("beyond all measure");
    expect((await exec("true")).exitCode).toBe(0);
    await until("its command is gone", () => !isAlive(pid), 10_000);
  });

  test("noise on the daemon's socket is refused and closed", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    let got = "";
    const socket = await Bun.connect({
      unix: host.socket,
      socket: {
        data: (_socket, bytes) => {
          got += bytes.toString();
        },
        close: () => resolve(got),
        end: () => resolve(got),
      },
    });
    socket.write(renderMessage(3, new Uint8Array(10)));
    expect(await promise).toContain("rpc.invalid_request");
  });

  test("a helper that dies ends its commands with guest.channel_lost", async () => {
    const other = await startStreamHost(["web"]);
    const stream = await openClientStream({
      socket: other.socket,
      vm: "web",
      kind: "exec",
      fields: execFields({ argv: ["sleep", "60"], user: ME }),
    });
    await other.helper("web").restart();
    const failure = await stream.read().then(
      () => null,
      (error: { code?: string }) => error.code,
    );
    expect(failure).toBe("guest.channel_lost");
    await other.stop();
  });

  test("a daemon that stops ends commands and says so", async () => {
    const other = await startStreamHost(["web"]);
    const child = Bun.spawn([process.execPath, MAIN, "exec", "web", "--", "sh", "-c", "echo $$; exec sleep 60"], {
      env: other.daemon.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const pid = Number(Buffer.from((await child.stdout.getReader().read()).value ?? []).toString());
    other.stopStreams();
    expect(await child.exited).toBe(6);
    expect(await child.stderr.text()).toContain("bangerd was stopped or restarted");
    await until("the command is gone", () => !isAlive(pid), 10_000);
    await other.stop();
  }, 20_000);

  test("the helper stays within 1 MiB", async () => {
    const status = await Bun.file(`/proc/${host.helper("web").pid()}/status`).text();
    expect(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])).toBeLessThanOrEqual(1024);
  });
});

/** Runs a command by the client's own stream; how it ended and how much it said. */
const collectExec = async (
  host: StreamHost,
  argv: readonly string[],
): Promise<{ end: number | null; bytes: number }> => {
  const stream = await openClientStream({
    socket: host.socket,
    vm: "web",
    kind: "exec",
    fields: execFields({ argv, user: ME }),
  });
  const reader = createMessageReader();
  let end: number | null = null;
  let bytes = 0;
  for (let piece = await stream.read(); piece !== null; piece = await stream.read()) {
    for (const message of reader.push(piece) ?? []) {
      if (message.tag === EXEC.stdout) bytes += message.bytes.length;
      if (message.tag === EXEC.exit) end = message.bytes[0] ?? null;
    }
  }
  return { end, bytes };
};
