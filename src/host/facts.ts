// Learns what this machine and its user are: what a plan may count on and a guest inherits.
import { constants } from "node:fs";
import { access, readdir, readFile, readlink } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { type HostRoute, parseRoutes } from "../core/net-routes.ts";
import { requireCommand, runCommand } from "./command.ts";
import { showRoutes } from "./commands.ts";
import type { HostFacts, PublicKeyFile } from "./host.ts";
import { readBootId } from "./process-proof.ts";
import { findTools } from "./root-operation.ts";

const readText = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const namesIn = (path: string): Promise<string[]> => readdir(path).catch(() => []);

/** The `nameserver` lines of a resolv.conf, in order (resolv.conf(5)). */
export const parseResolvers = (text: string): string[] =>
  text.split("\n").flatMap((line) => /^\s*nameserver\s+([0-9A-Fa-f.:%\w-]+)/.exec(line)?.[1] ?? []);

/** systemd-resolved's stub and its proxy variant (systemd-resolved.service(8)). */
const isResolvedStub = (address: string) => address === "127.0.0.53" || address === "127.0.0.54";

const readResolvers = async (): Promise<string[]> => {
  const own = parseResolvers(await readText("/etc/resolv.conf"));
  if (!own.some(isResolvedStub)) return own;
  const real = parseResolvers(await readText("/run/systemd/resolve/resolv.conf"));
  return real.length > 0 ? real : own;
};

/** What follows `zoneinfo/` in the target of /etc/localtime. */
export const parseZonePath = (target: string): string | null => /zoneinfo\/(?:posix\/)?(.+)$/.exec(target)?.[1] ?? null;

const isZoneName = (text: string) => /^[A-Za-z0-9_+-]+(\/[A-Za-z0-9_+-]+)*$/.test(text);

const readTimezone = async (env: NodeJS.ProcessEnv): Promise<string | null> => {
  const candidates = [
    env.TZ?.replace(/^:/, ""),
    parseZonePath(await readlink("/etc/localtime").catch(() => "")),
    (await readText("/etc/timezone")).trim(),
  ];
  return candidates.find((name): name is string => Boolean(name) && isZoneName(name ?? "")) ?? null;
};

const readLocale = async (env: NodeJS.ProcessEnv): Promise<string | null> => {
  const stored = (await readText("/etc/default/locale")) || (await readText("/etc/locale.conf"));
  const locale = env.LANG || /^LANG="?([^"\n]+)"?$/m.exec(stored)?.[1];
  return locale && /^[A-Za-z0-9_.@-]{1,64}$/.test(locale) ? locale : null;
};

/** The proxy variables by their lower-case names; the lower-case one wins, as it does in curl. */
export const parseProxy = (env: Readonly<Record<string, string | undefined>>): Record<string, string> => {
  const found: Record<string, string> = {};
  for (const name of ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"]) {
    const value = env[name] || env[name.toUpperCase()];
    if (value && !/\p{Cc}/u.test(value)) found[name] = value;
  }
  return found;
};

// Debian, Fedora and Arch, in this order.
const ANCHOR_DIRS = [
  "/usr/local/share/ca-certificates",
  "/etc/pki/ca-trust/source/anchors",
  "/etc/ca-certificates/trust-source/anchors",
];

const findCaCertificates = async (): Promise<string[]> => {
  const found = await Promise.all(
    ANCHOR_DIRS.map(async (directory) => {
      const names = await readdir(directory, { recursive: true }).catch(() => []);
      return names.filter((name) => /\.(crt|pem)$/.test(name)).map((name) => `${directory}/${name}`);
    }),
  );
  return found.flat().sort();
};

const findPublicKeys = async (home: string): Promise<PublicKeyFile[]> => {
  const names = (await namesIn(`${home}/.ssh`)).filter((name) => name.endsWith(".pub")).sort();
  return Promise.all(
    names.map(async (name) => ({ path: `${home}/.ssh/${name}`, text: await readText(`${home}/.ssh/${name}`) })),
  );
};

const readRoutes = async (): Promise<HostRoute[]> => {
  const { argv } = showRoutes(findTools());
  const { stdout } = await requireCommand({ argv, timeoutMs: 5000, keepBytes: 64 * 1024 * 1024, package: "iproute2" });
  return parseRoutes(stdout);
};

type Account = { userName: string; home: string; shell: string };

/** The line of `uid` in passwd(5) format, null when there is none. */
export const parseAccount = (passwd: string, uid: number): Account | null => {
  const line = passwd.split("\n").find((candidate) => candidate.split(":")[2] === String(uid));
  const [userName, , , , , home, shell] = line?.split(":") ?? [];
  return userName && home ? { userName, home, shell: shell || "/bin/sh" } : null;
};

// Not os.userInfo(): Bun 1.4.5 answers with the environment, and with "unknown" where it has none.
const readAccount = async (uid: number): Promise<Account> => {
  const own = parseAccount(await readText("/etc/passwd"), uid);
  if (own) return own;
  // Users of a directory service are known to the name service only.
  const asked = await runCommand({ argv: ["/usr/bin/getent", "passwd", String(uid)], timeoutMs: 5000 }).catch(
    () => null,
  );
  return (
    parseAccount(asked?.stdout ?? "", uid) ?? { userName: `uid${uid}`, home: process.env.HOME ?? "/", shell: "/bin/sh" }
  );
};

/** See Host.facts. Errors: host.command_missing (iproute2). */
export const readFacts = async (): Promise<HostFacts> => {
  const { env } = process;
  const uid = process.getuid?.() ?? 0;
  const account = await readAccount(uid);
  const home = env.HOME?.startsWith("/") ? env.HOME : account.home;
  const [bootId, hasKvmDevice, routes, resolvers, timezone, locale, caCertificates, publicKeys] = await Promise.all([
    readBootId(),
    access("/dev/kvm", constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    ),
    readRoutes(),
    readResolvers(),
    readTimezone(env),
    readLocale(env),
    findCaCertificates(),
    findPublicKeys(home),
  ]);
  return {
    cpus: availableParallelism(),
    memoryMiB: Math.floor(totalmem() / (1024 * 1024)),
    uid,
    gid: process.getgid?.() ?? 0,
    userName: account.userName,
    home,
    shell: account.shell,
    bootId,
    hasKvmDevice,
    routes,
    resolvers,
    timezone,
    locale,
    proxy: parseProxy(env),
    caCertificates,
    publicKeys,
  };
};
