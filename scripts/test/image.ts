// The one image that the guest tests boot: built by the real scripts once for each state of images/ and guest/, then handed out as a copy.
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";

const BUILD_TIMEOUT_MS = 20 * 60_000;

/** Everything that decides what is in the image. */
const hashInputs = (root: string): string => {
  const hash = createHash("sha256");
  const files = ["images/**", "guest/**"].flatMap((pattern) => [
    ...new Glob(pattern).scanSync({ cwd: root, dot: true }),
  ]);
  for (const file of files.sort())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  return hash.digest("hex").slice(0, 12);
};

const runScript = async (root: string, name: string, args: readonly string[]): Promise<void> => {
  const child = Bun.spawn(
    ["/bin/sh", join(root, "images", name), "--guest-helpers", join(root, "build/guest"), ...args],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: BUILD_TIMEOUT_MS,
    },
  );
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`images/${name} failed:\n${(out + error).trim().slice(-2000)}`);
};

/** A runtime directory (BANGER_RUNTIME_DIR) like any other, but whose image scripts copy what was built instead of building. */
const makeRuntime = (root: string, directory: string, image: string): void => {
  mkdirSync(join(directory, "images/packages"), { recursive: true });
  for (const name of ["banger-shim", "banger-tsc", "guest"])
    symlinkSync(join(root, "build", name), join(directory, name));
  copyFileSync(join(root, "images/packages/debian-13.txt"), join(directory, "images/packages/debian-13.txt"));
  const script = (name: string, lines: readonly string[]) => {
    const parse =
      "while [ $# -gt 0 ]; do case $1 in --output) output=$2 ;; --manifest) manifest=$2 ;; esac; shift; done";
    const path = join(directory, "images", name);
    writeFileSync(path, ["#!/bin/sh", "set -eu", parse, ...lines, ""].join("\n"));
    chmodSync(path, 0o755);
  };
  const copy = "cp -r --reflink=auto --sparse=always";
  script("customize.sh", [`${copy} '${image}/rootfs.ext4' "$output"`, `cp '${image}/packages.txt' "$manifest"`]);
  script("debian-kernel.sh", [`${copy} '${image}/kernel' "$output"`]);
};

export type TestImage = {
  /** rootfs.ext4, packages.txt and kernel/ */
  directory: string;
  /** For BANGER_RUNTIME_DIR: there `banger image build` takes a second. */
  runtime: string;
};

/** Builds it when it is not there yet. Takes minutes then, and nothing otherwise. */
export const prepareTestImage = async (root: string, say: (line: string) => void): Promise<TestImage> => {
  const directory = join(root, "build/cache", `image-${hashInputs(root)}`);
  const found = { directory, runtime: join(directory, "runtime") };
  if (existsSync(directory)) return found;
  say("building the image that the guest tests boot; kept in build/cache until images/ or guest/ change");
  const temporary = `${directory}.${process.pid}`;
  mkdirSync(temporary, { recursive: true });
  try {
    const started = performance.now();
    await Promise.all([
      runScript(root, "debian-kernel.sh", ["--output", join(temporary, "kernel")]),
      runScript(root, "customize.sh", [
        ...["--output", join(temporary, "rootfs.ext4")],
        ...["--manifest", join(temporary, "packages.txt")],
      ]),
    ]);
    makeRuntime(root, join(temporary, "runtime"), directory);
    renameSync(temporary, directory);
    say(`built in ${Math.round((performance.now() - started) / 1000)} s`);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return found;
};
