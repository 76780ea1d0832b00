// What the first-stage init writes from a guest document, run under sanitizers in a directory.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { buildSanitizedInit, document, freshRoot, runInit } from "./guest-document.ts";

const owner = `carol:${process.getuid?.() === 0 ? 1000 : process.getuid?.()}:1000:/home/carol:/bin/bash\n`;
const whole = {
  hostname: "web\n",
  fqdn: "web.vm\n",
  "machine-id": "0123456789abcdef0123456789abcdef\n",
  user: owner,
  authorized_keys: "ssh-ed25519 AAAAone one\n",
  "ssh/ssh_host_ed25519_key": "private\n",
  "ssh/ssh_host_ed25519_key.pub": "public\n",
  "resolv.conf": "nameserver 10.0.0.1\n",
  timezone: "Europe/Berlin\n",
  locale: "de_DE.UTF-8\n",
  proxy: "http_proxy=http://10.0.0.1:3128\nno_proxy=.vm\nPATH=/evil\nhttps_proxy=http://a$(id)\n",
  "ca/corp.crt": "-----BEGIN new-----\n",
  "first-boot": "#!/bin/sh\n",
  "from-the-future": "ignored",
};

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

const read = (name: string) => readFileSync(join(root, name), "utf8");
const mode = (name: string) => statSync(join(root, name)).mode & 0o7777;

test("a whole document becomes the machine's identity, with the right modes", () => {
  expect(runInit(program, root, document(whole))).toEqual({ code: 0, stderr: "" });
  expect(read("etc/hostname")).toBe("web\n");
  expect(read("etc/hosts")).toBe("127.0.0.1\tlocalhost\n127.0.1.1\tweb.vm web\n");
  expect(read("etc/machine-id")).toBe("0123456789abcdef0123456789abcdef\n");
  expect(read("etc/resolv.conf")).toBe("nameserver 10.0.0.1\n");
  expect(readlinkSync(join(root, "etc/localtime"))).toBe("/usr/share/zoneinfo/Europe/Berlin");
  expect(read("etc/default/locale")).toBe("LANG=C.UTF-8\n");
  expect(read("etc/passwd")).toContain(
    `\n${owner.trim().replace("carol:", "carol:x:").replace(":/home", "::/home")}\n`,
  );
  expect(read("etc/shadow")).toContain("\ncarol:*::0:99999:7:::\n");
  expect(read("etc/group")).toContain("sudo:x:27:carol\n");
  expect(read("etc/group")).toContain("carol:x:1000:\n");
  expect(read("etc/gshadow")).toContain("sudo:*::carol\n");
  expect(read("etc/subuid")).toBe("carol:100000:65536\n");
  expect(read("etc/sudoers.d/90-banger")).toBe("carol ALL=(ALL:ALL) NOPASSWD: ALL\n");
  expect(read("home/carol/.profile")).toBe("# skel\n");
  expect(read("home/carol/.ssh/authorized_keys")).toBe("ssh-ed25519 AAAAone one\n");
  expect(read("var/lib/banger/revision")).toBe("one\n");
  expect(["etc/ssh/ssh_host_ed25519_key", "etc/ssh/ssh_host_ed25519_key.pub", "etc/shadow"].map(mode)).toEqual([
    0o600, 0o644, 0o640,
  ]);
  expect(
    ["home/carol", "home/carol/.ssh", "home/carol/.ssh/authorized_keys", "var/lib/banger/first-boot"].map(mode),
  ).toEqual([0o700, 0o700, 0o600, 0o700]);
});

test("a proxy is written for apt and sessions, and nothing but a proxy", () => {
  runInit(program, root, document(whole));
  expect(read("etc/environment")).toBe("http_proxy=http://10.0.0.1:3128\nno_proxy=.vm\n");
  expect(read("etc/apt/apt.conf.d/90banger-proxy")).toBe('Acquire::http::Proxy "http://10.0.0.1:3128";\n');
});

test("a certificate is in the bundle at once and left for update-ca-certificates", () => {
  runInit(program, root, document(whole));
  expect(read("etc/ssl/certs/ca-certificates.crt")).toBe("-----BEGIN old-----\n-----BEGIN new-----\n");
  expect(read("usr/local/share/ca-certificates/banger/corp.crt")).toBe("-----BEGIN new-----\n");
  expect(existsSync(join(root, "var/lib/banger/certificates-pending"))).toBe(true);
});

