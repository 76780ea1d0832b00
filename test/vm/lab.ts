// A machine of its own as far as the network goes: a namespace that plays the host, with its own resolv.conf, and one that plays the internet.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { asRoot, isRoot, kill } from "./fixture.ts";

/** Addresses of RFC 5737: nobody routes them. */
export const INTERNET = {
  router: "198.51.100.1",
  otherResolver: "198.51.100.3",
  web: "203.0.113.80",
  moved: "203.0.113.81",
};
export const UPLINK = "198.51.100.2";

export type Lab = {
  dir: string;
  /** Put before a command that shall run on the host of the lab, as the user who runs the tests. */
  inside: readonly string[];
  /** Runs a command on the host of the lab, as root; it must succeed. */
  run(argv: readonly string[]): string;
  /** Starts a command there, or on the internet, as root. */
  start(where: "host" | "internet", argv: readonly string[]): Bun.Subprocess<"ignore", "pipe", "inherit">;
  /** Starts a bun script there, or on the internet, and waits until it prints a line. */
  serve(where: "host" | "internet", ...args: readonly string[]): Promise<Bun.Subprocess>;
  setResolver(address: string): void;
  close(): Promise<void>;
};

const PEER = join(import.meta.dir, "lab-peer.ts");

export const openLab = async (): Promise<Lab> => {
  const dir = mkdtempSync("/tmp/bgt-lab-");
  const children: Bun.Subprocess[] = [];
  const resolvConf = join(dir, "resolv.conf");

  const firstLine = async (child: Bun.Subprocess<"ignore", "pipe", "inherit">): Promise<string> => {
    const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read();
    if (!value) throw new Error("a process of the lab ended before it said anything");
    return value.trim();
  };
  const start = (argv: readonly string[]) => {
    const child = Bun.spawn(asRoot(argv), { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    children.push(child);
    return child;
  };
  const startAt: Lab["start"] = (where, argv) => start([...(where === "host" ? onHost : onInternet), ...argv]);
  /** The shell's pid stays the sleeper's, and is not sudo's. */
  const hold = async (...flags: string[]): Promise<number> =>
    Number(await firstLine(start(["unshare", ...flags, "sh", "-c", "echo $$; exec sleep infinity"])));

  const host = await hold("-n", "-m", "--propagation", "private");
  const internet = await hold("-n");
  const enter = (pid: number, ...flags: string[]) => ["nsenter", "-t", String(pid), "-n", ...flags, "--"];
  const onHost = enter(host, "-m");
  const onInternet = enter(internet);
  const run = (argv: readonly string[]): string => {
    const done = Bun.spawnSync(asRoot(argv), { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 20_000 });
    if (!done.success) throw new Error(`${argv.join(" ")}: ${done.stderr}`);
    return done.stdout.toString();
  };
  const ip = (where: readonly string[], ...args: string[]) => run([...where, "ip", ...args]);
  const setResolver = (address: string) => writeFileSync(resolvConf, `nameserver ${address}\n`);

  ip(onHost, "link", "set", "lo", "up");
  ip(onInternet, "link", "set", "lo", "up");
  ip(onHost, "link", "add", "up0", "type", "veth", "peer", "name", "in0", "netns", String(internet));
  ip(onHost, "address", "add", `${UPLINK}/24`, "dev", "up0");
  ip(onHost, "link", "set", "up0", "up");
  for (const address of [INTERNET.router, INTERNET.otherResolver])
    ip(onInternet, "address", "add", `${address}/24`, "dev", "in0");
  for (const address of [INTERNET.web, INTERNET.moved]) ip(onInternet, "address", "add", `${address}/32`, "dev", "lo");
  ip(onInternet, "link", "set", "in0", "up");
  // There is no way back to private addresses: what answers a guest has been told the host's own.
  ip(onHost, "route", "add", "default", "via", INTERNET.router);
  setResolver(INTERNET.router);
  run([...onHost, "mount", "--bind", resolvConf, "/etc/resolv.conf"]);

  const user = process.env.USER ?? "root";
  return {
    dir,
    // setpriv comes with util-linux, as nsenter does; the environment goes through sudo by -E only where it is allowed, so env says it again.
    inside: isRoot
      ? onHost
      : [
          "sudo",
          "-n",
          "--preserve-env",
          "--",
          ...onHost,
          "setpriv",
          "--reuid",
          user,
          "--regid",
          user,
          "--init-groups",
          "--",
        ],
    run: (argv) => run([...onHost, ...argv]),
    setResolver,
    start: startAt,
    serve: async (where, ...args) => {
      const child = startAt(where, [process.execPath, PEER, ...args]);
      await firstLine(child);
      return child;
    },
    async close() {
      for (const child of children.reverse()) {
        if (child.exitCode === null && child.signalCode === null) kill(child.pid, "SIGKILL");
        await child.exited;
      }
      for (const pid of isRoot ? [] : [host, internet]) kill(pid, "SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
};
