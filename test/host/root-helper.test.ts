// The privileged helper refuses everything but well-formed operations of its caller's own instances.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { createRootClient } from "../../src/host/root-client.ts";
import {
  checkNames,
  decideCaller,
  findDirtyVariable,
  MAX_LINE_BYTES,
  runRootHelper,
} from "../../src/host/root-helper.ts";
import { isHostUidMap, openRegistry } from "../../src/host/root-registry.ts";
import { BangerError } from "../../src/spec/errors.ts";
import { HostOp, type PrivLogEntry } from "../../src/spec/host-op.ts";
import { jailUid } from "../../src/spec/names.ts";
import { createNetLab, findLabObstacle, type NetLab } from "./net-lab.ts";

type Answer = { id?: number; ok?: boolean; helper?: string; error?: { code: string; message: string } | null };

/** Runs the helper in this process on these chunks; only what touches nothing on the host may be asked. */
const feed = async (
  chunks: readonly (string | Uint8Array)[],
  options: { env?: Record<string, string>; argv?: string[]; uid?: number } = {},
) => {
  let written = "";
  async function* input() {
    for (const chunk of chunks) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
  }
  const exitCode = await runRootHelper(options.argv ?? [], {
    input: input(),
    write: (text) => {
      written += text;
    },
    env: options.env ?? {},
    uid: options.uid ?? 0,
  });
  const answers = written
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Answer);
  return { exitCode, answers, refusals: answers.filter(({ ok }) => ok === false).map(({ error }) => error?.code) };
};

const line = (op: unknown, id = 1) => `${JSON.stringify({ id, requestedBy: "test", op })}\n`;

describe("before it starts", () => {
  test("variables that make another program of the executable are refused", async () => {
    for (const name of ["BUN_BE_BUN", "BUN_OPTIONS", "NODE_OPTIONS", "LD_PRELOAD", "LD_LIBRARY_PATH"]) {
      const { exitCode, answers } = await feed([], { env: { [name]: "1" } });
      expect(exitCode).toBe(1);
      expect(answers[0]?.error?.message).toContain(name);
    }
    expect(findDirtyVariable({ PATH: "/bin", SUDO_UID: "1000", TERM: "xterm" })).toBeNull();
  });

  test("arguments, and running as someone else than root, are refused", async () => {
    expect((await feed([], { argv: ["--help"] })).exitCode).toBe(1);
    expect((await feed([], { uid: 1000 })).exitCode).toBe(1);
  });

  test("it greets and ends at the end of its input", async () => {
    expect(await feed([])).toMatchObject({ exitCode: 0, answers: [{ helper: "banger-root", protocol: 1 }] });
  });
});

