// Finds a systemd-resolved to test with: this host's, else its package's files unpacked beside the build; installing it would rewrite resolv.conf.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const cache = join(import.meta.dir, "../../build/test-resolved");

const run = (argv: string[], cwd = "/") =>
  Bun.spawnSync(argv, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 120_000 });

const works = (directory: string): boolean => {
  const program = `${directory}/lib/systemd/systemd-resolved`;
  return existsSync(program) && existsSync(`${directory}/usr/bin/resolvectl`) && run([program, "--version"]).success;
};

/** The directory that stands before its paths ("" for this host itself), or why there is none. */
export const findResolved = (): { directory: string } | { missing: string } => {
  if (!Bun.which("dbus-daemon")) return { missing: "not installed: dbus-daemon" };
  for (const directory of ["", cache]) if (works(directory)) return { directory };
  mkdirSync(join(cache, ".."), { recursive: true });
  const part = mkdtempSync(`${cache}-`);
  try {
    const fetched = run(["apt-get", "download", "systemd-resolved"], part);
    const [deb] = readdirSync(part).filter((name) => name.endsWith(".deb"));
    if (!fetched.success || deb === undefined) return { missing: "the package systemd-resolved is not to be had" };
    if (!run(["dpkg-deb", "-x", deb, join(part, "x")], part).success) return { missing: "its package is broken" };
    if (!works(join(part, "x"))) return { missing: "the packaged systemd-resolved does not run on this host" };
    rmSync(cache, { recursive: true, force: true });
    renameSync(join(part, "x"), cache);
    return { directory: cache };
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
};
