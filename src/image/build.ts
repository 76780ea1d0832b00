// Builds an image by the scripts in images/: kernel object and root file system side by side, then kept as one, or nothing is left.
import { createHash } from "node:crypto";
import { type Step, undoSteps } from "../engine/step.ts";
import { describeUnknown, fail, isBangerError } from "../spec/errors.ts";
import type { ImageRecord, Operation } from "../spec/records.ts";
import type { ImageCaller } from "./image-service.ts";
import type { ImageContext } from "./images.ts";
import { aliasesFor, requireName } from "./keep.ts";
import { keepKernel } from "./kernels.ts";
import { type ImagePlan, makeImage, planImage } from "./make-image.ts";
import { provisionedOf, readScripts, type UserScript } from "./scripts.ts";

const BUILD_TIMEOUT_MS = 30 * 60_000;
/** Work files of mmdebstrap, the tree and the image, at the same time. */
const NEEDED_MIB = 3000;
const SUITE = "trixie";

type BuildInput = {
  name: string;
  mirror?: string | undefined;
  package: readonly string[];
  script: readonly string[];
  replace: boolean;
};

/** Of every build, whoever makes its parts: a crash is undone by these names. */
export const buildSteps = (
  context: ImageContext,
  plan: ImagePlan,
  run: { parts: (signal: AbortSignal) => Promise<void>; keep: () => Promise<void> } | null,
): readonly Step[] => {
  const { host } = context;
  const nothing = async () => {};
  return [
    { name: "work.make", run: () => host.files.makeDir(plan.workDir), undo: () => host.files.removeTree(plan.workDir) },
    { name: "parts.build", run: run?.parts ?? nothing, undo: nothing },
    { name: "image.keep", run: run?.keep ?? nothing, undo: () => host.files.removeTree(plan.imageDir) },
  ];
};

export const buildImage = async (
  context: ImageContext,
  input: BuildInput,
  caller: ImageCaller,
): Promise<ImageRecord> => {
  const { store, host, paths } = context;
  requireName(store, input);
  const scripts = await readScripts(host.files, input.script);
  await requireArtifacts(context);
  await host.files.makeDir(paths.imagesDir);
  await host.files.makeDir(paths.kernelsDir);
  const freeMiB = await host.files.freeMiB(paths.imagesDir);
  if (freeMiB < NEEDED_MIB) throw fail("host.no_space", { path: paths.imagesDir, neededMiB: NEEDED_MIB, freeMiB });

  const plan = planImage(context);
  let record: ImageRecord | null = null;
  const steps = buildSteps(context, plan, {
    parts: (signal) => buildParts(context, plan, { input, scripts, caller, signal }),
    keep: async () => {
      record = await keepImage(context, plan, { input, scripts });
    },
  });
  return makeImage(context, { kind: "image.build", plan, steps, record: () => record, caller });
};

/** What a build needs of ours is checked before it begins. Errors: bundle.missing. */
const requireArtifacts = async ({ host, native }: ImageContext): Promise<void> => {
  const needed = [
    ["customize.sh", native.imageScripts],
    ["debian-kernel.sh", native.imageScripts],
    ["banger-init", native.guestHelpers],
    ["banger-initramfs-init", native.guestHelpers],
    ["banger-vsock-pingd", native.guestHelpers],
  ] as const;
  for (const [artifact, directory] of needed)
    if (!(await host.files.exists(`${directory}/${artifact}`))) throw fail("bundle.missing", { artifact, directory });
};

/** Undoes the builds that a crash of the daemon interrupted; answers what was not undone, and why: it stays open, and hinders nothing else. */
export const undoImageOperations = async (context: ImageContext): Promise<readonly string[]> => {
  const left: string[] = [];
  for (const operation of context.store.journal.open()) {
    if (operation.kind !== "image.build" && operation.kind !== "image.register") continue;
    const why = await undoOperation(context, operation).then(
      (failures) => failures.map(({ step, detail }) => `${step}: ${detail}`),
      (error) => [describeUnknown(error)],
    );
    left.push(...why.map((detail) => `${operation.kind} of ${operation.subject}: ${detail}`));
  }
  return left;
};

const undoOperation = async (context: ImageContext, operation: Operation) => {
  const { store, clock } = context;
  const plan = operation.plan as ImagePlan;
  // An earlier banger entered it in the last step: the image is whole, and only the work directory is left.
  if (store.images.get(operation.subject)) {
    await context.host.files.removeTree(plan.workDir);
    store.journal.close(operation.id, "done");
    return [];
  }
  const journal = store.journal.journalFor(operation.id);
  const failures = await undoSteps({ steps: buildSteps(context, plan, null), journal, clock, observe: () => {} });
  if (failures.length === 0) store.journal.close(operation.id, "undone");
  return failures;
};

