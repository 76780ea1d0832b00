// One VM from its creation to its deletion, by the commands that people type.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Output } from "../../src/spec/rpc/contract.ts";
import { Vm } from "../../src/spec/vm.ts";
import {
  BANGER,
  BOOT_MS,
  findObstacle,
  hasRoot,
  type Instance,
  openTestInstance,
  TEARDOWN_MS,
  until,
} from "./fixture.ts";

const obstacle = findObstacle();
const suite = obstacle === null ? describe : describe.skip;
const NAME = "codex-smoke";

suite(`a VM's life${obstacle === null ? "" : ` (${obstacle})`}`, () => {
  let banger: Instance;
  let created: Vm;
  let hostKey = "";
  let machineId = "";
  let events: Bun.Subprocess<"ignore", "pipe", "pipe">;
  let seen: Promise<string>;

  beforeAll(async () => {
    banger = await openTestInstance();
    await banger.ok(["ls"]);
    // From the beginning, so that it does not matter when it connects.
    events = Bun.spawn([BANGER, "events", "--since", "0", "--json"], {
      env: banger.env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    seen = new Response(events.stdout).text();
  }, 1_800_000);
  afterAll(async () => {
    events?.kill();
    await banger?.close();
  }, TEARDOWN_MS);

  test(
    "vm create --name codex-smoke prints the complete VM object",
    async () => {
      created = Vm.parse(
        await banger.json(["vm", "create", "--name", NAME, "--label", "team=blue", "--vcpu", "1", "--memory", "256M"]),
      );
      expect(created).toMatchObject({
        name: NAME,
        state: "running",
        hostname: NAME,
        fqdn: `${NAME}.vm`,
        vcpus: 1,
        memoryMiB: 256,
        labels: { team: "blue" },
        network: hasRoot ? "bridge" : "namespace",
        lastError: null,
        pendingRestart: false,
      });
      expect(created.pid).toBeGreaterThan(1);
      expect(created.addresses.map(({ side }) => side).sort()).toEqual(["guest", "host"]);
      // The guest tells of its clock and ports as soon as it can, which may be a moment after the answer.
      const { clock, ports, ...shown } = Vm.parse(await banger.show(NAME));
      expect({ ...shown, clock: created.clock, ports: created.ports }).toEqual(created);
    },
    BOOT_MS,
  );

  test(
    "a command over ssh gets its input, its arguments and gives back its output and exit code",
    async () => {
      expect((await banger.run(["vm", "ssh", NAME, "--", "sh", "-c", "exit 7"])).code).toBe(7);
      const words = ["printf", "%s|", "two words", "it's", "$HOME", ""];
      expect(await banger.ok(["vm", "ssh", NAME, "--", ...words])).toBe("two words|it's|$HOME||");
      expect((await banger.run(["ssh", NAME, "--", "cat; echo to-stderr >&2"], { stdin: "through\n" })).out).toBe(
        "through\n",
      );
      const identity = await banger.guest(NAME, "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id");
      [hostKey = "", machineId = ""] = identity.split("\n");
      expect(machineId).toMatch(/^[0-9a-f]{32}$/);
    },
    BOOT_MS,
  );

  test(
    "with one VM the name may be left out, and a unique prefix is enough",
    async () => {
      expect(await banger.ok(["ssh", "--", "hostname"])).toBe(`${NAME}\n`);
      expect(await banger.guest("codex", "hostname -f")).toBe(`${NAME}.vm`);
    },
    BOOT_MS,
  );

  test("creating the same name again is refused and changes nothing", async () => {
    const { code, err } = await banger.run(["vm", "create", "--name", NAME, "--json"]);
    expect(code).toBe(4);
    expect(JSON.parse(err).error.code).toBe("vm.name_taken");
    expect((await banger.json<Vm[]>(["vm", "list"])).length).toBe(1);
  });

  test("list shows it in a table, by label, by name and as JSON", async () => {
    expect(await banger.ok(["ls", "-q"])).toBe(`${NAME}\n`);
    expect(await banger.ok(["ls"])).toContain(NAME);
    expect(await banger.json<Vm[]>(["ls", "-l", "team=blue"])).toEqual([await banger.show(NAME)]);
    expect(await banger.json<Vm[]>(["ls", "-l", "team=red"])).toEqual([]);
  });

  test("starting a running VM succeeds and says that nothing changed", async () => {
    const { code, out, err } = await banger.run(["vm", "start", NAME]);
    expect(code).toBe(0);
    expect(`${out}${err}`).toContain("running");
    expect((await banger.show(NAME)).pid).toBe(created.pid);
  });

  test("stats, ping and why-slow describe the running VM", async () => {
    const [stats] = [await banger.json<Output<"vm.stats">[] | Output<"vm.stats">>(["stats", NAME])].flat();
    expect(stats).toMatchObject({ name: NAME, state: "running", memoryLimitMiB: 256 });
    expect(stats?.memoryMiB).toBeGreaterThan(10);
    const ping = await banger.json<Output<"vm.ping">>(["vm", "ping", NAME]);
    expect(ping.roundTripMs).toBeGreaterThan(0);
    const waterfall = await banger.json<Output<"vm.why-slow">>(["vm", "why-slow", NAME]);
    const steps = waterfall.steps.map(({ step }) => step);
    expect(steps).toContain("guest.ready");
    expect(steps).toContain("disk.clone");
    expect(waterfall.totalMs).toBeGreaterThan(0);
  });

  test(
    "logs -f prints what the guest writes on its console as it comes, and ends with its reader",
    async () => {
      const follow = Bun.spawn([BANGER, "logs", "-f", "--tail", "0", NAME], {
        env: banger.env,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const reader = follow.stdout.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      // The first line may come before the follower does: say it until it is heard.
      const heard = (async () => {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) return false;
          text += value;
          if (text.includes("hello, console")) return true;
        }
      })();
      await until("the console's line is heard", async () => {
        await banger.guest(NAME, "echo 'hello, console \x1b[31m' | sudo tee /dev/ttyS0 >/dev/null");
        return text.includes("hello, console");
      });
      expect(await heard).toBe(true);
      expect(text).not.toContain("\x1b");
      follow.kill("SIGINT");
      await follow.exited;
      const tail = await banger.ok(["logs", "--tail", "1", NAME]);
      expect(tail.trim().split("\n").length).toBe(1);
    },
    BOOT_MS,
  );

  test(
    "the console is attached to on a terminal, takes what is typed, and Ctrl-] leaves",
    async () => {
      const chunks: Buffer[] = [];
      const screen = () => Buffer.concat(chunks).toString();
      const console = Bun.spawn([BANGER, "console", NAME], {
        env: banger.env,
        terminal: { cols: 80, rows: 24, data: (_: unknown, bytes: Uint8Array) => chunks.push(Buffer.from(bytes)) },
      } as never) as Bun.Subprocess & { terminal: { write(text: string): void } };
      await until("it is attached", () => screen().includes("Ctrl-]"));
      await until("the guest answers a line that was typed", () => {
        if (!/login:/.test(screen())) console.terminal.write("\r");
        return /login:/.test(screen());
      });
      console.terminal.write("\x1d");
      expect(await console.exited).toBe(0);
      expect((await banger.show(NAME)).state).toBe("running");
    },
    BOOT_MS,
  );

  test("completions know the VM's name", async () => {
    const { out } = await banger.run(["completion", "bash"]);
    expect(out).toContain("banger");
  });

  test("what needs a stopped VM is refused while it runs, with the command that helps", async () => {
    const refusals = [
      ["vm", "rename", NAME, "other"],
      ["vm", "set", NAME, "--memory", "512M"],
      ["vm", "delete", NAME],
    ];
    for (const args of refusals) {
      const { code, err } = await banger.run([...args, "--json"]);
      expect(code).toBe(4);
      expect(JSON.parse(err).error.fix).toBeTruthy();
    }
  });

  test(
    "stop shuts the guest down in order, and stopping again succeeds",
    async () => {
      await banger.guest(NAME, "echo kept > /root/kept 2>/dev/null || echo kept > ~/kept");
      const stopped = await banger.json<Vm>(["vm", "stop", NAME]).then((answer) => [answer].flat()[0]);
      expect(stopped).toMatchObject({ state: "stopped", pid: null, lastEnd: { cause: "stopped" } });
      expect((await banger.run(["vm", "stop", NAME])).code).toBe(0);
      expect(await banger.ok(["logs", NAME])).toBeString();
      const audited = await banger.audit();
      expect(audited.findings).toEqual([]);
    },
    BOOT_MS,
  );

  test("a stopped VM is renamed, grown and labelled", async () => {
    const renamed = await banger.json<Vm>(["vm", "rename", NAME, "renamed"]);
    expect(renamed).toMatchObject({ id: created.id, name: "renamed", hostname: "renamed" });
    const grown = await banger.json<Vm>([
      ...["vm", "set", "renamed", "--vcpu", "2", "--memory", "320M"],
      ...["--disk", `${created.diskMiB + 1024}M`],
    ]);
    expect(grown).toMatchObject({ vcpus: 2, memoryMiB: 320, diskMiB: created.diskMiB + 1024 });
    const shrunk = await banger.run(["vm", "set", "renamed", "--disk", "2G", "--json"]);
    expect(JSON.parse(shrunk.err).error.code).toBe("vm.disk_shrink");
    const labelled = await banger.json<Vm>(["vm", "label", "renamed", "--set", "stage=test", "--remove", "team"]);
    expect(labelled.labels).toEqual({ stage: "test" });
  });

  test("start --plan prints what a start would do and does nothing", async () => {
    const plan = await banger.json<Output<"vm.plan">>(["vm", "start", "--plan", "renamed"]);
    expect(plan.vm).toEqual({ id: created.id, name: "renamed" });
    expect(plan.network.tap).toStartWith("bgr-");
    expect((await banger.show("renamed")).state).toBe("stopped");
    expect(await banger.leftovers().then((left) => left.filter((line) => line.includes("bgr-")))).toEqual([]);
  });

  test(
    "started again it is the same machine, larger and under its new name",
    async () => {
      await banger.ok(["vm", "start", "renamed"]);
      const facts = [
        ...["hostname", "cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "cat ~/kept", "nproc"],
        "awk '/MemTotal/ {print $2}' /proc/meminfo",
      ];
      const [hostname, machine, key, kept, cpus, memoryKiB] = (await banger.guest("renamed", facts.join("; "))).split(
        "\n",
      );
      expect({ hostname, machine, key, kept, cpus }).toEqual({
        hostname: "renamed",
        machine: machineId,
        key: hostKey,
        kept: "kept",
        cpus: "2",
      });
      expect(Number(memoryKiB)).toBeGreaterThan(256 * 1024);
      // The file system grows while it is in use, once the system is up.
      const wantedKiB = (created.diskMiB + 1024) * 1024;
      await until(
        "the file system fills the larger disk",
        async () => {
          const size = await banger.guest("renamed", "lsblk -bno SIZE /dev/vda; df -k --output=size / | tail -1");
          const [diskBytes, rootKiB] = size.split("\n").map(Number);
          expect(diskBytes).toBe(wantedKiB * 1024);
          return (rootKiB as number) > wantedKiB * 0.97;
        },
        BOOT_MS,
      );
      expect((await banger.show("renamed")).addresses).toEqual(created.addresses);
    },
    BOOT_MS,
  );

  test("the console of the run before is kept apart", async () => {
    const [now, before] = await Promise.all([
      banger.ok(["logs", "renamed"]),
      banger.ok(["logs", "--previous", "renamed"]),
    ]);
    expect(before).toContain("hello, console");
    expect(now).not.toContain("hello, console");
  });

  test(
    "kill ends it at once",
    async () => {
      const startedMs = performance.now();
      await banger.ok(["kill", "renamed"]);
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect(await banger.show("renamed")).toMatchObject({ state: "stopped", pid: null });
    },
    BOOT_MS,
  );

  test(
    "delete leaves nothing, and says so to who asks again",
    async () => {
      const disk = join(banger.dir, "data/banger/vms", created.id);
      expect(existsSync(disk)).toBe(true);
      await banger.ok(["vm", "delete", "renamed"]);
      expect(existsSync(disk)).toBe(false);
      expect((await banger.run(["vm", "show", "renamed"])).code).toBe(3);
      expect(await banger.audit()).toEqual({ clean: true, findings: [] });
      expect(await banger.leftovers().then((left) => left.filter((line) => !line.includes(" events ")))).toEqual([]);
    },
    BOOT_MS,
  );

  test("whoever subscribed to events saw each change once, in order", async () => {
    events.kill("SIGINT");
    await events.exited;
    const lines = (await seen).split("\n").filter(Boolean);
    const changes = lines.map(
      (line) =>
        JSON.parse(line) as Output<"events.subscribe"> & { event: { type: string; state?: string }; cursor: number },
    );
    const states = changes.flatMap(({ event }) => (event.type === "vm.state" ? [event.state] : []));
    expect(states).toEqual([
      ...["stopped", "starting", "running", "stopping"],
      ...["stopped", "starting", "running", "stopping", "stopped", "deleting"],
    ]);
    expect(changes.at(-1)?.event.type).toBe("vm.deleted");
    const cursors = changes.map(({ cursor }) => cursor);
    expect(cursors).toEqual([...new Set(cursors)].sort((a, b) => a - b));
  });
});
