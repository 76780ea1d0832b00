// Programs run with a clean environment, end in time with all they started, and tell how they ended.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { requireCommand, runCommand } from "../../src/host/command.ts";
import { runOnTerminal, shellExitCode, spawnDetached } from "../../src/host/process.ts";
import { BangerError } from "../../src/spec/errors.ts";

const made: string[] = [];
const newDir = () => {
  const directory = mkdtempSync(`${tmpdir()}/bgr-`);
  made.push(directory);
  return directory;
};
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

const shell = (script: string) => ["/bin/sh", "-c", script];
const failureOf = async (work: Promise<unknown>): Promise<BangerError> => {
  const error = await work.then(
    () => null,
    (cause) => cause,
  );
  if (!(error instanceof BangerError)) throw new Error(`no BangerError but ${error}`);
  return error;
};
const isAlive = (pid: number) => {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0] !== "Z";
  } catch {
    return false;
  }
};
const until = async (condition: () => boolean) => {
  const endMs = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error("it did not come true within 5 s");
    await Bun.sleep(2);
  }
};

describe("runCommand", () => {
  test("output, input and exit code come through, and nothing of our environment goes along", async () => {
    process.env.BANGER_TEST_LEAK = "leaked";
    const result = await runCommand({
      argv: shell('cat; echo "$BANGER_TEST_LEAK|$GIVEN|$LC_ALL" >&2; exit 7'),
      timeoutMs: 5000,
      stdin: "to be echoed",
      env: { GIVEN: "given" },
    });
    delete process.env.BANGER_TEST_LEAK;
    expect(result).toEqual({ stdout: "to be echoed", stderr: "|given|C\n", exitCode: 7 });
  });

  test("an end by a signal is 128 and its number", async () => {
    expect((await runCommand({ argv: shell("kill -9 $$"), timeoutMs: 5000 })).exitCode).toBe(137);
    expect(shellExitCode(null, "SIGTERM")).toBe(143);
  });

  test("a deadline ends the program and its children, even those that ignore SIGTERM", async () => {
    const path = `${newDir()}/pid`;
    const script = `trap "" TERM; sleep 300 & echo $! > ${path}; wait; wait`;
    const startedMs = performance.now();
    const failure = await failureOf(runCommand({ argv: shell(script), timeoutMs: 100 }));
    expect(failure.code).toBe("operation.timeout");
    expect(performance.now() - startedMs).toBeLessThan(5000);
    await until(() => !isAlive(Number(readFileSync(path, "utf8"))));
  });

  test("a signal cancels it, before and while it runs", async () => {
    expect(
      (await failureOf(runCommand({ argv: ["/bin/true"], timeoutMs: 5000, signal: AbortSignal.abort() }))).code,
    ).toBe("operation.cancelled");
    const controller = new AbortController();
    const running = runCommand({
      argv: shell("echo up; sleep 300"),
      timeoutMs: 60_000,
      signal: controller.signal,
      onLine: () => controller.abort(),
    });
    expect((await failureOf(running)).code).toBe("operation.cancelled");
  });

  test("lines come whole and from both streams, the last one without its newline too", async () => {
    const lines: string[] = [];
    const script = "printf 'o'; sleep 0.02; printf 'ne\\ntwo\\n'; printf 'bad' >&2";
    await runCommand({
      argv: shell(script),
      timeoutMs: 5000,
      onLine: (line, stream) => lines.push(`${stream} ${line}`),
    });
    expect(lines.sort()).toEqual(["stderr bad", "stdout one", "stdout two"]);
  });

  test("of endless output the beginning and the end are kept", async () => {
    const script =
      "echo begin; i=0; while [ $i -lt 4000 ]; do echo 'a line that fills the buffer'; i=$((i+1)); done; echo end";
    const { stdout } = await runCommand({ argv: shell(script), timeoutMs: 20_000, keepBytes: 4096 });
    expect(stdout.length).toBeLessThan(4200);
    expect(stdout).toStartWith("begin\n");
    expect(stdout).toEndWith("end\n");
    expect(stdout).toContain("characters left out");
  });

  test("a child that keeps the pipe open does not keep the result", async () => {
    const path = `${newDir()}/pid`;
    const { stdout } = await runCommand({ argv: shell(`sleep 300 & echo $! > ${path}; echo done`), timeoutMs: 5000 });
    expect(stdout).toBe("done\n");
    process.kill(Number(readFileSync(path, "utf8")), "SIGKILL");
  });

  test("a missing program is named with its package, a failed one keeps argv, code and the end of stderr", async () => {
    const missing = await failureOf(
      runCommand({ argv: ["/usr/bin/no-such-tool"], timeoutMs: 1000, package: "toolbox" }),
    );
    expect([missing.code, missing.fix]).toEqual(["host.command_missing", "sudo apt-get install toolbox"]);
    const failed = await failureOf(requireCommand({ argv: shell("echo why >&2; exit 3"), timeoutMs: 5000 }));
    expect([failed.code, failed.data as unknown]).toEqual([
      "host.command_failed",
      { command: shell("echo why >&2; exit 3"), exitCode: 3, stderr: "why" },
    ]);
  });
});

describe("spawnDetached", () => {
  test("the program is in a session of its own, logs where it was told, and tells its end", async () => {
    const logPath = `${newDir()}/log`;
    const child = spawnDetached({
      argv: shell("cut -d' ' -f6 /proc/$$/stat; echo oops >&2; exit 4"),
      env: {},
      cwd: "/",
      logPath,
    });
    expect(await child.exited).toBe(4);
    expect(readFileSync(logPath, "utf8")).toBe(`${child.pid}\noops\n`);
  });
});

describe("runOnTerminal", () => {
  test("the exit code is the program's own, or 128 and the signal's number", async () => {
    expect(await runOnTerminal(shell("exit 7"))).toBe(7);
    expect(await runOnTerminal(shell("kill -TERM $$"))).toBe(143);
  });

  test("a signal to us reaches the program, which decides what it means", async () => {
    const path = `${newDir()}/ready`;
    const script = `import { runOnTerminal } from ${JSON.stringify(`${import.meta.dir}/../../src/host/process.ts`)};
      process.exit(await runOnTerminal(["/bin/sh", "-c", 'trap "exit 42" TERM; echo up > ${path}; while :; do sleep 0.05; done']));`;
    const outer = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "inherit", "inherit"] });
    await until(() => Bun.file(path).size > 0);
    outer.kill("SIGTERM");
    expect(await outer.exited).toBe(42);
  });
});
