// Gathers what this machine is: devices, VMMs, programs, root's way, login sessions, user namespaces, the clock.
import { access, constants, readFile, stat } from "node:fs/promises";
import type { RootLaunch } from "../host/root-launch.ts";
import type { DeviceState, DoctorFacts, DoctorPorts } from "./facts.ts";
import type { Gatherers } from "./gather.ts";
import { killsUserProcesses } from "./logind.ts";

const COMMAND_TIMEOUT_MS = 10_000;
const TOOL_DIRS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/** What banger runs besides VMMs; builds of images have the longer list. */
const TOOLS = [
  "ip",
  "nft",
  "ssh",
  "ssh-keygen",
  "pasta",
  "newuidmap",
  "mmdebstrap",
  "mkfs.ext4",
  "tar",
  "apt-get",
].concat(["dpkg-deb", "zstd", "xz", "cpio", "depmod", "mksquashfs", "objcopy"]);

const readText = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const deviceState = async (path: string): Promise<DeviceState> => {
  const code = await access(path, constants.R_OK | constants.W_OK).then(
    () => null,
    (error: NodeJS.ErrnoException) => error.code ?? "EIO",
  );
  return code === null ? "usable" : code === "ENOENT" ? "absent" : "forbidden";
};

const findTool = async (name: string): Promise<string | null> => {
  for (const directory of TOOL_DIRS) {
    const path = `${directory}/${name}`;
    const isProgram = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isProgram) return path;
  }
  return null;
};

/** Exit code and last words of a program; null when it is not there. */
const ask = async (ports: DoctorPorts, argv: readonly string[]) => {
  try {
    const { exitCode, stdout, stderr } = await ports.host.processes.runCommand({ argv, timeoutMs: COMMAND_TIMEOUT_MS });
    return { exitCode, stdout: stdout.trim(), said: stderr.trim().split("\n").at(-1) ?? "" };
  } catch {
    return null;
  }
};

/** The installed helper where sudo is to start it; null where there is none, or where it is started directly. */
const installedHelper = (launch: RootLaunch): { sudo: string; path: string } | null => {
  if (launch.kind === "refusal" || launch.argv0 !== null) return null;
  const [sudo, path] = [launch.argv[0], launch.argv.at(-1)];
  return sudo === undefined || path === undefined ? null : { sudo, path };
};

const gatherRoot = async (ports: DoctorPorts): Promise<DoctorFacts["root"]> => {
  const launch = ports.rootLaunch();
  const helper = installedHelper(launch);
  if (helper === null || ports.proved.has("sudo")) return { launch, refusal: null };
  const answer = await ask(ports, [helper.sudo, "-n", "-l", "--", helper.path]);
  if (answer?.exitCode !== 0) return { launch, refusal: answer?.said || "it could not be asked" };
  ports.proved.add("sudo");
  return { launch, refusal: null };
};

const gatherHelper = async (ports: DoctorPorts): Promise<DoctorFacts["helper"]> => {
  const helper = installedHelper(ports.rootLaunch());
  if (helper === null) return null;
  const [installed, own] = await Promise.all([ports.hashFile(helper.path), ports.hashFile(ports.executable)]);
  return { path: helper.path, isCurrent: installed !== null && installed === own };
};

/** The switch that keeps an ordinary user from a namespace, as Debian's, Ubuntu's and the plain kernel's name it. */
const namespaceRepair = async (): Promise<string[]> => {
  const values: [string, string, string][] = [
    ["kernel.apparmor_restrict_unprivileged_userns", "1", "0"],
    ["kernel.unprivileged_userns_clone", "0", "1"],
    ["user.max_user_namespaces", "0", "15000"],
  ];
  for (const [key, closed, open] of values) {
    const value = (await readText(`/proc/sys/${key.replaceAll(".", "/")}`)).trim();
    if (value === closed) return ["sudo", "sysctl", "-w", `${key}=${open}`];
  }
  return [];
};

type SystemFacts =
  | "user"
  | "mode"
  | "daemon"
  | "kvm"
  | "tun"
  | "vhostVsock"
  | "firecracker"
  | "jail"
  | "qemu"
  | "choice"
  | "tools"
  | "root"
  | "helper"
  | "linger"
  | "userNamespace"
  | "subordinateIds"
  | "clock"
  | "guestClocks"
  | "vmmProcesses";

