// Runs a program of the tests in a mount and a network namespace of its own, where it may be on port 53 and have another /etc.
const isRoot = process.getuid?.() === 0;

/** Why there are no such namespaces here; null when there are. */
export const findNamespaceObstacle = (options: { needsRoot: boolean }): string | null => {
  if (options.needsRoot && !isRoot) return "needs root";
  const tried = Bun.spawnSync([...enter, "sh", "-c", "ip link set lo up && mount -t tmpfs tmpfs /run"], {
    stdout: "ignore",
    stderr: "pipe",
  });
  return tried.success ? null : `no namespaces here: ${tried.stderr.toString().trim()}`;
};

const enter = ["unshare", ...(isRoot ? [] : ["--map-root-user"]), "-m", "-n", "--propagation", "private"];

/** What the program printed as JSON in its last line; what it said besides comes with a failure. */
export const runInside = async <Value>(
  file: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Value> => {
  const child = Bun.spawn([...enter, process.execPath, file, ...args], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 240_000,
    killSignal: "SIGKILL",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${file} ended with ${code}:\n${out}\n${err}`);
  return JSON.parse(out.trimEnd().split("\n").at(-1) ?? "") as Value;
};

/** For the program itself: runs a command to its end. */
export const sh = (argv: readonly string[]): { code: number; out: string } => {
  const done = Bun.spawnSync([...argv], { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  return { code: done.exitCode ?? -1, out: `${done.stdout}${done.stderr}`.trim() };
};

/** For the program itself: a link that is up and leads nowhere; without an address beside loopback's getaddrinfo(3) finds nothing. */
export const addLink = (name: string, addresses: readonly string[]): void => {
  must(["ip", "link", "add", name, "type", "veth", "peer", "name", `${name}-far`]);
  for (const end of [name, `${name}-far`]) must(["ip", "link", "set", end, "up"]);
  for (const address of addresses)
    must(["ip", "address", "add", address, "dev", name, ...(address.includes(":") ? ["nodad"] : [])]);
};

/** For the program itself: a command that must succeed. */
export const must = (argv: readonly string[]): string => {
  const { code, out } = sh(argv);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${out}`);
  return out;
};

/** Files of its own under a directory: as it was for reading, and nobody else sees what is written. */
export const ownCopy = (directory: string, copies: string): void => {
  const copy = `${copies}/${directory.replaceAll("/", "_")}`;
  // Root of a user namespace may not read every file nor give any away, of which cp complains: what is copied is enough.
  sh(["cp", "-a", directory, copy]);
  must(["mount", "--bind", copy, directory]);
};
