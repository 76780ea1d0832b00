// banger as a program: its terminal, its signals, its pipes, and the exit codes others rely on.
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { isatty } from "node:tty";
import { decideColor, isTerminal } from "../../src/cli/terminal.ts";
import { EXIT, fail } from "../../src/spec/errors.ts";
import { type FakeDaemon, type FakeHandlers, hello, makePlace, startFakeDaemon, vm } from "./fake-daemon.ts";
import { banger, bangerOnTerminal, spawnBanger } from "./spawned.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

const daemonWith = (handlers: FakeHandlers): FakeDaemon => {
  const daemon = startFakeDaemon(handlers);
  open.push(daemon.close);
  return daemon;
};

const place = () => {
  const made = makePlace();
  open.push(() => rmSync(made.dir, { recursive: true, force: true }));
  return made;
};

describe("without a daemon", () => {
  test("--version, help and config path neither need nor start one", async () => {
    const { env } = place();
    expect((await banger(env, "--version")).out).toMatch(/^banger \d+\.\d+\.\d+ \(.+\)\n$/);
    expect((await banger(env)).out).toContain("banger create");
    expect((await banger(env, "help", "exit-codes")).out).toContain("130");
    expect((await banger(env, "help", "vm", "create")).out).toContain("--vcpu");
    expect((await banger(env, "config", "path")).out).toBe(`${env.XDG_CONFIG_HOME}/banger/config.toml\n`);
    expect(JSON.parse((await banger(env, "version", "--json")).out).daemon).toBe(null);
  });

  test("daemon status says so with exit code 6 and starts none, and stopping none succeeds", async () => {
    const { env } = place();
    expect(await banger(env, "daemon", "status")).toMatchObject({ exitCode: EXIT.daemon, out: "" });
    expect(JSON.parse((await banger(env, "daemon", "status", "--json")).err).error.code).toBe("daemon.not_running");
    expect(await banger(env, "daemon", "stop")).toEqual({ exitCode: 0, out: "bangerd was not running\n", err: "" });
  });

  test("completion proposes commands and flags, and no names", async () => {
    const { env } = place();
    expect((await banger(env, "__complete", "vm", "st")).out).toMatch(/^start\t.*\nstop\t.*\nstats\t/);
    expect((await banger(env, "__complete", "vm", "stop", "")).exitCode).toBe(0);
  });

  test("a home that is a broken symlink or a file is a coded error", async () => {
    const { env, dir } = place();
    writeFileSync(join(dir, "file"), "");
    const shown = await banger({ ...env, XDG_STATE_HOME: join(dir, "file") }, "list");
    expect(shown.err).toMatch(/^banger: The directory .* cannot hold an instance/);
    expect(shown.exitCode).toBe(EXIT.daemon);
  });
});

describe("output", () => {
  test("whoever stops reading ends it quietly with 141", async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => vm({ name: `vm-${index}` }));
    const daemon = daemonWith({ "vm.list": () => many });
    const child = spawnBanger(daemon.env, ["list"]);
    await child.stdout.cancel();
    expect(await child.exited).toBe(141);
    expect(await child.stderr.text()).toBe("");
  });

  test("5 MB reach a pipe whole", async () => {
    const value = "x".repeat(5 * 1024 * 1024);
    const daemon = daemonWith({ "config.get": () => ({ key: "a", value, source: "file" }) });
    expect((await banger(daemon.env, "config", "get", "a")).out.length).toBe(value.length + 1);
  });

  const colors: [string, Record<string, string>, boolean, boolean][] = [
    ["a terminal has colours", { TERM: "xterm" }, true, true],
    ["a pipe has none", { TERM: "xterm" }, false, false],
    ["NO_COLOR takes them away", { NO_COLOR: "1" }, true, false],
    ["an empty NO_COLOR does not", { NO_COLOR: "" }, true, true],
    ["FORCE_COLOR gives them to a pipe", { FORCE_COLOR: "1" }, false, true],
    ["FORCE_COLOR=0 takes them away", { FORCE_COLOR: "0" }, true, false],
    ["NO_COLOR is stronger", { NO_COLOR: "1", FORCE_COLOR: "1" }, true, false],
    ["a dumb terminal has none", { TERM: "dumb" }, true, false],
  ];
  for (const [claim, env, isTty, expected] of colors) test(claim, () => expect(decideColor(env, isTty)).toBe(expected));

  test("a terminal is told from whatever else is open, as isatty tells it", () => {
    for (const path of ["/dev/null", "/dev/zero", "/dev/ptmx", import.meta.path, import.meta.dir]) {
      const fd = openSync(path, "r");
      open.push(() => closeSync(fd));
      expect([path, isTerminal(fd)]).toEqual([path, isatty(fd)]);
    }
    expect(isTerminal(9999)).toBe(false);
  });

  test("on a terminal a list has colours, and a created VM leaves stdout empty", async () => {
    const daemon = daemonWith({ "vm.list": () => [vm()], "vm.create": () => vm() });
    const listing = bangerOnTerminal(daemon.env, ["list"]);
    await listing.child.exited;
    expect(listing.screen()).toContain("\u001b[32mrunning\u001b[0m");
    const creating = bangerOnTerminal(daemon.env, ["create"]);
    await creating.child.exited;
    expect(creating.screen().trimEnd().split("\n")).toHaveLength(4);
  });
});

