// A guest document is not trusted: what is wrong as a whole changes nothing, what is wrong in part changes nothing of that part.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSanitizedInit, document, freshRoot, type Member, runInit, ustar } from "./guest-document.ts";

const version: Member = { name: "version", content: "1\n" };
const hostname: Member = { name: "hostname", content: "evil\n" };

let program = "";
let buildDirectory = "";
let root = "";

beforeAll(() => {
  ({ program, directory: buildDirectory } = buildSanitizedInit());
  // A compiler under sanitizers on a busy machine.
}, 60_000);
afterAll(() => rmSync(buildDirectory, { recursive: true }));
beforeEach(() => {
  root = freshRoot();
});
afterEach(() => rmSync(root, { recursive: true }));

const listing = () =>
  readdirSync(root, { recursive: true })
    .map((name) => String(name))
    .sort();

const ignored: [string, Buffer, string][] = [
  ["an empty disk", Buffer.alloc(4096), "no version"],
  ["no bytes at all", Buffer.alloc(0), "no version"],
  ["another version", ustar([{ name: "version", content: "2\n" }, hostname]), "a version other than 1"],
  ["a version that is no line", ustar([{ name: "version", content: "" }, hostname]), "no version"],
  ["a wrong checksum", ustar([version, { ...hostname, checksum: 1 }]), "wrong checksum"],
  ["a size beyond the end", ustar([version, { ...hostname, size: 0o7777777 }]), "truncated"],
  ["a size that overflows", ustar([version, { ...hostname, size: 0o77777777777 }]), "truncated"],
  ["a document cut in a member", document({ hostname: "x".repeat(2000) }).subarray(0, 3000), "truncated"],
  ["a symbolic link", ustar([version, { ...hostname, type: "2" }]), "a member is no regular file"],
  ["a hard link", ustar([version, { ...hostname, type: "1" }]), "a member is no regular file"],
  ["a device", ustar([version, { ...hostname, type: "3" }]), "a member is no regular file"],
  ["the same member twice", ustar([version, hostname, hostname]), "a member comes twice"],
  [
    "more members than there can be",
    ustar([version, ...Array.from({ length: 70 }, (_, i) => ({ name: `ca/${i}.crt`, content: "x" }))]),
    "too many members",
  ],
  ["no archive", Buffer.from("#!/bin/sh\n".repeat(200)), "no ustar archive"],
];

for (const [what, bytes, why] of ignored) {
  test(`${what} is ignored as a whole and said so`, () => {
    const before = listing();
    expect(runInit(program, root, bytes)).toEqual({
      code: 1,
      stderr: `banger-init: the guest document is ignored: ${why}\n`,
    });
    expect(listing()).toEqual(before);
  });
}

test("a member whose name climbs, is absolute or hidden is nobody's", () => {
  const names = ["../escape", "/etc/evil", "ca/../../evil.crt", "a//b", ".hidden", "ca/x/y.crt", "ssh/authorized keys"];
  const run = runInit(program, root, ustar([version, ...names.map((name) => ({ name, content: "x" }))]));
  expect(run).toEqual({ code: 0, stderr: "" });
  expect(listing().filter((name) => /escape|evil|hidden|y\.crt/.test(name))).toEqual([]);
  expect(existsSync(join(root, "../escape"))).toBe(false);
});

const badUsers = [
  "mallory:0:0:/home/mallory:/bin/bash",
  "root:1000:1000:/root:/bin/bash",
  "a b:1000:1000:/home/a:/bin/bash",
  "-a:1000:1000:/home/a:/bin/bash",
  "ALL=(ALL) x:1000:1000:/home/a:/bin/bash",
  "a:1000:1000:/home/../etc:/bin/bash",
  "a:1000:1000:relative:/bin/bash",
  "a:-1:1000:/home/a:/bin/bash",
  "a:99999999999999999999:1000:/home/a:/bin/bash",
  "a:65534:65534:/home/a:/bin/bash",
  "a:4294967295:1:/home/a:/bin/bash",
  "a:1000:1000:/home/a:/bin/bash:more",
  "a:1000:1000:/home/a",
  "a:1000:1000:/:/bin/bash",
  `${"a".repeat(33)}:1000:1000:/home/a:/bin/bash`,
  `a:1000:1000:/${"a".repeat(200)}:/bin/bash`,
];

for (const user of badUsers) {
  test(`the user "${user.slice(0, 48)}" is refused and no account changes`, () => {
    const before = ["etc/passwd", "etc/shadow", "etc/group"].map((name) => readFileSync(join(root, name), "utf8"));
    const run = runInit(program, root, document({ user: `${user}\n`, hostname: "web\n" }));
    expect(run).toEqual({ code: 3, stderr: "banger-init: the document's user is none\n" });
    expect(["etc/passwd", "etc/shadow", "etc/group"].map((name) => readFileSync(join(root, name), "utf8"))).toEqual(
      before,
    );
    expect(existsSync(join(root, "etc/sudoers.d"))).toBe(false);
    // Each part fails alone, and what failed is tried again at the next boot.
    expect(readFileSync(join(root, "etc/hostname"), "utf8")).toBe("web\n");
    expect(existsSync(join(root, "var/lib/banger/revision"))).toBe(false);
  });
}

for (const name of ["-a", "a..b", "a b", "ü", "a".repeat(65), "a\x1b[2J", ""]) {
  test(`the hostname ${JSON.stringify(name)} is refused`, () => {
    expect(runInit(program, root, document({ hostname: `${name}\n` })).code).toBe(3);
    expect(existsSync(join(root, "etc/hostname"))).toBe(false);
  });
}

test("a time zone that climbs out is not linked", () => {
  for (const timezone of ["../../../etc/passwd", "/etc/passwd", "Europe/../Europe/Berlin", "No/Where"]) {
    expect(runInit(program, root, document({ timezone: `${timezone}\n` })).code).toBe(0);
    expect(existsSync(join(root, "etc/localtime"))).toBe(false);
  }
});

test("damaged passwd and group files are carried along, whatever is in them", () => {
  const damages = ["", "\n\n", "no colons at all", "carol", "carol:", ":::::::\n", "x".repeat(5000), "a:b:c\0d:e\n"];
  for (const [i, damage] of damages.entries()) {
    for (const name of ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"])
      writeFileSync(join(root, "etc", name), damage);
    const run = runInit(
      program,
      root,
      document({ revision: `${i}\n`, user: "carol:1000:1000:/home/carol:/bin/bash\n" }),
    );
    expect(run.code).not.toBe(99);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toContain("carol:x:1000:1000:");
  }
});
