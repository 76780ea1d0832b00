// `banger cp` from its command line to files in a guest and back: the real program, the daemon's socket for streams, the real helper.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  existsSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CopyLine, openCopyLine } from "../../src/client/copy-line.ts";
import { findDestination, receiveTree } from "../../src/client/copy-receive.ts";
import { openClientStream } from "../../src/client/stream.ts";
import { COPY, renderFile, renderHead, renderLink, renderOffset } from "../../src/spec/guest/copy.ts";
import type { Message } from "../../src/spec/guest/messages.ts";
import { MAIN } from "../cli/spawned.ts";
import { buildProblem, until } from "./real-helper.ts";
import { ME, type StreamHost, startStreamHost } from "./stream-host.ts";

const problem = buildProblem();
const MIB = 2 ** 20;

const noise = (bytes: number): Uint8Array => {
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(all.subarray(at, Math.min(bytes, at + 65_536)));
  return all;
};

/** Everything that a copy keeps, of a whole tree. */
const describeTree = (root: string, below = ""): Record<string, unknown> => {
  const place = join(root, below);
  const stat = lstatSync(place);
  const kind = stat.isSymbolicLink() ? "link" : stat.isDirectory() ? "directory" : "file";
  const what =
    kind === "link"
      ? { kind, target: readlinkSync(place) }
      : {
          kind,
          mode: (stat.mode & 0o777).toString(8),
          timeMs: below === "" && kind === "directory" ? 0 : Math.round(stat.mtimeMs),
          ...(kind === "file" ? { hash: Bun.hash(readFileSync(place)).toString(16), size: stat.size } : {}),
        };
  const entries = kind === "directory" ? readdirSync(place) : [];
  return Object.assign({ [below]: what }, ...entries.map((name) => describeTree(root, join(below, name))));
};