const nameOf = async ({ host }: DoctorPorts) => {
  const { uid, userName } = await host.facts();
  return { uid, name: userName };
};

export const gatherSystem: Pick<Gatherers, SystemFacts> = {
  user: nameOf,
  mode: async ({ config, autoMode }) => config.network.mode ?? autoMode(),
  daemon: async ({ daemon }) => daemon,
  guestClocks: async ({ guestClocks }) => guestClocks(),
  kvm: async () => {
    const cpu = await readText("/proc/cpuinfo");
    const flags = new Set((/^flags\s*:(.*)$/m.exec(cpu)?.[1] ?? "").trim().split(" "));
    return {
      device: await deviceState("/dev/kvm"),
      flag: flags.has("vmx") ? "vmx" : flags.has("svm") ? "svm" : null,
      isGuest: flags.has("hypervisor"),
    };
  },
  tun: () => deviceState("/dev/net/tun"),
  vhostVsock: () => deviceState("/dev/vhost-vsock"),
  firecracker: async (ports) => {
    const probe = await ports.probe("firecracker");
    const path = probe.ok ? probe.binary.path : (probe.path ?? null);
    const sha256 = path === null ? null : await ports.hashFile(path);
    const origin =
      path === null || sha256 === null ? "unknown" : await ports.originOf({ name: "firecracker", path, sha256 });
    return { probe, path, sha256, origin };
  },
  jail: async ({ config, probe, findJail, autoMode }) => {
    if (!config.vmm.isJailed) return null;
    const found = await probe("firecracker");
    if (!found.ok) return { refusal: found.reason, fix: undefined };
    return findJail(found.binary, config.network.mode ?? (await autoMode()));
  },
  qemu: (ports) => ports.probe("qemu"),
  choice: async ({ probe, choose, config }) => {
    const [firecracker, qemu] = await Promise.all([probe("firecracker"), probe("qemu")]);
    return choose(config.vmm.prefer ?? "auto", { firecracker, qemu });
  },
  tools: async () =>
    Object.fromEntries(await Promise.all(TOOLS.map(async (name) => [name, await findTool(name)] as const))),
  root: gatherRoot,
  helper: gatherHelper,
  linger: async (ports) => {
    const { name } = await nameOf(ports);
    const { runtimeDir } = ports.paths;
    return {
      runtimeDir,
      vanishes: runtimeDir.startsWith("/run/user/"),
      isLingering: await exists(`/var/lib/systemd/linger/${name}`),
      killsUserProcesses: await killsUserProcesses(),
    };
  },
  userNamespace: async (ports) => {
    const answer = await ask(ports, ["/usr/bin/unshare", "--user", "--map-root-user", "/bin/true"]);
    const works = answer?.exitCode === 0;
    const detail = answer === null ? "unshare is not installed" : answer.said.replace(/^unshare: /, "");
    return { works, detail: works ? "" : detail, repair: works ? [] : await namespaceRepair() };
  },
  subordinateIds: async (ports) => {
    const { uid, name } = await nameOf(ports);
    const has = async (path: string) =>
      (await readText(path)).split("\n").some((line) => line.startsWith(`${name}:`) || line.startsWith(`${uid}:`));
    return { uids: await has("/etc/subuid"), gids: await has("/etc/subgid") };
  },
  clock: async (ports) => {
    if (!(await exists("/run/systemd/system"))) return { synchronised: null };
    const answer = await ask(ports, ["/usr/bin/timedatectl", "show", "--property=NTPSynchronized", "--value"]);
    return { synchronised: answer?.exitCode === 0 ? answer.stdout === "yes" : null };
  },
  vmmProcesses: async ({ vmmPids }) => {
    const found = await Promise.all(
      vmmPids().map(async ({ name, pid }) => {
        const seen = await stat(`/proc/${pid}`).catch(() => null);
        return seen ? [{ name, pid, uid: seen.uid }] : [];
      }),
    );
    return found.flat();
  },
};
