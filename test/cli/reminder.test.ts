// What is said after a shell was left: the wording for each case, and never past its time.
import { afterEach, expect, test } from "bun:test";
import { type Activity, gatherLeft, renderReminder, summarizeLeft } from "../../src/client/reminder.ts";
import { type FakeDaemon, startFakeDaemon } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";

let daemon: FakeDaemon | null = null;
afterEach(async () => {
  await daemon?.close();
  daemon = null;
});

const activity = (over: Partial<Activity> = {}): Activity => ({
  id: "0123456789ab",
  name: "web",
  fqdn: "web.vm",
  state: "running",
  address: "10.77.5.2",
  sessions: [],
  jobs: [],
  listeners: [],
  memoryMiB: 300,
  diskUsedMiB: 1331,
  ...over,
});
const say = (over: Partial<Activity>, isNamed = false): string => renderReminder({ activity: activity(over), isNamed });

test("a VM in which nothing is left", () => {
  expect(say({ listeners: [{ address: "0.0.0.0", port: 22, name: "sshd" }] })).toBe(
    [
      "web is still running, and nothing of yours is left in it. It holds 300M of memory and 1.3G of disk.",
      "  Stop it:    banger stop web",
    ].join("\n"),
  );
});

test("a VM with logins, jobs and listening ports, by its name where the resolver knows it", () => {
  const left: Partial<Activity> = {
    sessions: [{ user: "ada", terminal: "pts/1", remote: "10.77.5.1", service: "sshd", sinceSeconds: 200 }],
    jobs: [
      { pid: 300, user: "ada", name: "make", command: "make -j8 all", ageSeconds: 65 },
      { pid: 301, user: "ada", name: "bash", command: "-bash", ageSeconds: 200 },
    ],
    listeners: [
      { address: "0.0.0.0", port: 3000, name: "node" },
      { address: "::", port: 3000, name: "node" },
      { address: "127.0.0.1", port: 5432, name: "postgres" },
      { address: "0.0.0.0", port: 22, name: "sshd" },
    ],
  };
  expect(say(left, true)).toBe(
    [
      "web is still running with 1 login, 1 job, 2 ports. It holds 300M of memory and 1.3G of disk.",
      "  Logged in:  ada on pts/1 for 3m20s",
      "  Running:    make -j8 all (1m5s)",
      "  Listening:  web.vm:3000 (node), 5432 inside only (postgres)",
      "  Stop it:    banger stop web",
    ].join("\n"),
  );
  expect(say(left, false)).toContain("10.77.5.2:3000 (node)");
  expect(summarizeLeft({ activity: activity(left), isNamed: false })).toBe("1 login, 1 job, 2 ports");
});

test("of many only the first are told, and nothing a guest says reaches the terminal as it is", () => {
  const jobs = Array.from({ length: 9 }, (_, index) => ({
    pid: index,
    user: "ada",
    name: "x",
    command: `\x1b]0;mine\x07job\n${index}`,
    ageSeconds: 60,
  }));
  const shown = say({ jobs });
  expect(shown).toContain("job 0 (1m), job 1 (1m), job 2 (1m), job 3 (1m) and 5 more");
  expect(shown).not.toContain("\x1b");
});

test("a guest that said nothing in time is only said to be running", () => {
  expect(say({ sessions: null, jobs: null, listeners: null, memoryMiB: null, diskUsedMiB: null })).toBe(
    "web is still running.\n  Stop it:    banger stop web",
  );
});

test("nothing is said of a VM that goes down, that is gone, or of which nobody tells in time", async () => {
  const answers = [
    async () => activity({ state: "stopping" }) as never,
    async () => activity({ state: "deleting" }) as never,
    () => Promise.reject(new TypeError("it is gone")),
    () => new Promise<never>(() => {}),
  ];
  for (const call of answers) expect(await gatherLeft({ call: call as never }, "web", 50)).toBeNull();
  expect(await gatherLeft({ call: async () => activity() as never }, "web", 100)).toMatchObject({ isNamed: false });
});

test("what goes on in a VM is shown as a command, too", async () => {
  daemon = startFakeDaemon({
    "vm.activity": () =>
      activity({ listeners: [{ address: "0.0.0.0", port: 3000, name: "no\x1b[31mde" }], jobs: null }),
  });
  const { out, exitCode } = await runLine(daemon, ["vm", "activity", "web"]);
  expect([exitCode, out]).toEqual([
    0,
    "Logged in\n  nobody and nothing\nRunning\n  the guest did not say\nListening\n  0.0.0.0:3000 (node)\n" +
      "Holds on this host\n  300M of memory, 1.3G of disk\n",
  ]);
});