describe.skipIf(problem !== null)(`cp${problem === null ? "" : ` (skipped: ${problem})`}`, () => {
  let host: StreamHost;
  let dir: string;
  let guest: string;
  let here: string;

  beforeAll(async () => {
    host = await startStreamHost(["web", "db"]);
  }, 60_000);
  afterAll(() => host.stop());
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "bgr-cp-"));
    guest = join(dir, "guest");
    here = join(dir, "here");
    for (const each of [guest, here]) mkdirSync(each);
  });
  afterEach(() => {
    // A directory that its owner may not write in keeps what it holds, from everyone but root.
    Bun.spawnSync(["chmod", "-R", "u+rwX", dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  const start = (...argv: string[]) =>
    Bun.spawn([process.execPath, MAIN, "cp", ...argv], {
      env: host.daemon.env,
      cwd: here,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  const cp = async (...argv: string[]) => {
    const child = start(...argv);
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { exitCode: child.exitCode, out, err };
  };

  /** A tree with all that is hard. */
  const makeTree = (root: string): void => {
    mkdirSync(join(root, "deep/er/est"), { recursive: true });
    mkdirSync(join(root, "empty"));
    writeFileSync(join(root, "plain"), "hello");
    writeFileSync(join(root, "nothing"), "");
    writeFileSync(join(root, "deep/er/est/script"), "#!/bin/sh\n");
    writeFileSync(join(root, "big"), noise(3 * MIB + 77));
    for (const name of ["with space", "new\nline", "-rf", "ü€😀", "a:b", "'\"$(x)`;*?[", "tab\there", ".hidden"])
      writeFileSync(join(root, name), name);
    symlinkSync("plain", join(root, "link"));
    symlinkSync("/etc/passwd", join(root, "out"));
    symlinkSync("no/where", join(root, "dangling"));
    chmodSync(join(root, "deep/er/est/script"), 0o755);
    chmodSync(join(root, "plain"), 0o640);
    chmodSync(join(root, "nothing"), 0o400);
    chmodSync(join(root, "deep/er"), 0o500);
    const fd = openSync(join(root, "sparse"), "w");
    ftruncateSync(fd, 64 * MIB);
    writeSync(fd, noise(4096), 0, 4096, 20 * MIB);
    writeSync(fd, noise(10), 0, 10, 64 * MIB - 10);
    closeSync(fd);
    for (const name of ["plain", "sparse", "deep/er", "empty"])
      utimesSync(join(root, name), 1_600_000_000, 1_500_000_000.25);
  };

  test("a tree comes through unchanged: into a guest, on to another, and back", async () => {
    mkdirSync(join(here, "tree"));
    makeTree(join(here, "tree"));
    const before = describeTree(join(here, "tree"));
    expect(Object.keys(before).length).toBeGreaterThan(18);
    for (const argv of [
      ["tree", `web:${guest}`],
      [`web:${guest}/tree`, `db:${guest}/second`],
      ["-r", `db:${guest}/second/`, "back"],
    ]) {
      const done = await cp(...argv);
      expect([done.exitCode, done.out, done.err]).toEqual([0, "", ""]);
    }
    expect(describeTree(join(guest, "tree"))).toEqual(before);
    expect(describeTree(join(guest, "second"))).toEqual(before);
    expect(describeTree(join(here, "back"))).toEqual(before);
    for (const copy of [join(guest, "tree/sparse"), join(guest, "second/sparse"), join(here, "back/sparse")])
      expect(statSync(copy).blocks * 512).toBeLessThan(2 * MIB);
  }, 30_000);

  test("paths are as scp has them", async () => {
    writeFileSync(join(here, "one"), "1");
    writeFileSync(join(here, "two"), "2");
    mkdirSync(join(here, "d/sub"), { recursive: true });
    writeFileSync(join(here, "d/sub/f"), "f");
    await cp("one", `web:${guest}/named`);
    await cp("one", "two", `web:${guest}`);
    await cp("d", `web:${guest}/new`);
    await cp("d", `web:${guest}`);
    await cp("d/", `web:${guest}/slash/`);
    mkdirSync(join(guest, "content"));
    await cp("d/.", `web:${guest}/content`);
    await cp(`web:${guest}/content/.`, "brought");
    const all = [...new Bun.Glob("**/*").scanSync({ cwd: guest })].sort();
    expect(all).toEqual(["content/sub/f", "d/sub/f", "named", "new/sub/f", "one", "slash/sub/f", "two"]);
    expect(readFileSync(join(here, "brought/sub/f"), "utf8")).toBe("f");
  }, 30_000);

  test.each([
    [
      "several into what is no directory",
      (g: string) => ["a", "b", `web:${g}/none`],
      "the destination is not a directory",
    ],
    [
      "a file into a directory that there is not",
      (g: string) => ["a", `web:${g}/none/`],
      "the destination does not exist",
    ],
    ["below a directory that there is not", (g: string) => ["a", `web:${g}/no/ne`], "directory does not exist"],
    ["a directory onto a file", (g: string) => [".", `web:${g}/file`], "the destination is a file"],
    ["a source that there is not", (g: string) => [`web:${g}/missing`, "x"], "No such file or directory"],
    ["neither side in a VM", () => ["a", "b"], "one side must be a VM"],
    ["nowhere", () => ["web:a"], "give what to copy and where to"],
  ])("%s is refused", async (_claim, argv, message) => {
    for (const name of ["a", "b"]) writeFileSync(join(here, name), name);
    writeFileSync(join(guest, "file"), "");
    const done = await cp(...argv(guest));
    expect(done.exitCode).not.toBe(0);
    expect(done.err).toContain(message);
  });

  test("what cannot be read or written is told, and the rest is copied", async () => {
    mkdirSync(join(here, "mixed"));
    writeFileSync(join(here, "mixed/good"), "good");
    Bun.spawnSync(["mkfifo", join(here, "mixed/pipe")]);
    mkdirSync(join(guest, "mixed/taken"), { recursive: true });
    writeFileSync(join(here, "mixed/taken"), "a file where a directory is");
    const done = await cp("mixed", `web:${guest}`);
    expect(done.exitCode).toBe(1);
    expect(done.err).toContain("pipe: neither file nor directory nor link");
    expect(done.err).toContain("taken: something that is no file is there");
    expect(readFileSync(join(guest, "mixed/good"), "utf8")).toBe("good");
    const back = await cp("--json", `web:${guest}/mixed/good`, "out");
    expect(JSON.parse(back.out)).toEqual({ files: 1, bytes: 4, resumedBytes: 0, problems: [] });
  });

  const partsIn = (place: string): string[] => readdirSync(place).filter((name) => name.startsWith(".banger-part-"));
  const partSize = (place: string): number =>
    Math.max(0, ...partsIn(place).map((name) => statSync(join(place, name)).size));

  test.each([
    ["into a guest", () => ({ from: "blob", to: `web:${guest}`, source: here, target: guest })],
    ["out of a guest", () => ({ from: `web:${guest}/blob`, to: ".", source: guest, target: here })],
  ])(
    "a copy that was cut is gone on with %s",
    async (_claim, plan) => {
      const { from, to, source, target } = plan();
      const bytes = noise(96 * MIB);
      writeFileSync(join(source, "blob"), bytes);
      const child = start(from, to);
      await until("some of it is there", () => partSize(target) > 4 * MIB, 10_000);
      child.kill("SIGKILL");
      await child.exited;
      await until("the streams are over", () => host.busy().length === 0, 10_000);
      expect(existsSync(join(target, "blob"))).toBe(false);
      const left = partSize(target);
      const done = await cp("--json", from, to);
      expect(done.err).toBe("");
      const tally = JSON.parse(done.out) as { bytes: number; resumedBytes: number };
      expect(tally.resumedBytes).toBeGreaterThanOrEqual(left - MIB);
      expect(tally.resumedBytes + tally.bytes).toBe(bytes.length);
      expect(Bun.hash(readFileSync(join(target, "blob")))).toBe(Bun.hash(bytes));
      expect(partsIn(target)).toEqual([]);
    },
    30_000,
  );

  test("what was left of another file is never gone on with", async () => {
    writeFileSync(join(here, "blob"), noise(64 * MIB));
    const child = start("blob", `web:${guest}`);
    await until("some of it is there", () => partSize(guest) > MIB, 10_000);
    child.kill("SIGKILL");
    await child.exited;
    const other = noise(64 * MIB);
    writeFileSync(join(here, "blob"), other);
    const done = await cp("--json", "blob", `web:${guest}`);
    expect(JSON.parse(done.out)).toMatchObject({ resumedBytes: 0 });
    expect(Bun.hash(readFileSync(join(guest, "blob")))).toBe(Bun.hash(other));
  }, 30_000);

  /** A guest that sends these messages, and what the host makes of them. */
  const receiveFrom = async (messages: readonly Message[]): Promise<{ problems: string[]; failure: string | null }> => {
    const left = [...messages];
    const line: CopyLine = { next: async () => left.shift() ?? null, send: async () => undefined };
    const problems: string[] = [];
    const report = {
      onFile: () => undefined,
      onBytes: () => undefined,
      onProblem: (text: string) => problems.push(text),
    };
    const path = join(here, "in");
    mkdirSync(path, { recursive: true });
    return receiveTree(line, { destination: findDestination(path, false), path, vm: "web", report }).then(
      () => ({ problems, failure: null }),
      (error: { code?: string }) => ({ problems, failure: error.code ?? String(error) }),
    );
  };
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  const fileMessages = (path: string, content: string): Message[] => [
    { tag: COPY.file, bytes: renderFile({ mode: 0o4777, timeNs: 0n, path: bytesOf(path), size: content.length }) },
    { tag: COPY.block, bytes: Buffer.concat([renderOffset(0), bytesOf(content)]) },
    { tag: COPY.fileEnd, bytes: new Uint8Array(0) },
  ];
  const all: Message = { tag: COPY.all, bytes: new Uint8Array(0) };

  test.each(["../evil", "/evil", "a/../../evil", "./evil", "a//b", "a/", "nul\0byte", `${"x".repeat(256)}`])(
    "a guest cannot write to %j",
    async (path) => {
      expect((await receiveFrom([...fileMessages(path, "evil"), all])).failure).toBe("guest.protocol_error");
      expect(existsSync(join(dir, "evil"))).toBe(false);
      expect(existsSync(join(here, "evil"))).toBe(false);
    },
  );

  test("a guest cannot lead out by a link that it sent before, nor leave a set-uid file", async () => {
    const outside = join(dir, "outside");
    mkdirSync(outside);
    const link: Message = { tag: COPY.link, bytes: renderLink(bytesOf("l"), bytesOf(outside)) };
    const done = await receiveFrom([link, ...fileMessages("l/evil", "evil"), ...fileMessages("good", "good"), all]);
    expect(done.problems.length).toBe(1);
    expect(readdirSync(outside)).toEqual([]);
    expect(statSync(join(here, "in/good")).mode & 0o7777).toBe(0o777);
  });

  test("blocks beyond a file, without a file, or an end in the middle are faults", async () => {
    const [file, block] = fileMessages("f", "four") as [Message, Message];
    const beyond: Message = { tag: COPY.block, bytes: Buffer.concat([renderOffset(3), bytesOf("xx")]) };
    for (const messages of [[file, beyond, all], [block, all], [file], [], [{ tag: 99, bytes: new Uint8Array(0) }]])
      expect((await receiveFrom(messages)).failure).toBe("guest.protocol_error");
  });

  /** A host that sends these to the real helper; how the helper ends the stream. */
  const sendTo = async (messages: readonly Message[]): Promise<string> => {
    const stream = await openClientStream({
      socket: host.socket,
      vm: "web",
      kind: "copy.receive",
      fields: { path: guest, user: ME },
    });
    const line = openCopyLine(stream, "web");
    for (const { tag, bytes } of messages) await line.send(tag, bytes);
    try {
      let said = "";
      for (let message = await line.next(); message !== null; message = await line.next())
        said += message.tag === COPY.failed ? `${Buffer.from(message.bytes)}; ` : "";
      return said;
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each(["../evil", "/evil", "a/../../evil", "./evil", "a//b", "a/", "nul\0byte", `${"x".repeat(256)}`])(
    "a source cannot make a guest write to %j",
    async (path) => {
      expect(await sendTo([...fileMessages(path, "evil"), all])).toMatch(/leads elsewhere|with a NUL/);
      expect(existsSync(join(dir, "evil"))).toBe(false);
    },
  );

  test("a source cannot lead a guest out by a link, nor break its helper with messages of the wrong form", async () => {
    const outside = join(dir, "outside");
    mkdirSync(outside);
    const link: Message = { tag: COPY.link, bytes: renderLink(bytesOf("l"), bytesOf(outside)) };
    expect(await sendTo([link, ...fileMessages("l/evil", "evil"), all])).toMatch(/l\/evil: /);
    expect(readdirSync(outside)).toEqual([]);
    for (const tag of [COPY.directory, COPY.file, COPY.link, COPY.block, COPY.directoryEnd])
      for (const length of [0, 1, 2, 7, 11, 12, 19, 20])
        expect(await sendTo([{ tag, bytes: new Uint8Array(length).fill(0xff) }, all])).not.toBe("it is still there");
    const head = renderHead({ mode: 0o755, timeNs: 0n, path: bytesOf("fine") });
    expect(await sendTo([{ tag: COPY.directory, bytes: head }, { tag: COPY.directoryEnd, bytes: head }, all])).toBe("");
    expect(statSync(join(guest, "fine")).isDirectory()).toBe(true);
  }, 20_000);
});