describe("requests", () => {
  test("what is no request of the closed set is refused, and the next one is heard", async () => {
    const { refusals, exitCode } = await feed([
      "garbage\n",
      "{}\n",
      "[1,2\n",
      line({ op: "shell.run", argv: ["/bin/sh"] }),
      line({ op: "tap.delete", instance: "abcde", tap: "eth0" }),
      line({ op: "tap.delete", instance: "abcde", tap: "bgr-abcde-2; reboot" }),
      line({ op: "bridge.delete", instance: "../..", bridge: "bgr-abcde" }),
      line({ op: "bridge.ensure", instance: "abcde", bridge: "bgr-abcde", subnet: "8.8.8.0/24", gateway: "8.8.8.1" }),
      line({ op: "sysctl.forward", instance: "ABCDE" }),
      new Uint8Array([0xff, 0xfe, 0x00, 0x0a]),
    ]);
    expect(refusals).toEqual(Array(10).fill("root.refused"));
    expect(exitCode).toBe(0);
  });

  test("a line longer than any request ends it, whether or not it ever ends", async () => {
    const endless = await feed([..."x".repeat(5)].map((text) => text.repeat(MAX_LINE_BYTES / 4)));
    expect(endless).toMatchObject({ exitCode: 1, refusals: ["root.refused"] });
    const ended = await feed([`${"x".repeat(MAX_LINE_BYTES + 1)}\n`, line({ op: "net.list", instance: "abcde" })]);
    expect(ended).toMatchObject({ exitCode: 1, refusals: ["root.refused"] });
  });

  test("a line that its writer did not live to finish is not a request", async () => {
    const { answers } = await feed([JSON.stringify({ id: 1, requestedBy: "test", op: { op: "sysctl.forward" } })]);
    expect(answers.length).toBe(1);
  });

  test("any bytes get refusals or silence, never another end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }), async (chunks) => {
        const { exitCode, answers } = await feed(chunks);
        expect(exitCode).toBe(0);
        expect(answers.slice(1).every(({ error }) => error?.code === "root.refused")).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test("a tap for another user is refused to all but root, save for the user of a jail", () => {
    const opFor = (ownerUid: number) =>
      HostOp.parse({ op: "tap.create", instance: "abcde", tap: "bgr-abcde-2", bridge: "bgr-abcde", ownerUid });
    const op = opFor(1001);
    expect(() => checkNames(op, 1000)).toThrow(BangerError);
    expect(() => checkNames(op, 1001)).not.toThrow();
    expect(() => checkNames(op, 0)).not.toThrow();
    for (const vm of ["000000000000", "0123456789ab", "ffffffffffff"])
      expect(() => checkNames(opFor(jailUid(vm)), 1000)).not.toThrow();
    for (const uid of [0x7000_0000 - 1, 0x7100_0000]) expect(() => checkNames(opFor(uid), 1000)).toThrow(BangerError);
  });

  test("two guests on one tap are refused", () => {
    const member = { tap: "bgr-abcde-2", mac: "02:00:00:00:00:02", address: "10.77.5.2" };
    const op = {
      op: "nft.apply",
      instance: "abcde",
      bridge: "bgr-abcde",
      subnet: "10.77.5.0/24",
      gateway: "10.77.5.1",
    };
    const parsed = HostOp.parse({ ...op, resolverPort: null, members: [member, { ...member, address: "10.77.5.3" }] });
    expect(() => checkNames(parsed, 0)).toThrow("named twice");
  });

  test("the caller is the one sudo names, else root", () => {
    expect(decideCaller({ SUDO_UID: "1000" })).toBe(1000);
    expect(decideCaller({})).toBe(0);
    expect(decideCaller({ SUDO_UID: "-1" })).toBe(0);
  });
});

describe("the registry", () => {
  const directories: string[] = [];
  afterEach(() => {
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });
  const newRegistry = () => {
    const directory = mkdtempSync(`${tmpdir()}/bgr-`);
    directories.push(directory);
    return {
      directory: `${directory}/instances`,
      registry: openRegistry(`${directory}/instances`, process.getuid?.()),
    };
  };

  test("an instance belongs to who used it first, until nothing of it is left", () => {
    const { registry, directory } = newRegistry();
    expect(registry.claim("abcde", 1000)).toBe("new");
    expect(registry.claim("abcde", 1000)).toBe("known");
    expect(() => registry.claim("abcde", 1001)).toThrow("another user");
    expect(() => registry.claim("abcde", 0)).toThrow("another user");
    registry.release("abcde");
    registry.release("abcde");
    expect(registry.claim("abcde", 1001)).toBe("new");
    expect(readdirSync(directory)).toEqual(["abcde"]);
    expect(readFileSync(`${directory}/abcde`, "utf8")).toBe("1001\n");
  });

  test("an entry that cannot be read as a uid belongs to nobody who asks", () => {
    const { registry, directory } = newRegistry();
    registry.claim("abcde", 1000);
    writeFileSync(`${directory}/abcde`, "what\n");
    expect(() => registry.claim("abcde", 1000)).toThrow("another user");
  });

  test("only the identity map over all uids is the host's", () => {
    expect(isHostUidMap("         0          0 4294967295\n")).toBe(true);
    expect(isHostUidMap("         0       1000          1\n")).toBe(false);
    expect(isHostUidMap("")).toBe(false);
  });
});

const obstacle = findLabObstacle();
const suite = obstacle === null ? describe : describe.skip;

suite(`the client${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: NetLab | null = null;
  const open = async (log: PrivLogEntry[] = []) => {
    lab = await createNetLab();
    const { rootLaunch } = lab;
    return createRootClient({ planLaunch: () => rootLaunch, privLog: (entry) => log.push(entry) });
  };
  afterEach(async () => {
    await lab?.close();
    lab = null;
  });
  const list = { op: "net.list", instance: "c1ien" } as const;

  test("a helper that was killed is started again, and nobody notices", async () => {
    const client = await open();
    await client.run(list, "test");
    const first = client.helperPid();
    process.kill(first ?? 0, "SIGKILL");
    expect(await client.run(list, "test")).toEqual({ bridges: [], taps: [], tables: [], jails: [] });
    expect(client.helperPid()).not.toBe(first);
    await client.close();
  });

  test("operations asked at once are done one after another and each gets its own answer", async () => {
    const client = await open();
    const ids = ["one11", "two22", "thr33"];
    const bridges = ids.map((instance, index) => ({
      op: "bridge.ensure" as const,
      instance,
      bridge: `bgr-${instance}`,
      subnet: `10.77.${index}.0/24`,
      gateway: `10.77.${index}.1`,
    }));
    await Promise.all(bridges.map((op) => client.run(op, "test")));
    const answers = await Promise.all(ids.map((instance) => client.run({ op: "net.list", instance }, "test")));
    expect(answers.map((answer) => answer?.bridges[0])).toEqual(ids.map((instance) => `bgr-${instance}`));
    for (const { instance, bridge } of bridges) await client.run({ op: "bridge.delete", instance, bridge }, "test");
    await client.close();
  });

  test("every operation is in the log with who asked and what came of it", async () => {
    const log: PrivLogEntry[] = [];
    const client = await open(log);
    const tap = { op: "tap.create", instance: "c1ien", tap: "bgr-c1ien-2", bridge: "bgr-c1ien", ownerUid: 0 } as const;
    await client.run(list, "vm.list of ada").catch(() => {});
    await client.run(tap, "vm.start hello").catch(() => {});
    await client.run({ op: "nft.delete", instance: "c1ien" }, "cleaning up");
    expect(log.map(({ requestedBy, op, ok }) => [requestedBy, op, ok])).toEqual([
      ["vm.list of ada", "net.list", true],
      ["vm.start hello", "tap.create", false],
      ["cleaning up", "nft.delete", true],
    ]);
    expect(log[1]?.error).toContain("there is no bridge bgr-c1ien");
    await client.close();
  });

  const failing = async (argv: string[]) => {
    const client = createRootClient({ planLaunch: () => ({ kind: "launch", argv, argv0: null }), privLog: () => {} });
    const error = await client.run(list, "test").catch((cause: unknown) => cause);
    await client.close();
    return error instanceof BangerError ? [error.code, error.message] : error;
  };

  test("sudo that asks for a password, a missing program and one that says nothing are told apart", async () => {
    const sudo = "echo 'sudo: a password is required' >&2; exit 1";
    expect(await failing(["/bin/sh", "-c", sudo])).toEqual(["root.unavailable", expect.stringContaining("password")]);
    expect(await failing(["/nonexistent/sudo"])).toEqual([
      "root.unavailable",
      expect.stringContaining("/nonexistent/sudo"),
    ]);
    expect(await failing(["/bin/true"])).toEqual(["root.unavailable", expect.stringContaining("without a word")]);
    expect(await failing(["/bin/echo", "hello"])).toEqual(["root.unavailable", expect.any(String)]);
  });

  test("a helper that dies over an operation again and again is given up", async () => {
    const script = `printf '{"helper":"banger-root","protocol":1}\\n'; read line; exit 1`;
    expect(await failing(["/bin/sh", "-c", script])).toEqual(["root.unavailable", expect.stringContaining("twice")]);
  });

  test("a refusal to be launched says why", async () => {
    const client = createRootClient({
      planLaunch: () => ({ kind: "refusal", detail: "no sudo here" }),
      privLog: () => {},
    });
    await expect(client.run(list, "test")).rejects.toThrow("no sudo here");
    await client.close();
  });
});
