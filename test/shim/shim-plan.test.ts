// What a plan renders to, what is refused before it reaches the shim, and that the shim's parsers survive anything.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderShimPlan, type ShimPlan } from "../../src/host/shim.ts";
import { hasCode } from "../../src/spec/errors.ts";
import { runTool, sanitizerObstacle, sanitizing } from "../native.ts";
import { builtShim, eventsOf, openBench, STAY } from "./shim-bench.ts";

const plan: ShimPlan = {
  id: "vm-1",
  dir: "/run/b",
  control: "/run/b/c",
  lock: "/run/b/l",
  console: "/s/console.log",
  consolePrevious: "/s/console.log.previous",
  consoleMaxBytes: 65_536,
  vmmLog: "/s/vmm.log",
  vmmLogMaxBytes: 4096,
  status: "/s/status.json",
  restartsOnReboot: true,
  restartMax: 5,
  endsOnHalt: false,
  staleSockets: ["/run/b/api"],
  vmmPid: "/run/b/vmm.pid",
  argv: ["/bin/vmm", "-m", "512", ""],
  restartArgv: ["/bin/vmm", "--again"],
  env: { A: "b=c" },
};

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
};

describe("rendering", () => {
  test("a plan is its items in order, each ended by a NUL", () => {
    expect(new TextDecoder().decode(renderShimPlan(plan)).split("\0")).toEqual([
      "version=1",
      "id=vm-1",
      "dir=/run/b",
      "control=/run/b/c",
      "lock=/run/b/l",
      "console=/s/console.log",
      "console_previous=/s/console.log.previous",
      "console_max=65536",
      "vmm_log=/s/vmm.log",
      "vmm_log_max=4096",
      "status=/s/status.json",
      "vmm_pid=/run/b/vmm.pid",
      "restart_on_reboot=1",
      "restart_max=5",
      "end_on_halt=0",
      "remove=/run/b/api",
      "arg=/bin/vmm",
      "arg=-m",
      "arg=512",
      "arg=",
      "restart_arg=/bin/vmm",
      "restart_arg=--again",
      "env=A=b=c",
      "",
    ]);
  });

  test("a NUL in an argument, a socket path of 108 bytes and 64 KiB of arguments are refused", () => {
    const nul = thrownBy(() => renderShimPlan({ ...plan, argv: ["/bin/vmm", "a\0arg=/bin/sh"] }));
    expect(hasCode(nul, "input.invalid") && nul.data.issues[0]?.path).toBe("arg");
    const long = thrownBy(() => renderShimPlan({ ...plan, control: `/run/b/${"ü".repeat(51)}` }));
    expect(hasCode(long, "instance.path_too_long") && long.data.bytes).toBe(109);
    const large = thrownBy(() => renderShimPlan({ ...plan, argv: ["/bin/vmm", "x".repeat(65_536)] }));
    expect(hasCode(large, "input.invalid")).toBe(true);
  });
});

const obstacle = sanitizerObstacle();
describe.skipIf(obstacle !== null)(
  `under address and undefined-behaviour sanitizers${obstacle ? ` (skipped: ${obstacle})` : ""}`,
  () => {
    const { CC = "", CFLAGS = "" } = sanitizing() ?? {};

    test("50 000 mutated plans and random consoles break nothing, and chunking never changes a verdict", () => {
      const directory = mkdtempSync(join(tmpdir(), "bgr-shim-fuzz-"));
      try {
        const native = join(import.meta.dir, "../../native/shim");
        const driver = join(directory, "fuzz");
        const flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", ...CFLAGS.split(" ")];
        const sources = [join(import.meta.dir, "fuzz-shim.c"), join(native, "plan.c"), join(native, "ending.c")];
        runTool([CC, ...flags, "-o", driver, ...sources]);
        expect(runTool([driver, "42", "50000"])).toBe("done\n");
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }, 60_000);

    test("a shim that is sent random bytes by many clients goes on answering", async () => {
      const bench = await openBench(builtShim({ CC, CFLAGS }));
      try {
        const { plan: running, control } = await bench.start(`while read line; do echo "$line"; done; ${STAY}`);
        const words = [
          "hello\n",
          "watch\n",
          "attach\n",
          "attach tail=70000\n",
          "signal FOO\n",
          "signal CONT\n",
          "\n",
          "\0",
          "x",
        ];
        let seed = 42;
        const random = (below: number) => {
          seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
          return (seed >>> 8) % below;
        };
        const halfClosed: Socket[] = [];
        for (let round = 0; round < 300; round++) {
          const socket = connect(running.control);
          socket.on("error", () => {});
          if (random(2) === 0) socket.resume();
          const text = Array.from({ length: random(40) }, () => words[random(words.length)]).join("");
          const { promise: sent, resolve } = Promise.withResolvers<void>();
          socket.write(`${text}${"z".repeat(random(300))}`, () => resolve());
          socket.once("close", () => resolve());
          await sent;
          if (random(3) > 0) socket.destroy();
          else halfClosed.push(socket.end());
          if (halfClosed.length > 20) halfClosed.shift()?.destroy();
        }
        for (const socket of halfClosed) socket.destroy();
        const watching = control.watch();
        expect((await watching.next()).value).toMatchObject({ type: "started", starts: 1 });
        await control.signal("KILL");
        expect((await eventsOf(watching)).at(-1)).toMatchObject({ type: "exit", cause: "killed" });
      } finally {
        await bench.close();
      }
    }, 60_000);
  },
);
