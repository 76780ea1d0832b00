// How long `banger exec VM -- true` takes, beside the same over an ssh connection that is open already, in turn, on one guest.
import { join } from "node:path";
import type { Output } from "../src/spec/rpc/contract.ts";
import { BANGER, BOOT_MS, type Instance, until } from "../test/vm/fixture.ts";
import { type Metric, metric, metricsOf } from "./figures.ts";

const ROUNDS = 40;
const WARM_UP = 3;

const timed = async (banger: Instance, argv: readonly string[]): Promise<number> => {
  const beganMs = performance.now();
  const child = Bun.spawn(banger.beside(argv), {
    env: banger.env,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    timeout: 60_000,
  });
  const code = await child.exited;
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}`);
  return performance.now() - beganMs;
};

export const benchExec = async (banger: Instance): Promise<{ metrics: Metric[]; raw: unknown }> => {
  await banger.create("timed");
  await banger.untilUp("timed");
  const access = JSON.parse(await banger.ok(["ssh", "--json", "timed"])) as Output<"vm.access">;
  const master = [
    ...["ssh", "-F", "none", "-i", access.keyPath, "-l", access.user, "-o", `HostKeyAlias=${access.hostKeyAlias}`],
    ...[
      "-o",
      `UserKnownHostsFile=${access.knownHostsPath}`,
      "-o",
      "IdentitiesOnly=yes",
      "-o",
      "LogLevel=ERROR",
      "-o",
      "ControlPersist=no",
    ],
    ...["-o", `ControlPath=${join(banger.dir, "r/master")}`],
  ];
  const open = Bun.spawn(banger.beside([...master, "-M", "-N", access.address]), {
    env: banger.env,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const bySsh = [...master, access.address, "true"];
  const byExec = [BANGER, "exec", "timed", "--", "true"];
  // Emulated guests take seconds to let somebody in.
  await until(
    "the connection is open",
    async () => {
      const check = Bun.spawn(banger.beside([...master, "-O", "check", access.address]), {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      });
      return (await check.exited) === 0;
    },
    BOOT_MS,
  );
  const times: { exec: number[]; ssh: number[] } = { exec: [], ssh: [] };
  try {
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const [exec, ssh] = [await timed(banger, byExec), await timed(banger, bySsh)];
      if (round < 0) continue;
      times.exec.push(exec);
      times.ssh.push(ssh);
    }
  } finally {
    open.kill();
    await open.exited;
    await banger.ok(["rm", "--force", "timed"]);
  }
  const differences = times.exec.map((ms, index) => ms - (times.ssh[index] ?? 0)).sort((one, other) => one - other);
  return {
    metrics: [
      ...metricsOf("exec of true, beside an open ssh connection", times.exec, "ms", times.ssh),
      metric("exec of true, more than by ssh (median)", differences[differences.length >> 1] ?? Number.NaN, "ms"),
    ],
    raw: times,
  };
};
