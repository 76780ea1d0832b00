// A user of this machine who has nothing: no sudo, no group, no entry in passwd outside of namespaces of the test; made only where root runs the tests.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { Lab } from "./lab.ts";
import { asRoot, isAlive, isRoot, kill } from "./processes.ts";

const root = resolve(import.meta.dir, "../..");
/** Nobody's here: above what adduser and systemd give away, below what containers take. */
const UID = 59_817;
const NAME = "alice";

export type OrdinaryUser = {
  /** Null: whoever runs the tests. */
  uid: number | null;
  executable: string;
  holder: string;
  /** Put before a command: runs it as that user, where the lab plays the host. */
  inside: readonly string[];
  /** A PATH whose sudo says that it was called. */
  env: Record<string, string>;
  /** Whether somebody called sudo. */
  calledSudo(): boolean;
  /** Processes of that user; of a user who runs the tests, none are counted. */
  processes(): number[];
  close(): void;
};

const uidOf = (pid: number): number | null => {
  try {
    return Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return null;
  }
};

/** What keeps this machine from having such a user; null when nothing does. */
export const findNamespaceObstacle = (): string | null => {
  if (Bun.which("pasta") === null) return "pasta is not installed";
  if (!existsSync("/dev/net/tun")) return "there is no /dev/net/tun";
  const user = isRoot ? ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"] : [];
  const tried = Bun.spawnSync([...user, "unshare", "-Urn", "ip", "link", "add", "bgr-probe", "type", "bridge"]);
  return tried.success ? null : `users cannot make namespaces here: ${tried.stderr.toString().trim()}`;
};

/** This very machine, with files and devices of its own to be put over others: as much of a host as a user needs who only builds. */
export const openPlace = async (): Promise<Pick<Lab, "run" | "inside" | "close">> => {
  const argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo ready; exec sleep infinity"];
  const holder = Bun.spawn(asRoot(argv), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  await holder.stdout.getReader().read();
  const inside = ["nsenter", "-t", String(holder.pid), "-m", "--"];
  return {
    inside,
    run(command) {
      const done = Bun.spawnSync([...inside, ...command], { stdout: "pipe", stderr: "pipe" });
      if (!done.success) throw new Error(`${command.join(" ")}: ${done.stderr}`);
      return done.stdout.toString();
    },
    async close() {
      kill(holder.pid, "SIGKILL");
      await holder.exited;
    },
  };
};

export const makeOrdinaryUser = (place: Pick<Lab, "run" | "inside"> | null): OrdinaryUser => {
  const dir = mkdtempSync("/tmp/bgt-u-");
  chmodSync(dir, 0o755);
  for (const name of ["bin", "lib/banger", "tools"]) mkdirSync(join(dir, name), { recursive: true });
  // As it is installed, where every user may read it: a checkout may lie in somebody's home.
  cpSync(join(root, "build/banger"), join(dir, "bin/banger"));
  for (const name of ["banger-shim", "banger-holder", "banger-proxy", "banger-dns-front", "banger-tsc", "guest"])
    cpSync(join(root, "build", name), join(dir, "lib/banger", name), { recursive: true });
  cpSync(join(root, "images"), join(dir, "lib/banger/images"), { recursive: true });
  cpSync(join(root, "guest/units"), join(dir, "lib/banger/guest/units"), { recursive: true });
  const trace = join(dir, "sudo-was-called");
  writeFileSync(trace, "");
  chmodSync(trace, 0o666);
  writeFileSync(join(dir, "tools/sudo"), `#!/bin/sh\necho "$@" >>${trace}\nexit 1\n`);
  chmodSync(join(dir, "tools/sudo"), 0o755);
  const isMade = isRoot && place !== null;
  if (isMade) {
    writeFileSync(
      join(dir, "passwd"),
      `${readFileSync("/etc/passwd", "utf8").trimEnd()}\n${NAME}:x:${UID}:${UID}::/tmp:/bin/sh\n`,
    );
    place.run(["mount", "--bind", join(dir, "passwd"), "/etc/passwd"]);
    // What udev gives everyone, where there is no udev.
    mkdirSync(join(dir, "net"));
    place.run([
      "sh",
      "-ec",
      `cp -a /dev/net/tun ${dir}/net/tun; chmod 0666 ${dir}/net/tun; mount --bind ${dir}/net /dev/net`,
    ]);
  }
  const user = ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups", "--"];
  return {
    uid: isMade ? UID : null,
    executable: join(dir, "bin/banger"),
    holder: join(dir, "lib/banger/banger-holder"),
    inside: isMade ? [...place.inside, ...user] : [],
    env: {
      PATH: `${dir}/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      USER: isMade ? NAME : (process.env.USER ?? ""),
    },
    calledSudo: () => readFileSync(trace, "utf8") !== "",
    processes: () =>
      isMade
        ? readdirSync("/proc")
            .map(Number)
            .filter((pid) => Number.isInteger(pid) && uidOf(pid) === UID && isAlive(pid))
        : [],
    close: () => rmSync(dir, { recursive: true, force: true }),
  };
};
