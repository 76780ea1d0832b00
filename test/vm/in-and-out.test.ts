// Into a real guest and back by what people use: ssh by name and all that is built on it, the reminder afterwards, pings and the clock.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderReminder } from "../../src/client/reminder.ts";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { unpackPackages } from "./debian-packages.ts";
import {
  BANGER,
  BOOT_MS,
  findObstacle,
  type Instance,
  kill,
  openTestInstance,
  type Ran,
  TEARDOWN_MS,
  until,
} from "./fixture.ts";
import { collect } from "./processes.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const HOST = "io.vm";
/** A login beside a boot under emulation takes its time. */
const SSH_MS = 120_000;

/** A port that nobody has just now. */
const freePort = (): number => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = server;
  server.stop(true);
  return port;
};

suite(`by ssh and back${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let config: string;

  /** A program of this host in the instance's environment. */
  const run = async (
    argv: readonly string[],
    options: { stdin?: string; env?: Record<string, string> } = {},
  ): Promise<Ran> => {
    const child = Bun.spawn(banger.beside(argv), {
      env: { ...banger.env, ...options.env },
      cwd: banger.dir,
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout: "pipe",
      stderr: "pipe",
      timeout: SSH_MS,
      killSignal: "SIGKILL",
    });
    const [out, err, code] = await Promise.all([
      collect(child.stdout, child.exited),
      collect(child.stderr, child.exited),
      child.exited,
    ]);
    return { code, out, err };
  };
  const ssh = (...words: string[]) => run(["ssh", "-F", config, ...words]);
  const asRootInGuest = (line: string) => banger.ok(["exec", "-u", "root", "io", "--", "sh", "-c", line]);

  /** What an image without them lacks on the other side. */
  const addPackages = async (packages: readonly string[]): Promise<void> => {
    const suite = await banger.guest("io", ". /etc/os-release; echo $VERSION_CODENAME");
    const status = await banger.guest("io", "cat /var/lib/dpkg/status");
    const tree = join(banger.dir, "packages/tree");
    unpackPackages(join(banger.dir, "packages"), { suite, packages, status, tree });
    await banger.ok(["cp", "-r", tree, "io:/var/tmp/packages"], { timeoutMs: BOOT_MS });
    await asRootInGuest("cp -a --no-preserve=ownership /var/tmp/packages/. / && rm -r /var/tmp/packages && ldconfig");
  };

  /** A command of ours on a terminal: what it wrote, and how it ended. */
  const onTerminal = async (
    args: readonly string[],
    typed: (shown: string) => string | null,
  ): Promise<{ code: number; shown: string }> => {
    let shown = "";
    const child = Bun.spawn(banger.beside([BANGER, ...args]), {
      env: banger.env,
      cwd: "/",
      timeout: 2 * SSH_MS,
      killSignal: "SIGKILL",
      terminal: {
        cols: 150,
        rows: 40,
        data: (terminal, bytes) => {
          shown += Buffer.from(bytes).toString();
          const next = typed(shown);
          if (next !== null) terminal.write(next);
        },
      },
    });
    const code = await child.exited;
    child.terminal?.close();
    return { code, shown };
  };

  /** A shell that is left with this exit code, and what is said after it; the key is pressed at the question. */
  const leaveShell = (code: number, key?: string) => {
    const said = new Set<string>();
    const once = (name: string, text: string): string | null => {
      if (said.has(name)) return null;
      said.add(name);
      return text;
    };
    return onTerminal(["ssh", "io"], (shown) =>
      /or stop it \(s\)\?/.test(shown) && key !== undefined
        ? once("key", key)
        : /@io:.*[$#] $/.test(shown)
          ? once("exit", `exit ${code}\n`)
          : null,
    );
  };

  beforeAll(async () => {
    banger = await openTestInstance();
    await banger.create("io", "--memory", "384M");
    await banger.untilUp("io");
    mkdirSync(join(banger.dir, "bin"));
    await banger.ok(["ssh-config", "install"]);
    config = join(banger.dir, "home/.ssh/config");
    await addPackages(["git", "rsync"]);
  }, 1_800_000);
  afterAll(() => banger?.close(), TEARDOWN_MS);

  test(
    "ssh NAME.vm and scp work by the installed configuration",
    async () => {
      expect(await ssh(HOST, "true")).toMatchObject({ code: 0, err: "" });
      writeFileSync(join(banger.dir, "notes"), "some notes\n");
      expect(await run(["scp", "-F", config, "notes", `${HOST}:`])).toMatchObject({ code: 0 });
      expect((await ssh(HOST, "cat notes")).out).toBe("some notes\n");
      expect(await run(["scp", "-F", config, `${HOST}:notes`, "back"])).toMatchObject({ code: 0 });
      expect(readFileSync(join(banger.dir, "back"), "utf8")).toBe("some notes\n");
      const unknown = await ssh("nobody.vm", "true");
      expect([unknown.code, unknown.err]).toEqual([255, expect.stringContaining("No VM has that name")]);
    },
    3 * SSH_MS,
  );

  test(
    "ssh by name works while the guest's network is down",
    async () => {
      await asRootInGuest("ip link set eth0 down");
      try {
        expect((await ssh(HOST, "echo over the channel")).out).toBe("over the channel\n");
      } finally {
        await asRootInGuest("ip link set eth0 up");
      }
    },
    2 * SSH_MS,
  );

  test(
    "git clones and pushes by a remote of that name",
    async () => {
      await banger.ok(["exec", "io", "--", "git", "init", "-q", "--bare", "-b", "main", "repo.git"]);
      const who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"];
      const env = { GIT_SSH_COMMAND: `ssh -F ${config}` };
      const git = async (...words: string[]) => {
        const ran = await run(["git", ...who, ...words], { env });
        if (ran.code !== 0) throw new Error(`git ${words.join(" ")}: ${ran.err}`);
        return ran.out;
      };
      await git("clone", "-q", `${HOST}:repo.git`, "work");
      writeFileSync(join(banger.dir, "work/file"), "by push\n");
      await git("-C", "work", "add", "file");
      await git("-C", "work", "commit", "-q", "-m", "A file");
      await git("-C", "work", "push", "-q", "origin", "HEAD:main");
      await git("clone", "-q", "-b", "main", `${HOST}:repo.git`, "again");
      expect(readFileSync(join(banger.dir, "again/file"), "utf8")).toBe("by push\n");
    },
    5 * SSH_MS,
  );

  test(
    "rsync brings a directory by that name",
    async () => {
      mkdirSync(join(banger.dir, "several"));
      for (const name of ["one", "two"]) writeFileSync(join(banger.dir, "several", name), name);
      expect(await run(["rsync", "-a", "-e", `ssh -F ${config}`, "several/", `${HOST}:synced`])).toMatchObject({
        code: 0,
      });
      expect((await ssh(HOST, "cat synced/one synced/two")).out).toBe("onetwo");
    },
    2 * SSH_MS,
  );

  test(
    "an editor's connection works: a shell that reads its script, with forwarding into the guest beside it",
    async () => {
      const port = freePort();
      const child = Bun.spawn(
        banger.beside(["ssh", "-F", config, "-T", "-D", String(port), "-o", "ConnectTimeout=60", HOST, "bash"]),
        { env: banger.env, stdin: "pipe", stdout: "pipe", stderr: "ignore", timeout: SSH_MS, killSignal: "SIGKILL" },
      );
      const out = collect(child.stdout, child.exited);
      child.stdin.write("echo server ready; head -c1 >/dev/null; echo done\n");
      child.stdin.flush();
      const greeting = await until(
        "the guest's sshd greets through the forwarding",
        () =>
          new Promise<string | null>((resolve) => {
            let seen = Buffer.alloc(0);
            let hasAsked = false;
            Bun.connect({
              hostname: "127.0.0.1",
              port,
              socket: {
                // SOCKS5 (RFC 1928): no authentication, then CONNECT 127.0.0.1:22.
                open: (socket) => void socket.write(Uint8Array.of(5, 1, 0)),
                data: (socket, bytes) => {
                  seen = Buffer.concat([seen, bytes]);
                  if (!hasAsked && seen.length >= 2) {
                    hasAsked = true;
                    socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, 0, 22));
                  }
                  if (seen.length > 12 + 8) {
                    resolve(seen.subarray(12).toString());
                    socket.end();
                  }
                },
                close: () => resolve(null),
                error: () => resolve(null),
                connectError: () => resolve(null),
              },
            }).catch(() => resolve(null));
          }),
        SSH_MS,
      );
      expect(greeting).toStartWith("SSH-2.0");
      child.stdin.write("x");
      child.stdin.end();
      expect(await child.exited).toBe(0);
      expect(await out).toBe("server ready\ndone\n");
    },
    2 * SSH_MS,
  );

  test(
    "vm code hands an editor the folder, and says what is missing",
    async () => {
      const PATH = `${join(banger.dir, "bin")}:${banger.env.PATH}`;
      expect((await banger.run(["vm", "code", "io"], { env: { PATH: "/nowhere" } })).err).toContain(
        "code is not in the PATH",
      );
      writeFileSync(join(banger.dir, "bin/code"), `#!/bin/sh\nprintf '%s\\n' "$@" >'${banger.dir}/opened'\n`);
      chmodSync(join(banger.dir, "bin/code"), 0o755);
      await banger.ok(["vm", "code", "io", "my work"], { env: { PATH } });
      const home = (await banger.ok(["exec", "io", "--", "sh", "-c", "printf %s ~"])).trim();
      expect(readFileSync(join(banger.dir, "opened"), "utf8")).toBe(
        `--folder-uri\nvscode-remote://ssh-remote+${HOST}${home}/my%20work\n`,
      );
      await banger.ok(["ssh-config", "uninstall"]);
      expect(existsSync(config)).toBe(false);
      expect((await banger.run(["vm", "code", "io"], { env: { PATH } })).err).toContain("banger ssh-config install");
      await banger.ok(["ssh-config", "install"]);
    },
    SSH_MS,
  );

  test(
    "a host key that has changed is refused, and why is explained",
    async () => {
      await asRootInGuest(
        "cd /etc/ssh && cp -p ssh_host_ed25519_key.pub /root/kept.pub && cp -p ssh_host_ed25519_key /root/kept && " +
          "rm ssh_host_ed25519_key ssh_host_ed25519_key.pub && ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key",
      );
      try {
        const ran = await until(
          "ssh refuses",
          async () => {
            await asRootInGuest("systemctl restart ssh");
            const tried = await banger.run(["ssh", "io", "true"]);
            return tried.code === 255 ? tried : null;
          },
          SSH_MS,
        );
        expect(ran.err).toContain("The host key of io has changed");
      } finally {
        await asRootInGuest(
          "cd /etc/ssh && cp -p /root/kept ssh_host_ed25519_key && cp -p /root/kept.pub ssh_host_ed25519_key.pub && systemctl restart ssh",
        );
      }
      expect((await banger.run(["ssh", "io", "true"])).code).toBe(0);
    },
    3 * SSH_MS,
  );

  test(
    "what is left in a guest is told, with the ports that are reached by its name",
    async () => {
      const listen = "setsid systemd-socket-activate -l 3000 cat >/dev/null 2>&1 </dev/null &";
      await banger.ok(["exec", "io", "--", "sh", "-c", listen]);
      const activity = await until(
        "the guest tells of the port",
        async () => {
          const told = await banger.json<Output<"vm.activity">>(["vm", "activity", "io", "--within", "30000"]);
          return told.listeners?.some(({ port }) => port === 3000) ? told : null;
        },
        SSH_MS,
      );
      expect(activity).toMatchObject({ state: "running", fqdn: HOST });
      expect(renderReminder({ activity, isNamed: true })).toContain(`${HOST}:3000`);
      expect((await banger.run(["ssh", "io", "--", "true"])).err).toBe("");
    },
    3 * SSH_MS,
  );

  test(
    "a clock that is off is measured, shown and set",
    async () => {
      await asRootInGuest("date -s '2 hours ago'");
      const ping = await banger.json<Output<"vm.ping">>(["vm", "ping", "io"]);
      expect(ping.clockSkewMs).toBeLessThan(-7_000_000);
      expect((await banger.show("io")).clock?.skewMs).toBeLessThan(-7_000_000);
      expect(await banger.ok(["show", "io"])).toContain("banger vm clock io sets it");
      await banger.ok(["vm", "clock", "io"]);
      const { clockSkewMs } = await banger.json<Output<"vm.ping">>(["vm", "ping", "io"]);
      expect(Math.abs(clockSkewMs)).toBeLessThan(5_000);
    },
    SSH_MS,
  );

  test(
    "pings go on until Ctrl-C",
    async () => {
      const child = Bun.spawn(banger.beside([BANGER, "vm", "ping", "--watch", "io"]), {
        env: banger.env,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        timeout: SSH_MS,
        killSignal: "SIGKILL",
      });
      let out = "";
      const decoder = new TextDecoder();
      for await (const bytes of child.stdout) {
        out += decoder.decode(bytes, { stream: true });
        if ((out.match(/answered in/g) ?? []).length >= 2) child.kill("SIGINT");
      }
      expect(await new Response(child.stderr).text()).toContain("asked");
      expect(await child.exited).toBe(0);
    },
    SSH_MS,
  );

  test(
    "a guest that stands still is told apart from one whose helper alone is silent",
    async () => {
      const { pid } = await banger.show("io");
      kill(pid as number, "SIGSTOP");
      try {
        const frozen = await banger.run(["vm", "ping", "io", "--json"]);
        expect(JSON.parse(frozen.err || frozen.out)).toMatchObject({ error: { code: "guest.frozen" } });
      } finally {
        kill(pid as number, "SIGCONT");
      }
      await until(
        "it answers again",
        async () => ((await banger.run(["vm", "ping", "io"])).code === 0 ? true : null),
        SSH_MS,
      );
      await banger.guest("io", "sudo pkill -STOP -f '[v]sock-pingd'");
      const silent = await banger.run(["vm", "ping", "io", "--json"]);
      expect(JSON.parse(silent.err || silent.out)).toMatchObject({ error: { code: "guest.silent" } });
      await banger.guest("io", "sudo pkill -CONT -f '[v]sock-pingd'");
      await until(
        "it answers again",
        async () => ((await banger.run(["vm", "ping", "io"])).code === 0 ? true : null),
        SSH_MS,
      );
    },
    5 * SSH_MS,
  );

  test(
    "where it is wanted one key stops it; a stopped VM is said to be so, and started when that is wanted",
    async () => {
      await banger.ok(["config", "set", "ssh.reminder", "ask"]);
      await until(
        "the key stops it",
        async () => {
          const left = await leaveShell(3, "s");
          if (left.code !== 3) throw new Error(`it ended with ${left.code}: ${JSON.stringify(left.shown)}`);
          // A machine too busy to say within 300 ms what is left says nothing, and asks nothing.
          return left.shown.includes("io is still running") && (await banger.show("io")).state === "stopped"
            ? true
            : null;
        },
        5 * SSH_MS,
      );
      expect(await banger.run(["vm", "ping", "io"])).toMatchObject({
        code: 4,
        err: expect.stringContaining("banger start io"),
      });
      const refused = await ssh(HOST, "true");
      expect([refused.code, refused.err]).toEqual([255, expect.stringContaining("banger start io")]);
      await banger.ok(["config", "set", "ssh.autostart", "true"]);
      const started = Bun.spawn(banger.beside(["ssh", "-F", config, HOST, "true"]), {
        env: banger.env,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
        timeout: BOOT_MS,
        killSignal: "SIGKILL",
      });
      expect(await started.exited).toBe(0);
    },
    10 * SSH_MS,
  );
});
