// Keys on the modelled host, made by the real ssh-keygen: what a killed daemon left of them, and one that cannot be made.
import { afterEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { bangerKeyPath } from "../../src/daemon/prepare-create.ts";
import { createInput, type Daemon } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

const worlds = createWorlds();
afterEach(worlds.close);

const begin = async () => {
  const { daemon } = await worlds.begin();
  const create = (name: string) => daemon.vm["vm.create"](createInput(name), daemon.call());
  return { daemon, create, path: bangerKeyPath(daemon.context) };
};

const keysOf = ({ context }: Daemon, name: string): readonly string[] =>
  context.store.vms.byName(name)?.spec.authorizedKeys ?? [];

test("banger's own key that lost its public half gets it back, and stays the same key", async () => {
  const { daemon, create, path } = await begin();
  await create("one");
  const [before, secret] = [readFileSync(`${path}.pub`, "utf8"), readFileSync(path, "utf8")];
  for (const cut of [() => rmSync(`${path}.pub`), () => writeFileSync(`${path}.pub`, "")]) {
    cut();
    await create("two");
    expect(keysOf(daemon, "two")).toEqual(keysOf(daemon, "one"));
    expect([readFileSync(`${path}.pub`, "utf8"), readFileSync(path, "utf8")]).toEqual([before, secret]);
    await daemon.vm["vm.delete"]({ vm: "two", force: false }, daemon.call());
  }
});

test("where a key cannot be made no VM is, and what ssh-keygen said is told", async () => {
  const { daemon, create, path } = await begin();
  mkdirSync(daemon.context.paths.keysDir, { recursive: true });
  writeFileSync(path, "half a key\n", { mode: 0o600 });
  await expect(create("one")).rejects.toMatchObject({
    code: "host.command_failed",
    data: { stderr: expect.stringContaining(path) },
  });
  rmSync(path);
  // The guest's own key: the second that is made.
  const { processes } = daemon.context.host;
  const { runCommand } = processes;
  processes.runCommand = (request) =>
    runCommand(request.argv.includes("root@one") ? { ...request, argv: ["/bin/false"] } : request);
  await expect(create("one")).rejects.toMatchObject({ code: "host.command_failed" });
  expect(daemon.context.store.vms.all()).toEqual([]);
  expect(await daemon.audit()).toEqual([]);
});