describe("progress", () => {
  const slow: FakeHandlers = {
    "vm.start": async ({ vm: name }, { emit }) => {
      emit({ kind: "step", operation: "vm.start", step: "disk.clone", phase: "begin", ms: null });
      emit({ kind: "step", operation: "vm.start", step: "disk.clone", phase: "done", ms: 3 });
      emit({ kind: "step", operation: "vm.start", step: "guest.ready", phase: "begin", ms: null });
      await Bun.sleep(1500);
      return { ...vm({ name }), changed: true };
    },
  };

  test("after a second a pipe gets plain lines on stderr, of what goes on then", async () => {
    const shown = await banger(daemonWith(slow).env, "start", "web");
    expect(shown).toEqual({ exitCode: 0, out: "web is running, at 10.77.5.2\n", err: "web: guest.ready …\n" });
  });

  test("a terminal gets one line that is redrawn and leaves nothing", async () => {
    const terminal = bangerOnTerminal(daemonWith(slow).env, ["start", "web"]);
    await terminal.shows("guest.ready");
    await terminal.child.exited;
    expect(terminal.screen()).not.toContain("disk.clone");
    expect(terminal.screen()).toEndWith("\r\u001b[Kweb is running, at 10.77.5.2\r\n");
  });

  test("with --json there is none", async () => {
    expect((await banger(daemonWith(slow).env, "start", "web", "--json")).err).toBe("");
  });
});