test("the same revision writes nothing again, another one does", () => {
  runInit(program, root, document(whole));
  writeFileSync(join(root, "etc/hostname"), "mine\n");
  expect(runInit(program, root, document(whole)).code).toBe(0);
  expect(read("etc/hostname")).toBe("mine\n");
  expect(runInit(program, root, document({ ...whole, revision: "two\n" })).code).toBe(0);
  expect(read("etc/hostname")).toBe("web\n");
  expect(read("etc/hosts").match(/127\.0\.1\.1/g)).toHaveLength(1);
  expect(read("etc/passwd").match(/^carol:/gm)).toHaveLength(1);
});

test("keys and hosts that people added survive a new revision, and the new key comes", () => {
  runInit(program, root, document(whole));
  writeFileSync(join(root, "home/carol/.ssh/authorized_keys"), "ssh-ed25519 AAAAmine mine\nssh-ed25519 AAAAone one\n");
  writeFileSync(join(root, "etc/hosts"), "127.0.1.1\tweb.vm web\n10.1.1.1\tdb");
  const next = {
    ...whole,
    revision: "two\n",
    hostname: "www\n",
    fqdn: "www.vm\n",
    authorized_keys: "ssh-ed25519 AAAAtwo two",
  };
  expect(runInit(program, root, document(next)).code).toBe(0);
  expect(read("home/carol/.ssh/authorized_keys").split("\n").sort()).toEqual([
    "",
    "ssh-ed25519 AAAAmine mine",
    "ssh-ed25519 AAAAone one",
    "ssh-ed25519 AAAAtwo two",
  ]);
  expect(read("etc/hosts")).toBe("127.0.1.1\twww.vm www\n10.1.1.1\tdb\n");
});

test("the first-boot program does not come back once it has run", () => {
  runInit(program, root, document(whole));
  rmSync(join(root, "var/lib/banger/first-boot"));
  writeFileSync(join(root, "var/lib/banger/first-boot.done"), "");
  runInit(program, root, document({ ...whole, revision: "two\n" }));
  expect(existsSync(join(root, "var/lib/banger/first-boot"))).toBe(false);
});

test("an existing system account of that name is adapted, its password left alone", () => {
  writeFileSync(join(root, "etc/shadow"), "root:*:1::::::\nbackup:$y$hash:20000:0:99999:7:::\n");
  expect(runInit(program, root, document({ user: owner.replaceAll("carol", "backup") })).code).toBe(0);
  expect(read("etc/passwd")).toContain("backup:/home/backup:/bin/bash\n");
  expect(read("etc/passwd").match(/^backup:/gm)).toHaveLength(1);
  expect(read("etc/shadow")).toContain("backup:$y$hash:20000:0:99999:7:::\n");
});

test("root as the user needs no account and no sudo", () => {
  const before = read("etc/passwd");
  const content = { user: "root:0:0:/root:/bin/bash\n", authorized_keys: "ssh-ed25519 AAAA r\n" };
  const run = runInit(program, root, document(content));
  expect(run).toEqual({ code: 0, stderr: "" });
  expect(read("etc/passwd")).toBe(before);
  expect(existsSync(join(root, "etc/sudoers.d"))).toBe(false);
  expect(read("root/.ssh/authorized_keys")).toBe("ssh-ed25519 AAAA r\n");
});

test("a shell that the guest does not have becomes bash", () => {
  runInit(program, root, document({ user: owner.replace("/bin/bash", "/usr/bin/fish") }));
  expect(read("etc/passwd")).toContain(":/home/carol:/bin/bash\n");
});

test("a symbolic link in the way of a file is replaced, not followed", () => {
  writeFileSync(join(root, "precious"), "precious\n");
  symlinkSync(join(root, "precious"), join(root, "etc/resolv.conf"));
  runInit(program, root, document(whole));
  expect(lstatSync(join(root, "etc/resolv.conf")).isSymbolicLink()).toBe(false);
  expect(read("precious")).toBe("precious\n");
});

test("a file of hosts that is too long to be read is left as it is, and told", () => {
  const long = `127.0.0.1\tlocalhost\n${"0.0.0.0\tads.example\n".repeat(60_000)}`;
  writeFileSync(join(root, "etc/hosts"), long);
  const { code, stderr } = runInit(program, root, document({ hostname: "web\n" }));
  expect(code).toBe(3);
  expect(stderr).toContain("read etc/hosts: File too large");
  expect(read("etc/hosts") === long).toBe(true);
  expect(read("etc/hostname")).toBe("web\n");
});
