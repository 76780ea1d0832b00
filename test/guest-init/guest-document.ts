// Writes guest documents, right and wrong ones, and runs the first-stage init on them in a directory.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runTool, sanitizerObstacle, sanitizing } from "../native.ts";

export type Member = { name: string; content: string; type?: string; checksum?: number; size?: number };

const BLOCK = 512;

function ustarHeader(member: Member, length: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(member.name, 0, 100);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${(member.size ?? length).toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        ", 148);
  header.write(member.type ?? "0", 156);
  header.write("ustar\x0000", 257);
  const sum = member.checksum ?? header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** A ustar archive with its two zero blocks. */
export function ustar(members: Member[]): Buffer {
  const parts = members.flatMap((member) => {
    const content = Buffer.from(member.content);
    return [ustarHeader(member, content.length), content, Buffer.alloc(-content.length & (BLOCK - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Members by name, behind the version that every document has. */
export function document(content: Record<string, string>): Buffer {
  const members = Object.entries({ version: "1\n", revision: "one\n", ...content });
  return ustar(members.map(([name, text]) => ({ name, content: text })));
}

const FILES: Record<string, string> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nbackup:x:34:34:backup:/var/backups:/usr/sbin/nologin\n",
  "etc/shadow": "root:*:20000:0:99999:7:::\nbackup:*:20000:0:99999:7:::\n",
  "etc/group": "root:x:0:\nsudo:x:27:\nusers:x:100:\nbackup:x:34:\n",
  "etc/gshadow": "root:*::\nsudo:*::\nusers:*::\nbackup:*::\n",
  "etc/hosts": "127.0.0.1\tlocalhost\n",
  "etc/skel/.profile": "# skel\n",
  "bin/bash": "",
  "usr/share/zoneinfo/Europe/Berlin": "TZif2",
  "etc/ssl/certs/ca-certificates.crt": "-----BEGIN old-----\n",
  "etc/apt/apt.conf.d/00first": "",
  "etc/ssh/sshd_config": "",
};

/** A directory that looks like the root of a fresh image; remove it with rmSync. */
export function freshRoot(): string {
  const root = mkdtempSync(join(tmpdir(), "bgr-init-"));
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  return root;
}

/** A finding ends a program with code 99. */
export const SANITIZER_ENVIRONMENT = { ASAN_OPTIONS: "exitcode=99:detect_leaks=0", UBSAN_OPTIONS: "exitcode=99" };

export type InitRun = { code: number; stderr: string };

const MAINS = ["main.c", "fuzz.c"];
const SOURCE = join(import.meta.dir, "../../guest/init");

/** Builds the init (or its fuzz driver) under the address and undefined-behaviour sanitizers; a finding ends a run with code 99. */
export function buildSanitizedInit(main: "main.c" | "fuzz.c" = "main.c"): { program: string; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), "bgr-init-build-"));
  const program = join(directory, "init");
  const sources = readdirSync(SOURCE).filter((name) => name.endsWith(".c") && (name === main || !MAINS.includes(name)));
  const compiler = sanitizing();
  if (compiler === null) throw new Error(sanitizerObstacle() ?? "");
  const flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", ...compiler.CFLAGS.split(" ")];
  runTool([compiler.CC, ...flags, "-o", program, ...sources.map((name) => join(SOURCE, name))]);
  return { program, directory };
}

/** What a boot would write, into `root`. */
export function runInit(program: string, root: string, bytes: Buffer): InitRun {
  const file = `${root}.document`;
  writeFileSync(file, bytes);
  const run = Bun.spawnSync([program, "--root", root, "--document", file], {
    env: SANITIZER_ENVIRONMENT,
    timeout: 30_000,
  });
  rmSync(file);
  return { code: run.exitCode ?? -1, stderr: run.stderr.toString() };
}
