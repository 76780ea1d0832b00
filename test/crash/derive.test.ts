// `image build --from` on the modelled host: what it makes, and that nothing is left of it wherever it fails or its daemon is killed.
import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { imageHandlers } from "../../src/daemon/handlers/image.ts";
import type { ProgressEvent } from "../../src/spec/events.ts";
import { contract } from "../../src/spec/rpc/contract.ts";
import { type FakeWorld, SimulatedCrash } from "../fakes/fake-host.ts";
import type { Behaviour } from "../fakes/fake-host-machine.ts";
import { createInput, type Daemon, IMAGE_ID } from "./harness.ts";
import { createWorlds } from "./worlds.ts";

const worlds = createWorlds();
const directories: string[] = [];
afterEach(() => {
  worlds.close();
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const STATUS = `Package: bash
Status: install ok installed
Version: 5.2-1

Package: gone
Status: deinstall ok config-files
Version: 1
`;

/** A file system with as much in it as is looked at; `without` names files that are left out, `added` has more. */
const makeRoot = (path: string, { without = [] as string[], added = {} as Record<string, string> } = {}): void => {
  const tree = mkdtempSync(join(tmpdir(), "bgr-root-"));
  directories.push(tree);
  const files: Record<string, string> = {
    "usr/lib/banger/init": "an init",
    "usr/lib/banger/banger-vsock-pingd": "a helper",
    "etc/machine-id": "",
    "var/lib/dpkg/status": STATUS,
    ...added,
  };
  for (const [name, text] of Object.entries(files)) {
    if (without.includes(name)) continue;
    mkdirSync(join(tree, name, ".."), { recursive: true });
    writeFileSync(join(tree, name), text);
  }
  rmSync(path, { force: true });
  const made = Bun.spawnSync(["/sbin/mkfs.ext4", "-q", "-F", "-d", tree, path, "4M"], { stderr: "pipe" });
  if (!made.success) throw new Error(`mkfs.ext4: ${made.stderr}`);
};

type Stage = { world: FakeWorld; daemon: Daemon; scripts: string[] };

const begin = async (root?: Parameters<typeof makeRoot>[1], exec?: Behaviour["exec"]): Promise<Stage> => {
  const world = worlds.open();
  if (exec) world.behave({ exec });
  makeRoot(`${world.paths.imagesDir}/${IMAGE_ID}/rootfs.ext4`, root);
  const daemon = await worlds.serve(world);
  daemon.context.native.imageScripts = join(import.meta.dir, "../../images");
  const scripts = ["one.sh", "two.sh"].map((name) => join(world.dir, name));
  writeFileSync(scripts[0] as string, "#!/bin/bash\necho one\n");
  writeFileSync(scripts[1] as string, "echo two\n");
  return { world, daemon, scripts };
};

const build = (
  { daemon, scripts }: Stage,
  options: { emit?: (event: ProgressEvent) => void; signal?: AbortSignal; input?: Record<string, unknown> } = {},
) => {
  const input = contract["image.build"].input.parse({ name: "dev", from: "debian", script: scripts, ...options.input });
  const { emit = () => {}, signal = new AbortController().signal } = options;
  return imageHandlers(daemon.context)["image.build"](input, { emit, signal, requestedBy: "test" } as never);
};

const settled = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

/** Neither VM nor image nor file of it, and the same command works. */
const expectNothing = async (stage: Stage): Promise<void> => {
  const { world, daemon } = stage;
  expect(await daemon.vm["vm.list"]({ label: {} }, daemon.call())).toEqual([]);
  expect(await daemon.audit()).toEqual([]);
  expect(world.leftovers()).toEqual([]);
  expect(readdirSync(world.paths.imagesDir)).toEqual([IMAGE_ID]);
  expect((await daemon.context.images.list()).map(({ name }) => name)).toEqual(["debian-13"]);
  expect(daemon.context.store.journal.open()).toEqual([]);
};

const restart = async (stage: Stage): Promise<Stage> => {
  const daemon = await worlds.restart(stage.world);
  daemon.context.native.imageScripts = join(import.meta.dir, "../../images");
  return { ...stage, daemon };
};

const sha = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("an image out of another", () => {
  test("runs the scripts in their order, as they are, and records what was done", async () => {
    const ran: { argv: readonly string[]; input: string }[] = [];
    const stage = await begin({}, (argv, input) => {
      ran.push({ argv, input });
      return { exitCode: 0, output: argv[0]?.endsWith("-one.sh") ? "first\nlast" : "" };
    });
    const { daemon, scripts, world } = stage;
    const lines: string[] = [];
    const image = await build(stage, {
      emit: (event) => event.kind === "note" && event.isOutput && lines.push(event.text),
    });
    expect(ran.filter(({ input }) => input !== "").map(({ input }) => input.split("\n").slice(0, 2))).toEqual([
      ["#!/bin/bash", "echo one"],
      ["#!/bin/sh", "echo two"],
      ["#!/bin/sh", expect.stringContaining("# Runs as root inside a guest")],
    ]);
    expect(ran.map(({ argv }) => argv[0]).filter((program) => program?.startsWith("/run/"))).toEqual([
      "/run/banger-build/0-one.sh",
      "/run/banger-build/1-two.sh",
      "/run/banger-build/tidy-root.sh",
    ]);
    expect(lines).toEqual([
      ...["run one.sh (1 of 2)", "first", "last", "one.sh ended with 0"],
      ...["run two.sh (2 of 2)", "two.sh ended with 0"],
    ]);
    const shown = await daemon.context.images.show("dev");
    expect(shown.made).toMatchObject({
      how: "built",
      packages: ["bash=5.2-1"],
      base: { id: IMAGE_ID, name: "debian-13" },
      provisioned: [
        { script: "one.sh", sha256: sha(scripts[0] as string) },
        { script: "two.sh", sha256: sha(scripts[1] as string) },
      ],
      kernel: { release: "6.0" },
    });
    expect(shown.helperVersion).toBe("fake");
    expect(readdirSync(world.paths.imagesDir).sort()).toEqual([IMAGE_ID, image.id].sort());
    expect(await daemon.vm["vm.list"]({ label: {} }, daemon.call())).toEqual([]);
    expect(await daemon.audit()).toEqual([]);
    // One out of that has the scripts of both in its record.
    await build(stage, { input: { name: "more", from: "dev", script: scripts.slice(0, 1) } });
    const more = await daemon.context.images.show("more");
    expect(more.made.provisioned.map(({ script }) => script)).toEqual(["one.sh", "two.sh", "one.sh"]);
    expect(more.made.base?.name).toBe("dev");
  });

  test("a script that fails ends it, is named with its exit code and last words, and nothing is left", async () => {
    const stage = await begin({}, (argv) =>
      argv[0]?.endsWith("-one.sh") ? { exitCode: 3, output: "no such thing\n" } : { exitCode: 0, output: "" },
    );
    const error = (await settled(build(stage))) as Error & { code: string };
    expect(error.code).toBe("image.script_failed");
    expect(error.message).toContain("one.sh ended with 3");
    expect(error.message).toContain("no such thing");
    await expectNothing(stage);
  });

  test("whoever gives up while a script runs leaves nothing", async () => {
    const stop = new AbortController();
    const stage = await begin({}, (argv) => {
      if (argv[0]?.endsWith("-two.sh")) stop.abort();
      return { exitCode: 0, output: "" };
    });
    expect(await settled(build(stage, { signal: stop.signal }))).toMatchObject({ code: "operation.cancelled" });
    await expectNothing(stage);
  });

  const refused: {
    what: string;
    root?: Parameters<typeof makeRoot>[1];
    input?: Record<string, unknown>;
    code: string;
  }[] = [
    {
      what: "lost the guest helper",
      root: { without: ["usr/lib/banger/banger-vsock-pingd"] },
      code: "image.without_helper",
    },
    {
      what: "kept a machine-id",
      root: { added: { "etc/machine-id": `${"a".repeat(32)}\n` } },
      code: "image.build_failed",
    },
    {
      what: "kept a host key",
      root: { added: { "etc/ssh/ssh_host_rsa_key": "secret" } },
      code: "image.build_failed",
    },
    { what: "has a name that is taken", input: { name: "debian-13" }, code: "image.name_taken" },
    { what: "comes from an image that is not there", input: { from: "nothing" }, code: "image.not_found" },
    { what: "runs a script that is not there", input: { script: ["/nowhere.sh"] }, code: "host.file_failed" },
    { what: "is told of packages", input: { package: ["git"] }, code: "input.invalid" },
  ];
  for (const { what, root, input, code } of refused)
    test(`one that ${what} is refused, and nothing is left`, async () => {
      const stage = await begin(root);
      expect(await settled(build(stage, input ? { input } : {}))).toMatchObject({ code });
      await expectNothing(stage);
    });
});

describe("an image out of another, disturbed at each step", async () => {
  const learnt: string[] = [];
  const first = await begin();
  first.daemon.hooks.onBegin = (step) => void learnt.push(step);
  await build(first);
  worlds.close();

  test("has steps of its own and those of its VM", () => {
    expect(learnt).toContain("vm.provision");
    expect(learnt).toContain("disk.clone");
    expect(learnt).toContain("disk.keep");
  });

  for (const step of new Set(learnt))
    for (const when of ["onBegin", "onRan"] as const)
      test(`killed at ${when} of ${step}: the next daemon leaves nothing of it`, async () => {
        const stage = await begin();
        stage.daemon.hooks[when] = (at) => {
          if (at !== step) return;
          stage.world.crash();
          throw new SimulatedCrash(`${when} of ${step}`);
        };
        expect(await settled(build(stage))).toBeInstanceOf(SimulatedCrash);
        const next = await restart(stage);
        await expectNothing(next);
        await build(next);
        expect(await next.daemon.audit()).toEqual([]);
      });

  for (const step of new Set(learnt))
    test(`failing in ${step}: it is undone at once, with the cause in the answer`, async () => {
      const stage = await begin();
      stage.daemon.hooks.onBegin = (at) => {
        if (at === step) throw new Error(`made to fail in ${step}`);
      };
      expect(String(await settled(build(stage)))).toContain(`made to fail in ${step}`);
      stage.daemon.hooks.onBegin = undefined;
      await expectNothing(stage);
    });
});

test("a VM of an image without the guest helper is refused before anything is made for it, with the repair", async () => {
  const { world, daemon } = await begin();
  await daemon.vm["vm.create"](createInput("web"), daemon.call());
  const { images } = daemon.context.store;
  const image = daemon.context.images.resolve("debian");
  images.remove(image.id);
  images.insert({ ...image, helperVersion: null });
  const { id } = await daemon.vm["vm.show"]({ vm: "web" }, daemon.call());
  const refused = [
    daemon.vm["vm.start"]({ vm: "web", wait: true }, daemon.call()),
    daemon.vm["vm.create"](createInput("db"), daemon.call()),
    build({ world, daemon, scripts: [] }),
  ];
  for (const refusal of refused)
    expect(await settled(refusal)).toMatchObject({
      code: "image.without_helper",
      fix: expect.stringContaining("banger image build --replace"),
    });
  expect(world.leftovers({ keptVms: [id] })).toEqual([]);
});
