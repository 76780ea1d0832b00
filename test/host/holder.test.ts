// The real holder without guests: what is carried into its namespaces, and what is left of it when it is killed.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createHolder } from "../../src/host/holder.ts";
import { identifyProcess } from "../../src/host/process-proof.ts";
import { buildHolder, openHolder, removeInstances } from "./built-holder.ts";

afterAll(removeInstances);

const shipped = buildHolder();
const executable = "executable" in shipped ? shipped.executable : "";
const real = executable === "" ? test.skip : test;
const why = "obstacle" in shipped ? ` (${shipped.obstacle})` : "";
const MS = 60_000;

const until = async (what: string, isSo: () => boolean): Promise<void> => {
  for (const end = performance.now() + MS / 2; !isSo(); await Bun.sleep(10))
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
};

const statusOf = (pid: number | string): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
};
const isAlive = (pid: number): boolean => statusOf(pid) !== "" && !/^State:\s+[ZX]/m.test(statusOf(pid));
const childrenOf = (parent: number): number[] =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && new RegExp(`^PPid:\\s+${parent}$`, "m").test(statusOf(pid)));

real(
  `bytes are carried inside, each way to its end; who cannot be reached and where nobody holds is told apart${why}`,
  async () => {
    const { holder, close } = await openHolder(executable);
    const bound = await holder.bind("127.0.0.1");
    if (bound === null) throw new Error("no socket inside");
    const upper = Bun.listen({
      fd: bound.tcp,
      socket: {
        data: (socket: Bun.Socket, bytes: Buffer) => void socket.write(bytes.toString().toUpperCase()),
        end: (socket: Bun.Socket) => {
          socket.write("over\n");
          socket.end();
        },
      },
      allowHalfOpen: true,
    } as never as Parameters<typeof Bun.listen>[0]);
    const carry = (port: number) =>
      Bun.spawn(holder.carryArgv({ address: "127.0.0.1", port, timeoutMs: 50 }), {
        stdin: Buffer.from("hello\n"),
        stdout: "pipe",
        stderr: "ignore",
      });
    const carried = carry(bound.port);
    expect(await new Response(carried.stdout).text()).toBe("HELLO\nover\n");
    expect(await carried.exited).toBe(0);
    upper.stop(true);
    expect(await carry(bound.port).exited).toBe(1);
    close();
    await until("nobody holds", () => holder.state() === null);
    expect(await carry(bound.port).exited).toBe(75);
  },
  MS,
);

real(
  `pasta ends when the holder does, also when what stands between them is killed at the same time${why}`,
  async () => {
    const { pids, close } = await openHolder(executable);
    const guard = pids.pasta;
    expect(childrenOf(pids.holder)).toContain(guard);
    await until("pasta runs", () => childrenOf(guard).length === 1);
    const [pasta = 0] = childrenOf(guard);
    for (const pid of [pids.holder, guard]) process.kill(pid, "SIGKILL");
    await until("pasta has ended", () => !isAlive(pasta));
    await until("so has who keeps the namespaces", () => !isAlive(pids.inside));
    close();
  },
  MS,
);

real(
  `a guard or a pasta that is killed has another one in its place${why}`,
  async () => {
    const { holder, pids, close } = await openHolder(executable);
    const guards = () => childrenOf(pids.holder).filter((pid) => statusOf(pid).startsWith("Name:\tbanger-way-out"));
    let [guard = 0] = guards();
    for (const victimOf of [(pid: number) => pid, (pid: number) => childrenOf(pid)[0] ?? 0]) {
      await until("pasta runs", () => childrenOf(guard).length === 1);
      process.kill(victimOf(guard), "SIGKILL");
      const before = guard;
      await until("another way out is there", () => guards().some((pid) => pid !== before));
      guard = guards().find((pid) => pid !== before) ?? 0;
    }
    expect(holder.state()?.holder).toBe(pids.holder);
    close();
  },
  MS,
);

test("a holder is told to watch the VMMs that still run, and not whoever has the number of one that ended", async () => {
  const dir = mkdtempSync("/tmp/bgr-holder-");
  const socket = `${dir}/socket`;
  const heard: string[] = [];
  const isAsked = Promise.withResolvers<void>();
  const listener = Bun.listen({
    unix: socket,
    socket: {
      data: (client, bytes) => {
        heard.push(...bytes.toString().split("\n").filter(Boolean));
        if (heard.includes("attach")) client.write("state holder=1 inside=2 pasta=3 leases=0\n");
        if (heard.includes("state")) isAsked.resolve();
      },
    },
  });
  const own = await identifyProcess(process.pid);
  const parent = await identifyProcess(process.ppid);
  if (own === null || parent === null) throw new Error("these two run");
  const holder = createHolder({
    ...{ executable: "/none", socket, log: `${dir}/log`, findPasta: () => null },
    members: () => [own, { ...parent, startTicks: parent.startTicks + 1 }],
    ...{ onAddresses: () => {}, onMended: () => {} },
  });
  await holder.ensure();
  await isAsked.promise;
  expect(heard).toEqual(["attach", `watch ${own.pid}`, "state"]);
  holder.release();
  listener.stop(true);
  rmSync(dir, { recursive: true });
});
