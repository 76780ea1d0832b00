// Debian packages for a guest without a way to Debian: fetched on this host, exactly those that the guest lacks, by apt itself.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const TIMEOUT_MS = 180_000;
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Unpacks `packages` of a Debian suite into `tree`, with what they depend on, except what `status` (the guest's /var/lib/dpkg/status) has
 * already. `directory` is apt's whole world meanwhile: nothing of this host's is read or changed but how its apt reaches a mirror.
 * Unpacked here, because an emulated guest needs minutes to decompress and configure what is a second's work.
 */
export const unpackPackages = (
  directory: string,
  wanted: { suite: string; packages: readonly string[]; status: string; tree: string },
): void => {
  const archives = join(directory, "cache/archives");
  for (const path of [join(archives, "partial"), join(directory, "lists/partial")])
    mkdirSync(path, { recursive: true });
  const list = join(directory, "sources.list");
  const mirror = process.env.BANGER_DEBIAN_MIRROR ?? "http://deb.debian.org/debian";
  writeFileSync(list, `deb [signed-by=${KEYRING}] ${mirror} ${wanted.suite} main\n`);
  writeFileSync(join(directory, "status"), wanted.status);
  const settings = {
    "Dir::Etc::sourcelist": list,
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": directory,
    "Dir::State::status": join(directory, "status"),
    "Dir::Cache": join(directory, "cache"),
    "Acquire::Languages": "none",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    "Debug::NoLocking": "true",
    "APT::Sandbox::User": "root",
  };
  const apt = (...argv: string[]) => {
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    const done = Bun.spawnSync(["apt-get", "-q", ...options, ...argv], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: TIMEOUT_MS,
    });
    if (!done.success) throw new Error(`apt-get ${argv.join(" ")}: ${done.stderr.toString().slice(-1000)}`);
  };
  apt("update");
  apt("install", "--yes", "--no-install-recommends", "--download-only", ...wanted.packages);
  mkdirSync(wanted.tree, { recursive: true });
  for (const name of readdirSync(archives).filter((name) => name.endsWith(".deb"))) {
    const done = Bun.spawnSync(["dpkg-deb", "-x", join(archives, name), wanted.tree], { stderr: "pipe" });
    if (!done.success) throw new Error(`dpkg-deb ${name}: ${done.stderr}`);
  }
  for (const unread of ["doc", "man", "locale", "info"])
    rmSync(join(wanted.tree, "usr/share", unread), { recursive: true, force: true });
};
