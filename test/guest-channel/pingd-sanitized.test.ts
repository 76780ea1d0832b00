// banger-vsock-pingd under address and undefined-behaviour sanitizers: its fuzz driver with fixed seeds, and real conversations with random bytes.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openGuestChannel } from "../../src/guest/channel.ts";
import { readListeners, readStatus } from "../../src/guest/reports.ts";
import { COPY, renderFile, renderHead } from "../../src/spec/guest/copy.ts";
import { EXEC, execFields } from "../../src/spec/guest/exec.ts";
import { renderMessage } from "../../src/spec/guest/messages.ts";
import { runTool, sanitizing } from "../native.ts";
import { until } from "./real-helper.ts";

const SOURCE = join(import.meta.dir, "../../guest/pingd");
const { CC, CFLAGS } = sanitizing() ?? { CC: null, CFLAGS: "" };
const FLAGS = ["-std=c11", "-D_GNU_SOURCE", ...CFLAGS.split(" "), "-Wall", "-Wextra", "-Werror"];
const ENVIRONMENT = { ASAN_OPTIONS: "detect_leaks=0:abort_on_error=1" };

const directory = mkdtempSync(join(tmpdir(), "bgr-asan-"));

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const build = (name: string, sources: readonly string[]): string => {
  const program = join(directory, name);
  const paths = sources.map((source) => join(SOURCE, source));
  runTool([CC ?? "", ...FLAGS, "-o", program, ...paths]);
  return program;
};

