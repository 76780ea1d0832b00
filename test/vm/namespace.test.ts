// A user who has no root whatsoever, and a VM with a network: what it reaches, what it does not, and what is left when something is killed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import type { Vm } from "../../src/spec/vm.ts";
import { BOOT_MS, findObstacle, type Instance, openTestInstance, TEARDOWN_MS, until, untilGone } from "./fixture.ts";
import { INTERNET, type Lab, openLab, UPLINK } from "./lab.ts";
import { findNamespaceObstacle, makeOrdinaryUser, type OrdinaryUser } from "./ordinary-user.ts";
import { childrenOf, commandOf, isRoot, kill, processesOf } from "./processes.ts";
import { sshCommand } from "./ssh.ts";

const obstacle = findObstacle() ?? findNamespaceObstacle();
const suite = obstacle === null ? describe : describe.skip;
/** Root plays a host with an internet for them; anyone else tries what can be tried on the machine as it is. */
const played = isRoot ? test : test.skip;
const why = isRoot ? "" : " (the internet is played for root alone)";
const GREETER_PORT = 9124;
/** An address that the host gets while the VM runs. */
const LATER = "192.0.2.99";

suite(`a VM without root${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let lab: Lab | null = null;
  let user: OrdinaryUser;
  let banger: Instance;
  let neighbour: Instance | null = null;
  let vm: Vm;
  let other: Vm | null = null;

  const guestAddress = (of: Vm | null) => of?.addresses.find(({ side }) => side === "guest")?.address ?? "";
  const fetched = (url: string) => banger.guest("n", `curl -s -m 5 ${url} || true`);
  const greeted = (address: string) =>
    banger.guest(
      "n",
      `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${GREETER_PORT}; cat <&3' 2>/dev/null || echo closed`,
    );
  const runtimeDir = () =>
    (JSON.parse(readFileSync(join(banger.dir, "state/banger/instance.json"), "utf8")) as { runtimeDir: string })
      .runtimeDir;
  const holderSocket = () => join(runtimeDir(), "holder.sock");
  /** The holder, by what it was started with. */
  const holderPid = () =>
    processesOf(banger.dir).find(
      ({ pid, command }) =>
        command.includes(" hold ") && childrenOf(pid).length > 0 && !commandOf(parent(pid)).includes(" hold "),
    )?.pid ?? null;
  const parent = (pid: number) => Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const pastaPid = () => {
    const holder = holderPid();
    return holder === null ? null : (childrenOf(holder).find((pid) => commandOf(pid).includes("--config-net")) ?? null);
  };
  const rules = () =>
    Bun.spawnSync(
      banger.beside([user.holder, "enter", holderSocket(), "--", "/usr/sbin/nft", "list", "ruleset"]),
    ).stdout.toString();
  const killed = async (pid: number | null) => {
    if (pid === null) throw new Error("there is no such process");
    kill(pid, "SIGKILL");
    await untilGone(pid);
  };
  const cleanAudit = async () => expect(await banger.audit()).toEqual({ clean: true, findings: [] });
  /** The way out works: where there is no internet to be played, pasta's link is there. */
  const untilOutside = () =>
    until(
      "the guest reaches the outside",
      async () =>
        isRoot
          ? (await fetched(`http://${INTERNET.web}/whoami`)) === UPLINK
          : Bun.spawnSync(
              banger.beside([user.holder, "enter", holderSocket(), "--", "/sbin/ip", "link", "show", "outside"]),
            ).success,
      BOOT_MS,
    );

  beforeAll(async () => {
    if (isRoot) lab = await openLab();
    user = makeOrdinaryUser(lab);
    const { inside, env, executable, uid } = user;
    banger = await openTestInstance({ inside, env, executable, owner: uid });
    // Whoever runs the tests may have sudo set up for banger, and would get a bridge.
    const made = [banger.create("n", ...(uid === null ? ["--network", "namespace"] : []))];
    if (lab) {
      await lab.serve("internet", "files", INTERNET.web, lab.dir);
      await lab.serve("internet", "names", INTERNET.router, INTERNET.web);
      await lab.serve("host", "greeter", "0.0.0.0", String(GREETER_PORT));
      neighbour = await openTestInstance({ inside: lab.inside });
      made.push(neighbour.create("bridged", "--network", "bridge"));
    }
    const [first, second] = await Promise.all(made);
    vm = first as Vm;
    other = second ?? null;
  }, 1_200_000);
  afterAll(async () => {
    try {
      await banger?.close();
      await neighbour?.close();
    } finally {
      await lab?.close();
      user?.close();
    }
  }, 2 * TEARDOWN_MS);

  test(
    "is connected in a namespace by default, is entered by ssh, and asks nobody for root",
    async () => {
      expect(vm.network).toBe("namespace");
      expect(await banger.guest("n", "echo here")).toBe("here");
      await cleanAudit();
      expect(user.calledSudo()).toBe(false);
    },
    BOOT_MS,
  );

  test(
    "is entered by ssh itself through banger's configuration: by its own sshd, without a route",
    async () => {
      const config = join(banger.dir, "data/banger/ssh/config");
      const argv = ["ssh", "-F", config, "-o", "BatchMode=yes", "n.vm", "echo $SSH_CONNECTION; cat"];
      const child = Bun.spawn(banger.beside(argv), {
        env: banger.env,
        stdin: Buffer.from("carried both ways\n"),
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      expect({ err, code: await child.exited }).toEqual({ err: "", code: 0 });
      expect(out.split("\n")[0]).toContain(` ${guestAddress(vm)} 22`);
      expect(out.split("\n")[1]).toBe("carried both ways");
    },
    BOOT_MS,
  );

  played(
    `reaches the outside as its user does, by address and by name${why}`,
    async () => {
      expect(await fetched(`http://${INTERNET.web}/whoami`)).toBe(UPLINK);
      expect(await fetched("http://www.lab.example/whoami")).toBe(UPLINK);
      expect(await banger.guest("n", "getent ahostsv4 n.vm")).toContain("n.vm");
    },
    BOOT_MS,
  );

  played(
    `does not reach the host: neither its loopback, nor an address of its own, nor one that it gets later${why}`,
    async () => {
      const gateway = guestAddress(vm).replace(/\.\d+$/, ".1");
      for (const address of [gateway, UPLINK]) expect(await greeted(address)).toBe("closed");
      lab?.run(["ip", "address", "add", `${LATER}/32`, "dev", "up0"]);
      const greeting = `exec 3<>/dev/tcp/${LATER}/${GREETER_PORT}; cat <&3`;
      expect(lab?.run(["bash", "-c", greeting])).toBe("hello from the host\n");
      await until("the rules know it", () => rules().includes(LATER), BOOT_MS);
      expect(await greeted(LATER)).toBe("closed");
    },
    BOOT_MS,
  );

  played(
    `does not reach the guest of another instance, which is on a bridge of the same host and answers there${why}`,
    async () => {
      const address = guestAddress(other);
      lab?.run(["ping", "-c", "1", "-W", "20", address]);
      const tried = `timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/22; head -c 4 <&3' 2>/dev/null || echo closed`;
      expect(await banger.guest("n", tried)).toBe("closed");
      expect(await neighbour?.guest("bridged", "echo here")).toBe("here");
    },
    BOOT_MS,
  );

  test(
    "pasta killed: it is started again, and the guest reaches the outside",
    async () => {
      await killed(pastaPid());
      await untilOutside();
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "the helper inside killed: the next operation starts another",
    async () => {
      await cleanAudit();
      const helper = childrenOf(await banger.daemonPid()).find((pid) => commandOf(pid).startsWith("banger-root"));
      await killed(helper ?? null);
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "the holder killed: connections go on, and another one takes the namespaces over",
    async () => {
      const access = JSON.parse(await banger.ok(["ssh", "--json", "n"])) as Output<"vm.access">;
      const session = Bun.spawn(banger.beside(sshCommand(access, "echo open; cat")), {
        env: banger.env,
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      });
      const said = session.stdout.pipeThrough(new TextDecoderStream()).getReader();
      expect((await said.read()).value).toBe("open\n");
      const before = holderPid();
      await killed(before);
      await untilOutside();
      expect(holderPid()).not.toBe(before);
      session.stdin.write("still\n");
      await session.stdin.flush();
      expect((await said.read()).value).toBe("still\n");
      session.stdin.end();
      expect(await session.exited).toBe(0);
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "the holder killed with the process between it and pasta: the old way out ends too, and there is one again",
    async () => {
      const [pasta, holder] = [pastaPid(), holderPid()];
      if (pasta === null || holder === null) throw new Error("there is no way out");
      for (const pid of [holder, parent(pasta)]) kill(pid, "SIGKILL");
      for (const pid of [holder, pasta]) await untilGone(pid);
      await untilOutside();
      const ways = user.processes().filter((pid) => commandOf(pid).includes("--config-net"));
      expect(ways.length).toBe(isRoot ? 1 : 0);
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "daemon and holder killed: the next command finds the VM and mends the rest",
    async () => {
      await banger.killDaemon();
      await killed(holderPid());
      expect((await banger.show("n")).state).toBe("running");
      expect(await banger.guest("n", "echo here")).toBe("here");
      await untilOutside();
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "the daemon alone killed: the VM goes on, and its names are answered again",
    async () => {
      const before = holderPid();
      await banger.killDaemon();
      expect(await banger.guest("n", "getent ahostsv4 n.vm >/dev/null && echo found")).toBe("found");
      expect(holderPid()).toBe(before);
      await cleanAudit();
    },
    BOOT_MS,
  );

  test(
    "stopped, nothing of it is left; it can be given another network, and be deleted",
    async () => {
      const pids = [holderPid(), pastaPid()];
      await banger.ok(["stop", "n"]);
      for (const pid of pids) if (pid !== null) await untilGone(pid, BOOT_MS);
      expect(existsSync(holderSocket())).toBe(false);
      await cleanAudit();
      expect((await banger.json<Vm>(["vm", "set", "n", "--network", "bridge"])).network).toBe("bridge");
      await banger.ok(["rm", "n"]);
      await banger.ok(["daemon", "stop"]);
      await until("no process of the user is left", () => user.processes().length === 0, BOOT_MS);
      expect(user.calledSudo()).toBe(false);
    },
    2 * BOOT_MS,
  );
});
