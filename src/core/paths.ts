// Decides where everything of an instance lies: data, state, sockets and configuration, by the XDG base directory specification.

/** The part of the environment that decides paths. */
export type PathEnvironment = Readonly<Record<string, string | undefined>>;

/** sockaddr_un.sun_path has 108 bytes with its final NUL (unix(7)); some runtimes cut longer paths silently. */
export const SOCKET_PATH_BYTES = 107;

/** The base directories of this user; what lies in them is shared by no two instances but the configuration. */
export type BasePaths = {
  dataDir: string;
  stateDir: string;
  configDir: string;
  configFile: string;
  /** `version`, `id` and `runtimeDir` of the instance. */
  instanceFile: string;
};

/** Directories and files of one VM. The names are short because a socket's path may have 107 bytes only. */
export type VmPaths = {
  /** Disk, host key, known_hosts and first-boot script. */
  dataDir: string;
  /** Console log, VMM log, last status of the shim: kept over reboots. */
  stateDir: string;
  /** Sockets and locks: gone with the boot. */
  runtimeDir: string;
  disk: string;
  document: string;
  hostKey: string;
  knownHosts: string;
  userData: string;
  console: string;
  vmmLog: string;
  shimStatus: string;
  shimPlan: string;
  shimControl: string;
  shimLock: string;
};

export type InstancePaths = BasePaths & {
  instance: string;
  imagesDir: string;
  kernelsDir: string;
  vmsDir: string;
  keysDir: string;
  database: string;
  logDir: string;
  daemonLog: string;
  stateVmsDir: string;
  cacheDir: string;
  runtimeDir: string;
  runtimeVmsDir: string;
  socket: string;
  lock: string;
  /** Control socket of the holder of the namespaces. */
  holder: string;
  wayOutLog: string;
};

/** XDG: a relative path in one of the variables is invalid and is to be ignored. */
const absoluteOr = (value: string | undefined, fallback: string): string =>
  value?.startsWith("/") ? value.replace(/\/+$/, "") || "/" : fallback;

export const planBasePaths = (options: { env: PathEnvironment; home: string }): BasePaths => {
  const { env, home } = options;
  const dataDir = `${absoluteOr(env.XDG_DATA_HOME, `${home}/.local/share`)}/banger`;
  const stateDir = `${absoluteOr(env.XDG_STATE_HOME, `${home}/.local/state`)}/banger`;
  const configDir = `${absoluteOr(env.XDG_CONFIG_HOME, `${home}/.config`)}/banger`;
  return {
    dataDir,
    stateDir,
    configDir,
    configFile: `${configDir}/config.toml`,
    instanceFile: `${stateDir}/instance.json`,
  };
};

/**
 * Where the sockets of a new instance go: below XDG_RUNTIME_DIR, unless that is unset, unusable, or removed at logout
 * (/run/user/UID of a user who does not linger, see loginctl(1)); then below the state directory.
 */
export const planRuntimeDir = (options: {
  env: PathEnvironment;
  stateDir: string;
  instance: string;
  /** What `XDG_RUNTIME_DIR` was found to be: a directory of this user with mode 0700. */
  isUsable: boolean;
  /** /var/lib/systemd/linger/USER exists. */
  isLingering: boolean;
}): string => {
  const base = options.env.XDG_RUNTIME_DIR;
  const vanishes = base !== undefined && /^\/run\/user\/\d+\/?$/.test(base) && !options.isLingering;
  if (!base?.startsWith("/") || !options.isUsable || vanishes) return `${options.stateDir}/run`;
  return `${base.replace(/\/+$/, "")}/banger/${options.instance}`;
};

export const planPaths = (options: { base: BasePaths; instance: string; runtimeDir: string }): InstancePaths => {
  const { base, instance, runtimeDir } = options;
  const { dataDir, stateDir } = base;
  return {
    ...base,
    instance,
    imagesDir: `${dataDir}/images`,
    kernelsDir: `${dataDir}/kernels`,
    vmsDir: `${dataDir}/vms`,
    keysDir: `${dataDir}/keys`,
    database: `${stateDir}/banger.db`,
    logDir: `${stateDir}/log`,
    daemonLog: `${stateDir}/log/bangerd.log`,
    stateVmsDir: `${stateDir}/vms`,
    cacheDir: `${stateDir}/cache`,
    runtimeDir,
    runtimeVmsDir: `${runtimeDir}/vms`,
    socket: `${runtimeDir}/bangerd.sock`,
    lock: `${runtimeDir}/bangerd.lock`,
    holder: `${runtimeDir}/holder.sock`,
    wayOutLog: `${stateDir}/log/way-out.log`,
  };
};

export const planVmPaths = (paths: InstancePaths, vmId: string): VmPaths => {
  const dataDir = `${paths.vmsDir}/${vmId}`;
  const stateDir = `${paths.stateVmsDir}/${vmId}`;
  const runtimeDir = `${paths.runtimeVmsDir}/${vmId}`;
  return {
    dataDir,
    stateDir,
    runtimeDir,
    disk: `${dataDir}/disk.raw`,
    document: `${dataDir}/document.tar`,
    hostKey: `${dataDir}/host_key`,
    knownHosts: `${dataDir}/known_hosts`,
    userData: `${dataDir}/first-boot`,
    console: `${stateDir}/console.log`,
    vmmLog: `${stateDir}/vmm.log`,
    shimStatus: `${stateDir}/shim.json`,
    shimPlan: `${runtimeDir}/plan`,
    shimControl: `${runtimeDir}/shim`,
    shimLock: `${runtimeDir}/lock`,
  };
};

/** The longest name that a VMM or shim may give a socket in a VM's runtime directory (`vsock_42071`, `serial.sock`), in bytes. */
const LONGEST_SOCKET_NAME_BYTES = 16;

/** The first socket path of an instance that would not fit, with its length; null when all do. */
export const findLongSocketPath = (paths: InstancePaths): { path: string; bytes: number } | null => {
  const vmSocket = `${paths.runtimeVmsDir}/${"0".repeat(12)}/${"x".repeat(LONGEST_SOCKET_NAME_BYTES)}`;
  for (const path of [paths.socket, vmSocket]) {
    const bytes = byteLength(path);
    if (bytes > SOCKET_PATH_BYTES) return { path, bytes };
  }
  return null;
};

/** UTF-8 length, which is what the kernel counts. */
const byteLength = (text: string): number => {
  let bytes = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
};