describe.skipIf(CC === null)(
  `under sanitizers${CC === null ? " (skipped: no clang or gcc with sanitizers)" : ""}`,
  () => {
    let fuzz: string;
    let helper: string;

    beforeAll(() => {
      fuzz = build("fuzz", ["fuzz.c", "session.c", "frame.c", "echo.c"]);
      helper = build(
        "pingd",
        readdirSync(SOURCE).filter((name) => name.endsWith(".c") && name !== "fuzz.c"),
      );
    }, 60_000);

    test.each([1, 2, 3])(
      "no random or mutated input breaks a promise of the parser or the session (seed %d)",
      (seed) => {
        const result = Bun.spawnSync([fuzz, "4000", String(seed)], {
          env: ENVIRONMENT,
          stderr: "pipe",
          timeout: 50_000,
        });
        expect(result.stderr.toString()).toBe("");
        expect(result.exitCode).toBe(0);
        expect(result.stdout.toString()).toMatch(/^4000 rounds, \d{4,} synchronised, \d{4,} frames out/);
      },
      60_000,
    );

    test("hosts that send noise, hang up in the middle and come back find it as it was", async () => {
      const path = join(directory, "s");
      const child = Bun.spawn(
        [helper, "--unix", path, "--run-dir", join(directory, "run"), "--init-pid", "0", "--systemctl", "/bin/false"],
        {
          env: ENVIRONMENT,
          stderr: "pipe",
        },
      );
      let randomState = 12_345;
      const random = (below: number): number => {
        randomState = (Math.imul(randomState, 1_103_515_245) + 12_345) & 0x7fffffff;
        return (randomState >>> 8) % below;
      };
      for (let round = 0; round < 60; round++) {
        const channel = openGuestChannel({ kind: "stream-socket", path }, { vm: "blue" });
        await channel.ready({ timeoutMs: 10_000 });
        const stream = await channel.open("echo");
        stream.closed.catch(() => undefined);
        stream.writable
          .getWriter()
          .write(new Uint8Array(random(900_000)))
          .catch(() => undefined);
        await channel.ping({ timeoutMs: 10_000 });
        if (round % 3 === 0) await channel.shutdown("reboot", { timeoutMs: 10_000 });
        const rude = await Bun.connect({ unix: path, socket: { data: () => undefined, error: () => undefined } });
        rude.write(Uint8Array.from({ length: 1 + random(3_000) }, () => random(256)));
        rude.terminate();
        channel.close();
      }
      const last = openGuestChannel({ kind: "stream-socket", path }, { vm: "blue" });
      await last.ready({ timeoutMs: 10_000 });
      last.close();
      expect(child.exitCode).toBe(null);
      child.kill(9);
      await until("it is dead", () => child.exitCode !== null || child.signalCode !== null);
      expect(await new Response(child.stderr).text()).toBe("");
    }, 60_000);

    test("streams of every kind, with sense and without, leave no fault in any process", async () => {
      const path = join(directory, "k");
      const faults = join(directory, "faults");
      const tree = join(directory, "tree");
      mkdirSync(faults);
      mkdirSync(tree);
      writeFileSync(join(tree, "big"), new Uint8Array(1_500_000).fill(7));
      writeFileSync(join(tree, "small"), "small");
      /* What serves a stream has no standard error that anyone reads. */
      const log = `log_path=${join(faults, "f")}`;
      const child = Bun.spawn(
        [helper, "--unix", path, "--run-dir", join(directory, "run-k"), "--init-pid", "0", "--systemctl", "/bin/false"],
        { env: { ASAN_OPTIONS: `${ENVIRONMENT.ASAN_OPTIONS}:${log}`, UBSAN_OPTIONS: log }, stderr: "pipe" },
      );
      await until("the helper listens", () => existsSync(path));
      const channel = openGuestChannel({ kind: "stream-socket", path }, { vm: "blue" });
      await channel.ready({ timeoutMs: 10_000 });
      let randomState = 54_321;
      const random = (below: number): number => {
        randomState = (Math.imul(randomState, 1_103_515_245) + 12_345) & 0x7fffffff;
        return (randomState >>> 8) % below;
      };
      const bytesOf = (length: number) => Uint8Array.from({ length }, () => random(256));
      const converse = async (kind: string, fields: Record<string, string>, messages: readonly Uint8Array[]) => {
        const stream = await channel.open(kind, fields);
        stream.closed.catch(() => undefined);
        const send = async () => {
          const writer = stream.writable.getWriter();
          for (const message of messages) await writer.write(message);
          await writer.close();
        };
        const read = async () => {
          for await (const bytes of stream.readable) if (bytes.length > 200_000 && random(4) === 0) break;
        };
        await Promise.all([send().catch(() => undefined), read().catch(() => undefined)]);
      };
      const user = String(process.getuid?.() ?? 0);
      const there = new TextEncoder().encode("there");
      const file = renderFile({ mode: 0o644, timeNs: 1n, path: there, size: 2_000_000 });
      const head = renderHead({ mode: 0o755, timeNs: -5n, path: there });
      for (let round = 0; round < 8; round++) {
        const exec = execFields({ argv: ["sh", "-c", "cat; echo said >&2"], user, env: { A: "b" } });
        const onTty = execFields({ argv: [], user, terminal: { rows: 10, columns: 20, type: "vt100" } });
        const input = [EXEC.stdin, EXEC.resize, EXEC.stdin, random(40)].map((tag) =>
          renderMessage(tag, bytesOf(random(tag === EXEC.resize ? 6 : 30_000))),
        );
        const copied = [
          renderMessage(COPY.directory, head),
          renderMessage(COPY.file, file),
          renderMessage(COPY.block, bytesOf(random(9000))),
          renderMessage(33 + random(20), bytesOf(random(60))),
          renderMessage(COPY.all),
        ];
        await Promise.all([
          converse("exec", exec, [...input, renderMessage(EXEC.stdinEnd)]),
          converse("exec", onTty, [renderMessage(EXEC.stdin, new TextEncoder().encode("exit\n"))]),
          converse("exec", exec, [bytesOf(2000)]),
          converse("copy.receive", { user, path: join(directory, `r${round}`) }, copied),
          converse("copy.receive", { user, path: directory }, [bytesOf(500)]),
          converse("copy.send", { user, path: tree }, [
            renderMessage(COPY.resume, new Uint8Array(8)),
            renderMessage(COPY.done),
          ]),
          converse("copy.send", { user, path: tree }, [bytesOf(100)]),
          readListeners(channel, { vm: "blue", timeoutMs: 10_000 }),
          readStatus(channel, { vm: "blue", timeoutMs: 10_000, minAgeSeconds: 0 }),
        ]);
      }
      await channel.ping({ timeoutMs: 10_000 });
      channel.close();
      expect(child.exitCode).toBe(null);
      child.kill(9);
      await until("it is dead", () => child.exitCode !== null || child.signalCode !== null);
      expect(await new Response(child.stderr).text()).toBe("");
      expect(readdirSync(faults)).toEqual([]);
    }, 90_000);
  },
);