/** Kernel and root have nothing to do with each other, and each keeps one core busy. The first failure ends the other. */
const buildParts = async (
  context: ImageContext,
  plan: ImagePlan,
  build: { input: BuildInput; scripts: readonly UserScript[]; caller: ImageCaller; signal: AbortSignal },
): Promise<void> => {
  const { host, native } = context;
  const { input, caller } = build;
  const other = new AbortController();
  const signal = AbortSignal.any([build.signal, other.signal]);
  const mirror = input.mirror ? ["--mirror", input.mirror] : [];
  const packages = `${plan.workDir}/packages.wanted`;
  const lists = ["--packages", `${native.imageScripts}/packages/debian-13.txt`];
  if (input.package.length > 0) {
    await host.files.writeAtomic(packages, `${input.package.join("\n")}\n`, 0o644);
    lists.push("--packages", packages);
  }
  // Copies: what runs is what was hashed, whatever becomes of the user's file meanwhile.
  for (const [index, { name, bytes }] of build.scripts.entries()) {
    const path = `${plan.workDir}/script-${index}/${name}`;
    await host.files.makeDir(`${plan.workDir}/script-${index}`);
    await host.files.writeAtomic(path, bytes, 0o700);
    lists.push("--script", path);
  }
  const script = async (step: string, name: string, args: readonly string[]) => {
    const said: string[] = [];
    let isTheirs = false;
    try {
      const { exitCode } = await host.processes.runCommand({
        argv: ["/bin/sh", `${native.imageScripts}/${name}`, ...args],
        timeoutMs: BUILD_TIMEOUT_MS,
        signal,
        onLine: (line) => {
          said.push(line);
          if (said.length > 12) said.shift();
          const note = /^step: (.*)/.exec(line)?.[1];
          if (note !== undefined) caller.emit({ kind: "note", text: note });
          // What the user's scripts print is shown whole; mmdebstrap marks its own lines.
          else if (isTheirs && !line.startsWith("I: ")) caller.emit({ kind: "note", text: line, isOutput: true });
          if (note !== undefined) isTheirs = note.startsWith("run ");
        },
      });
      if (exitCode !== 0) throw fail("image.build_failed", { image: input.name, step, detail: said.join("\n") });
    } catch (error) {
      // The cause is the first failure; the other script only ended because of it.
      other.abort(
        isBangerError(error)
          ? error
          : fail("image.build_failed", { image: input.name, step, detail: describeUnknown(error) }),
      );
      throw error;
    }
  };
  const helpers = ["--guest-helpers", native.guestHelpers, "--suite", SUITE, ...mirror];
  const results = await Promise.allSettled([
    script("the kernel", "debian-kernel.sh", ["--output", `${plan.workDir}/kernel`, ...helpers]),
    script("the root file system", "customize.sh", [
      ...["--output", `${plan.workDir}/rootfs.ext4`, "--manifest", `${plan.workDir}/packages.txt`],
      ...[...lists, ...helpers],
    ]),
  ]);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw other.signal.aborted ? other.signal.reason : failed.reason;
};

/** Moves what was built to its place and answers the record, which makes it an image when it is entered. */
const keepImage = async (
  context: ImageContext,
  plan: ImagePlan,
  build: { input: BuildInput; scripts: readonly UserScript[] },
): Promise<ImageRecord> => {
  const { host, native } = context;
  const { input } = build;
  const kernel = await keepKernel(context, `${plan.workDir}/kernel`);
  const packages = ((await host.files.read(`${plan.workDir}/packages.txt`)) ?? "").split("\n").filter(Boolean);
  const rootMiB = await host.files.sizeMiB(`${plan.workDir}/rootfs.ext4`);
  if (rootMiB === null)
    throw fail("image.build_failed", { image: input.name, step: "the root file system", detail: "there is none" });
  await host.files.makeDir(plan.imageDir);
  await host.files.rename(`${plan.workDir}/rootfs.ext4`, `${plan.imageDir}/rootfs.ext4`);
  const record: ImageRecord = {
    id: plan.imageId,
    name: input.name,
    aliases: aliasesFor(input.name),
    dir: plan.imageDir,
    sizeMiB: rootMiB,
    usedMiB: await host.files.diskUsedMiB(plan.imageDir),
    kernelId: kernel.id,
    helperVersion: context.version,
    createdAt: context.now().toISOString(),
    origin: {
      how: "built",
      details: {
        suite: SUITE,
        mirror: input.mirror ?? null,
        packages,
        scripts: await hashScripts(context, native.imageScripts),
        provisioned: provisionedOf(build.scripts),
      },
    },
  };
  await host.files.removeTree(plan.workDir);
  return record;
};

const hashScripts = async ({ host }: ImageContext, directory: string): Promise<Record<string, string>> => {
  const scripts = (await host.files.list(directory)).filter(({ name }) => name.endsWith(".sh"));
  const entries = await Promise.all(
    scripts.map(async ({ name }) => {
      const text = (await host.files.read(`${directory}/${name}`)) ?? "";
      return [`images/${name}`, createHash("sha256").update(text).digest("hex")] as const;
    }),
  );
  return Object.fromEntries(entries);
};
