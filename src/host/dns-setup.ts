// Tells this host's resolver of the VMs' zone, and takes it back exactly: a journal is written before the first change.
import { readFileSync, statSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  DNS_JOURNAL,
  type DnsJournal,
  type DnsSetup,
  parseDnsJournal,
  type ResolverFacts,
  type SetupCommand,
} from "../core/dns-setup.ts";
import { describeUnknown, fail, hasCode } from "../spec/errors.ts";
import { requireCommand, runCommand } from "./command.ts";

/** Where files are, and how commands are run: another root is somebody's test, or an image that is being made. */
export type SetupPlace = { root: string; run: (argv: readonly string[]) => Promise<void> };

const COMMAND_TIMEOUT_MS = 60_000;

export const thisHost: SetupPlace = {
  root: "/",
  run: async (argv) => {
    const [program = "", ...rest] = argv;
    const found = Bun.which(program, { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" });
    const name = { nmcli: "network-manager", systemctl: "systemd" }[program] ?? program;
    if (!found) throw fail("host.command_missing", { command: program, package: name });
    await requireCommand({ argv: [found, ...rest], timeoutMs: COMMAND_TIMEOUT_MS, package: name });
  },
};

/** For looking alone: a file that cannot be read tells nothing. */
const readOrNull = (path: string): Promise<string | null> => readFile(path, "utf8").catch(() => null);

/** Null only where there is no such file: what could not be read must not be taken for that, since undoing would remove it. Errors: host.file_failed. */
const readIfThere = async (path: string): Promise<string | null> => {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw fail("host.file_failed", { path, operation: "read", detail: describeUnknown(error) }, error);
  }
};
const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The last `dns=` in the order in which NetworkManager reads its files. */
const readNetworkManagerDns = async (root: string): Promise<string | null> => {
  const main = join(root, "etc/NetworkManager/NetworkManager.conf");
  const directories = ["usr/lib/NetworkManager/conf.d", "etc/NetworkManager/conf.d"];
  const inDirectories = await Promise.all(
    directories.map(async (directory) => {
      const names = await readdir(join(root, directory)).catch(() => []);
      return names
        .filter((name) => name.endsWith(".conf"))
        .sort()
        .map((name) => join(root, directory, name));
    }),
  );
  const [vendor = [], own = []] = inDirectories;
  let found: string | null = null;
  for (const path of [...vendor, main, ...own]) {
    const lines = ((await readOrNull(path)) ?? "").matchAll(/^\s*dns\s*=\s*(\S+)\s*$/gm);
    for (const [, value] of lines) found = value ?? found;
  }
  return found;
};

const readSystemdVersion = async (): Promise<number | null> => {
  const systemctl = Bun.which("systemctl", { PATH: "/usr/bin:/bin" });
  if (!systemctl) return null;
  const { stdout } = await runCommand({ argv: [systemctl, "--version"], timeoutMs: 10_000 });
  const found = /^systemd (\d+)/.exec(stdout);
  return found ? Number(found[1]) : null;
};

export const readResolverFacts = async (root = "/"): Promise<ResolverFacts> => {
  const nsswitch = (await readOrNull(join(root, "etc/nsswitch.conf"))) ?? "";
  return {
    resolvConf: (await readOrNull(join(root, "etc/resolv.conf"))) ?? "",
    hasResolved: await exists(join(root, "run/systemd/resolve/io.systemd.Resolve")),
    hasNssResolve: /^hosts:.*\bresolve\b/m.test(nsswitch),
    systemdVersion: await readSystemdVersion(),
    networkManagerDns: await readNetworkManagerDns(root),
    hasDnsmasqDir: await exists(join(root, "etc/dnsmasq.d")),
  };
};

/** Errors: host.file_failed. */
export const readDnsJournal = async (root = "/"): Promise<DnsJournal | null> => {
  const text = await readIfThere(join(root, DNS_JOURNAL));
  return text === null ? null : parseDnsJournal(text);
};

/** One that cannot be read is as good as none: then addresses are said instead of names. */
const readJournalSync = (path: string): DnsJournal | null => {
  try {
    return parseDnsJournal(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
};

/** The journal as it is now, read again only when the file is another: it is asked for with every VM that is shown. */
export const followDnsJournal = (path = DNS_JOURNAL): (() => DnsJournal | null) => {
  let seen: string | null = null;
  let journal: DnsJournal | null = null;
  return () => {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    const now = found === undefined ? null : `${found.dev}:${found.ino}:${found.ctimeNs}`;
    if (now !== seen) {
      seen = now;
      journal = now === null ? null : readJournalSync(path);
    }
    return journal;
  };
};

/** Whole or not at all, also when the machine goes down. */
const writeWhole = async (path: string, content: string): Promise<void> => {
  const part = `${path}.banger-new`;
  try {
    const file = await open(part, "w", 0o644);
    try {
      await file.writeFile(content);
      await file.chmod(0o644);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    throw fail("host.file_failed", { path, operation: "write", detail: describeUnknown(error) }, error);
  }
};

const writeJournal = async (root: string, journal: DnsJournal): Promise<void> => {
  const path = join(root, DNS_JOURNAL);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeWhole(path, `${JSON.stringify(journal, null, 2)}\n`);
};

/** The directories above a path that are not there yet, the outermost first. */
const missingDirs = async (root: string, path: string): Promise<string[]> => {
  const missing: string[] = [];
  for (let at = dirname(path); at !== "/" && !(await exists(join(root, at))); at = dirname(at)) missing.unshift(at);
  return missing;
};

const runAll = async (place: SetupPlace, commands: readonly SetupCommand[]): Promise<void> => {
  for (const { argv, needs } of commands) {
    if (needs === undefined || (await exists(join(place.root, needs)))) await place.run(argv);
  }
};

/** Nothing to do: the same setup is done, and its files say what they should. */
export const isSetUp = async (setup: DnsSetup, root = "/"): Promise<boolean> => {
  const journal = await readDnsJournal(root);
  if (journal?.state !== "done" || JSON.stringify(journal.setup) !== JSON.stringify(setup)) return false;
  const found = await Promise.all(setup.files.map(({ path }) => readOrNull(join(root, path))));
  return setup.files.every(({ content }, index) => found[index] === content);
};

/**
 * Sets up. What an earlier setup left, whole or cut short, is taken back before; when this one fails it is taken back too, and its failure
 * thrown. Errors: dns.cut_short when even that did not succeed, and what failed first.
 */
export const runDnsSetup = async (setup: DnsSetup, place: SetupPlace = thisHost): Promise<void> => {
  const { root } = place;
  if (await isSetUp(setup, root)) return;
  await undoDnsSetup(place);
  const before: Record<string, string | null> = {};
  const madeDirs = new Set<string>();
  for (const { path } of setup.files) {
    before[path] = await readIfThere(join(root, path));
    for (const directory of await missingDirs(root, path)) madeDirs.add(directory);
  }
  const journal: DnsJournal = { version: 1, state: "setting-up", setup, before, madeDirs: [...madeDirs] };
  await writeJournal(root, journal);
  try {
    for (const { path, content } of setup.files) {
      await mkdir(dirname(join(root, path)), { recursive: true, mode: 0o755 });
      await writeWhole(join(root, path), content);
    }
    await runAll(place, setup.apply);
  } catch (error) {
    await undoDnsSetup(place).catch((second) => {
      throw fail("dns.cut_short", { detail: `${describeUnknown(error)}; and ${describeUnknown(second)}` }, error);
    });
    throw error;
  }
  await writeJournal(root, { ...journal, state: "done" });
};

/** Takes back what the journal names; false when there was nothing. Can be repeated after any cut. Errors: dns.changed_by_hand. */
export const undoDnsSetup = async (place: SetupPlace = thisHost): Promise<boolean> => {
  const { root } = place;
  const text = await readIfThere(join(root, DNS_JOURNAL));
  if (text === null) return false;
  const journal = parseDnsJournal(text);
  if (!journal) throw fail("dns.cut_short", { detail: `${DNS_JOURNAL} cannot be read` });
  const { setup, before, madeDirs } = journal;
  const undoing: DnsJournal = { ...journal, state: "undoing" };
  await writeJournal(root, undoing);
  // Stopping something that was never started fails on some versions; what matters is checked by what follows.
  await runAll(place, setup.beforeUndo).catch((error) => {
    if (!hasCode(error, "host.command_failed") || journal.state === "done") throw error;
  });
  const changed: string[] = [];
  for (const { path, content } of setup.files) {
    const now = await readIfThere(join(root, path));
    const earlier = before[path] ?? null;
    if (now === earlier) continue;
    if (now !== null && now !== content) changed.push(path);
    else if (earlier === null) await rm(join(root, path), { force: true });
    else await writeWhole(join(root, path), earlier);
  }
  await runAll(place, setup.afterUndo);
  const [path] = changed;
  if (path !== undefined) throw fail("dns.changed_by_hand", { path });
  for (const directory of madeDirs.toReversed()) await rmdir(join(root, directory)).catch(() => {});
  await rm(join(root, DNS_JOURNAL), { force: true });
  await rmdir(dirname(join(root, DNS_JOURNAL))).catch(() => {});
  return true;
};
