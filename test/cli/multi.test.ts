// Verbs for several VMs: side by side, a line each, the worst exit code; and selections of them.
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { decideConcerned } from "../../src/cli/select-vms.ts";
import { fail } from "../../src/spec/errors.ts";
import { startFakeDaemon, vm } from "./fake-daemon.ts";
import { runLine } from "./in-process.ts";

const all = [
  vm({ name: "web", labels: { team: "blue" } }),
  vm({ name: "db", state: "stopped", labels: {} }),
  vm({ name: "mail", labels: {} }),
];

const daemon = startFakeDaemon();
beforeEach(() => {
  daemon.calls.splice(0);
  daemon.handlers = {
    "vm.list": ({ label }) =>
      all.filter(({ labels }) => Object.keys(label ?? {}).every((key) => labels[key] === label?.[key])),
    "vm.stop": ({ vm: name }) => ({ ...vm({ name, state: "stopped" }), changed: true }),
    "vm.start": ({ vm: name }) => {
      if (name === "gone") throw fail("vm.not_found", { vm: "gone" });
      if (name === "slow") throw fail("guest.not_ready", { vm: "slow", waitedMs: 1000 });
      return { ...vm({ name }), changed: true };
    },
    "vm.delete": ({ vm: name, force }) => {
      if (!force && name === "web") throw fail("vm.running", { vm: name });
      return { id: "0", name, deleted: true };
    },
    "vm.stats": ({ vm: name }) => ({
      name,
      state: "running",
      cpuPercent: 1,
      cpuSeconds: 1,
      memoryMiB: 1,
      memoryLimitMiB: 1,
      diskUsedMiB: 1,
      diskMiB: 1,
      uptimeSeconds: 1,
    }),
  };
});
afterAll(() => daemon.close());

const named = (method: string) =>
  daemon.calls.filter((call) => call.method === method).map(({ params }) => (params as { vm: string }).vm);

describe("several at once", () => {
  test("each has its line, and the worst exit code counts", async () => {
    const shown = await runLine(daemon, ["start", "web", "gone", "slow", "db"]);
    expect(shown.out.trimEnd().split("\n").sort()).toEqual([
      "db is running, at 10.77.5.2",
      "web is running, at 10.77.5.2",
    ]);
    expect(shown.err).toContain('There is no VM "gone"');
    expect(shown.err).toContain("slow booted, but its guest helper was not ready");
    expect(shown.exitCode).toBe(7);
  });

  test("a name that is given twice is done once", async () => {
    await runLine(daemon, ["stop", "web", "web"]);
    expect(named("vm.stop")).toEqual(["web"]);
  });

  test("not more than eight run at a time, and all of them do", async () => {
    let now = 0;
    let most = 0;
    daemon.handlers["vm.stop"] = async ({ vm: name }) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return { ...vm({ name }), changed: true };
    };
    const names = Array.from({ length: 30 }, (_, index) => `vm${index}`);
    expect((await runLine(daemon, ["stop", ...names])).exitCode).toBe(0);
    expect(named("vm.stop").sort()).toEqual([...names].sort());
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(8);
  });

  test("with --json one reference gives its object, several an array in their order", async () => {
    expect(JSON.parse((await runLine(daemon, ["stop", "web", "--json"])).out).name).toBe("web");
    const shown = await runLine(daemon, ["start", "web", "gone", "--json"]);
    const [first, second] = JSON.parse(shown.out);
    expect(first.name).toBe("web");
    expect(second).toMatchObject({ vm: "gone", error: { code: "vm.not_found" } });
    expect(JSON.parse(shown.err).error.code).toBe("vm.not_found");
    expect(shown.exitCode).toBe(3);
  });

  test("with --json a single failure is an error and no object", async () => {
    const shown = await runLine(daemon, ["start", "gone", "--json"]);
    expect(shown.out).toBe("");
    expect(JSON.parse(shown.err).error).toMatchObject({ code: "vm.not_found", fix: "banger list" });
  });
});

describe("selections", () => {
  test("--all is for those that the verb has something to do for", async () => {
    await runLine(daemon, ["stop", "--all"]);
    expect(named("vm.stop").sort()).toEqual(["mail", "web"]);
    await runLine(daemon, ["start", "--all"]);
    expect(named("vm.start")).toEqual(["db"]);
    expect(decideConcerned("vm.delete", all)).toHaveLength(3);
  });

  test("-l asks the daemon for those with the label", async () => {
    await runLine(daemon, ["stop", "-l", "team=blue"]);
    expect(daemon.calls[0]).toEqual({ method: "vm.list", params: { label: { team: "blue" } } });
    expect(named("vm.stop")).toEqual(["web"]);
  });

  test("--all of nothing succeeds, and says so", async () => {
    daemon.handlers["vm.list"] = () => [];
    expect(await runLine(daemon, ["stop", "--all"])).toEqual({
      exitCode: 0,
      out: "",
      err: "There is no VM that this is for.\n",
    });
    expect((await runLine(daemon, ["stop", "--all", "--json"])).out).toBe("[]\n");
  });

  test("a label that no VM has is an error, since it is probably mistyped", async () => {
    const shown = await runLine(daemon, ["stop", "-l", "team=bleu"]);
    expect(shown).toMatchObject({ exitCode: 3, err: "banger: No VM has the label team=bleu.\n  try: banger list\n" });
  });

  test("no name at all asks which, and touches none", async () => {
    const shown = await runLine(daemon, ["stop"]);
    expect(shown).toMatchObject({ exitCode: 2, out: "" });
    expect(shown.err).toBe("banger: Which VM? There are 3: web, db, mail.\n  try: banger stop web\n");
    expect(named("vm.stop")).toEqual([]);
  });

  test("names together with --all are refused", async () => {
    expect((await runLine(daemon, ["stop", "web", "--all"])).exitCode).toBe(2);
  });

  test("stats without a name is a table of those that run", async () => {
    const shown = await runLine(daemon, ["stats"]);
    expect(
      shown.out
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ")[0]),
    ).toEqual(["NAME", "web", "mail"]);
  });
});

test("a running VM is not deleted where nobody can be asked, and the fix says how", async () => {
  const shown = await runLine(daemon, ["rm", "web", "db"]);
  expect(shown.out).toBe("db is deleted\n");
  expect(shown.err).toContain("banger rm --force web");
  expect(shown.exitCode).toBe(4);
});