describe("Ctrl-C", () => {
  const hanging = (begun: () => void, gone: () => void): FakeHandlers => ({
    "vm.create": (_, { signal }) => {
      signal.addEventListener("abort", gone);
      begun();
      return new Promise<never>(() => {});
    },
  });

  test("cancels, waits until what was done is undone, and ends with 130", async () => {
    const begun = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    let isUndone = false;
    const daemon = daemonWith({
      ...hanging(begun.resolve, gone.resolve),
      "system.hello": () => ({ ...hello, isBusy: !isUndone }),
    });
    const child = spawnBanger(daemon.env, ["create"]);
    await begun.promise;
    child.kill("SIGINT");
    await gone.promise;
    expect(child.exitCode).toBe(null);
    isUndone = true;
    expect(await child.exited).toBe(130);
    expect(await child.stderr.text()).toContain("cancelling");
  });

  test("a second one leaves at once", async () => {
    const begun = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const daemon = daemonWith({
      ...hanging(begun.resolve, gone.resolve),
      "system.hello": () => ({ ...hello, isBusy: true }),
    });
    const child = spawnBanger(daemon.env, ["create"]);
    await begun.promise;
    child.kill("SIGINT");
    await gone.promise;
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("ends a stream", async () => {
    const begun = Promise.withResolvers<void>();
    const daemon = daemonWith({
      "vm.logs": () => {
        begun.resolve();
        return new Promise<never>(() => {});
      },
    });
    const child = spawnBanger(daemon.env, ["logs", "-f", "web"]);
    await begun.promise;
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });
});

describe("deleting a running VM on a terminal", () => {
  const handlers: FakeHandlers = {
    "vm.delete": ({ vm: name, force }) => {
      if (!force) throw fail("vm.running", { vm: name });
      return { id: "0", name, deleted: true };
    },
  };
  test("asks, and does it on yes", async () => {
    const daemon = daemonWith(handlers);
    const terminal = bangerOnTerminal(daemon.env, ["rm", "web"]);
    await terminal.shows("Stop and delete it?");
    terminal.type("y");
    await terminal.shows("web is deleted");
    expect(await terminal.child.exited).toBe(0);
    expect(daemon.calls.map(({ params }) => params)).toEqual([{ vm: "web" }, { vm: "web", force: true }]);
  });

  test("leaves it on no; a terminal of unknown width is asked in whole words", async () => {
    const daemon = daemonWith(handlers);
    const terminal = bangerOnTerminal(daemon.env, ["rm", "web"], { isSizeless: true });
    await terminal.shows("Stop and delete it?");
    terminal.type("n");
    expect(await terminal.child.exited).toBe(EXIT.conflict);
    expect(daemon.calls).toHaveLength(1);
  });
});

describe("ssh", () => {
  const access = {
    id: "0",
    name: "web",
    user: "ada",
    address: "10.77.5.2",
    port: 22,
    keyPath: "/keys/id",
    knownHostsPath: "/known hosts",
    hostKeyAlias: "bgr-0",
    home: "/home/ada",
  };
  /** An ssh that prints its arguments and ends as its last one says. */
  const withSsh = (daemon: FakeDaemon): Record<string, string> => {
    const bin = join(daemon.dir, "bin");
    mkdirSync(bin);
    writeFileSync(
      join(bin, "ssh"),
      '#!/bin/sh\nprintf "%s\\n" "$@"\nfor last; do :; done\ncase $last in exit*) eval "$last";; *exit*) exit 7;; esac\n',
    );
    chmodSync(join(bin, "ssh"), 0o755);
    return { ...daemon.env, PATH: `${bin}:${daemon.env.PATH}` };
  };

  test("runs ssh to where the daemon says, with the pinned host key, and gives its exit code", async () => {
    const daemon = daemonWith({ "vm.access": () => access });
    const shown = await banger(withSsh(daemon), "vm", "ssh", "web", "--", "sh", "-c", "exit 7");
    const words = shown.out.trimEnd().split("\n");
    expect(words).toContain('UserKnownHostsFile="/known hosts"');
    expect(words).toContain("HostKeyAlias=bgr-0");
    expect(words).toContain("StrictHostKeyChecking=yes");
    expect(words.slice(-5)).toEqual(["-l", "ada", "--", "10.77.5.2", "sh -c 'exit 7'"]);
  });

  test("one word is a line for the guest's shell, whose exit code is ours", async () => {
    const daemon = daemonWith({ "vm.access": () => access });
    expect((await banger(withSsh(daemon), "ssh", "web", "exit 7")).exitCode).toBe(7);
  });

  test("255 is explained", async () => {
    const daemon = daemonWith({ "vm.access": () => access, "vm.show": () => vm() });
    const shown = await banger(withSsh(daemon), "ssh", "web", "exit 255");
    expect(shown.exitCode).toBe(255);
    expect(shown.err).toContain("ssh ended with 255");
    expect(shown.err).toContain("web is running");
  });

  test("without a name the only VM is meant, and with two the user is asked which", async () => {
    const daemon = daemonWith({ "vm.access": () => access, "vm.list": () => [vm()] });
    const env = withSsh(daemon);
    expect((await banger(env, "ssh", "--", "ls", "-la")).out).toContain("\nls -la\n");
    daemon.handlers["vm.list"] = () => [vm(), vm({ name: "db" })];
    expect((await banger(env, "ssh")).err).toContain("Which VM? There are 2: web, db.\n  try: banger ssh web");
  });

  test("a stopped VM is an error with its fix where nobody can be asked, and an offer on a terminal", async () => {
    let isStarted = false;
    const daemon = daemonWith({
      "vm.access": () => {
        if (!isStarted) throw fail("vm.wrong_state", { vm: "web", state: "stopped", verb: "ssh", needs: ["running"] });
        return access;
      },
      "config.get": ({ key }) => ({ key, value: false, source: "default" }),
      "vm.start": () => {
        isStarted = true;
        return { ...vm(), changed: true };
      },
    });
    const env = withSsh(daemon);
    const shown = await banger(env, "ssh", "web", "ls");
    expect(shown).toMatchObject({ exitCode: EXIT.conflict, out: "" });
    expect(shown.err).toContain("try: banger start web");
    const terminal = bangerOnTerminal(env, ["ssh", "web", "ls"]);
    await terminal.shows("web is stopped. Start it?");
    terminal.type("y");
    expect(await terminal.child.exited).toBe(0);
    expect(terminal.screen()).toContain("10.77.5.2");
  });
});

describe("console", () => {
  /** A shim's control socket: answers `attach`, says hello, echoes in capitals, and ends on "off". */
  const startShim = async (path: string): Promise<string[]> => {
    const requests: string[] = [];
    const server = createServer((socket: Socket) => {
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        const text = String(bytes);
        if (text.startsWith("attach")) {
          requests.push(text);
          socket.write("ok\nlogin: ");
        } else if (text.includes("off")) socket.end("powered off");
        else socket.write(text.toUpperCase());
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    open.push(() => server.close());
    return requests;
  };

  test("Ctrl-] leaves, the VM stays, and the terminal is cooked again", async () => {
    const daemon = daemonWith({});
    const socket = join(daemon.dir, "run/shim");
    daemon.handlers["vm.console"] = () => ({ name: "web", socket });
    const requests = await startShim(socket);
    const terminal = bangerOnTerminal(daemon.env, ["vm", "console", "web"]);
    await terminal.shows("login: ");
    terminal.type("ada");
    await terminal.shows("ADA");
    terminal.type("\u001d");
    expect(await terminal.child.exited).toBe(0);
    expect(terminal.screen()).toContain("Left web; it is still running.");
    expect(requests).toEqual(["attach tail=4096\n"]);
  });

  test("a VM that ends ends it", async () => {
    const daemon = daemonWith({});
    const socket = join(daemon.dir, "run/shim");
    daemon.handlers["vm.console"] = () => ({ name: "web", socket });
    await startShim(socket);
    const terminal = bangerOnTerminal(daemon.env, ["vm", "console", "web"]);
    await terminal.shows("login: ");
    terminal.type("off");
    expect(await terminal.child.exited).toBe(0);
    expect(terminal.screen()).toContain("The console of web has ended.");
  });
});
