// Measures inside the lab what the driver adds to a start of Firecracker: the same machine, its calls sent by the driver and by curl, in turns.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LaunchPlan } from "../../src/spec/plan.ts";
import { renderCall } from "../../src/vmm/firecracker/api/client.ts";
import { parseConfiguration, renderBootCalls } from "../../src/vmm/firecracker/configuration.ts";
import { firecrackerDriver } from "../../src/vmm/firecracker/driver.ts";
import { realFirecracker } from "../vmm/real-firecracker.ts";

const ROUNDS = 9;
const CALLS_MS = 120_000;

const subject = await realFirecracker();
if ("missing" in subject) throw new Error(subject.missing);
const { binary, kernel } = subject;
const directory = mkdtempSync(join(tmpdir(), "bgr-share-"));

const planOf = (): LaunchPlan => {
  const disk = join(directory, "disk");
  writeFileSync(disk, Buffer.alloc(1024 * 1024));
  return firecrackerDriver.launch({
    vm: { id: "0123456789ab", name: "share" },
    ...{ binary, accelerator: "kvm", tscKhz: null, kernel, network: null, vcpus: 1, memoryMiB: 256 },
    disks: [
      { id: "root", path: disk, readOnly: false },
      { id: "document", path: disk, readOnly: true },
    ],
    runtimeDir: directory,
  });
};

/** Sends each call when the one before it is answered, over one connection, and sums what each took; the start of curl is not counted. */
const byCurl = async (plan: LaunchPlan): Promise<number> => {
  const configuration = parseConfiguration(plan.files[0]?.content ?? "");
  if (!configuration) throw new Error("the plan has no configuration");
  const calls = [{ operation: "getInstance" } as const, ...renderBootCalls(configuration)].map((call) =>
    renderCall(call as Parameters<typeof renderCall>[0]),
  );
  const argv = calls.flatMap(({ method, path, body }, index) => [
    ...(index === 0 ? [] : ["--next"]),
    ...["-sS", "--fail", "--unix-socket", plan.controlSocket, "-X", method, "-o", "/dev/null", "-w", "%{time_total}\n"],
    ...(body === null ? [] : ["-H", "Content-Type: application/json", "-d", body]),
    `http://localhost${path}`,
  ]);
  const child = Bun.spawn(["curl", ...argv], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`curl: ${err}`);
  const times = out.trim().split("\n").map(Number);
  if (times.length !== calls.length) throw new Error(`${times.length} of ${calls.length} calls were answered`);
  return times.reduce((sum, time) => sum + time * 1000, 0);
};

const byDriver = async (plan: LaunchPlan): Promise<number> => {
  const started = performance.now();
  const signal = AbortSignal.timeout(CALLS_MS);
  const control = await firecrackerDriver.attach(plan, { vm: "share", timeoutMs: CALLS_MS, signal });
  await control.boot(signal);
  const ms = performance.now() - started;
  control.close();
  return ms;
};

const measure = async (send: (plan: LaunchPlan) => Promise<number>): Promise<number> => {
  const plan = planOf();
  for (const path of plan.staleSockets) rmSync(path, { force: true });
  // Real files: what --log-path opens by name cannot be the socket that a pipe is here.
  const child = Bun.spawn([...plan.argv], {
    ...{ stdin: "ignore", stdout: Bun.file("/dev/null"), stderr: Bun.file(join(directory, "log")) },
  });
  try {
    while (!existsSync(plan.controlSocket)) await Bun.sleep(5);
    // It has its socket before it looks at it: neither way is charged for that.
    await Bun.sleep(200);
    return await send(plan);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
};

const middleOf = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
const shown = (values: readonly number[]): string =>
  `${values.map((value) => Math.round(value)).join(" ")}  median ${Math.round(middleOf(values))} ms`;

try {
  const driver: number[] = [];
  const curl: number[] = [];
  // The first of each is not counted: a daemon is warm, and so is a file that was read.
  for (let round = 0; round <= ROUNDS; round += 1) {
    const [first, second] = round % 2 === 0 ? ([byDriver, byCurl] as const) : ([byCurl, byDriver] as const);
    const [one, other] = [await measure(first), await measure(second)];
    if (round === 0) continue;
    driver.push(first === byDriver ? one : other);
    curl.push(first === byDriver ? other : one);
  }
  console.log(`by the driver: ${shown(driver)}\nby curl:       ${shown(curl)}`);
  console.log(JSON.stringify({ ownMs: Math.round(middleOf(driver) - middleOf(curl)) }));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
