// `image build --from`: a temporary VM made from an image, the user's scripts run in it as root, and its disk kept as another image. Or nothing is left.
import { planVmPaths } from "../core/paths.ts";
import { ROOT } from "../core/plan-create.ts";
import { isSimulatedCrash, runSteps, type Step, undoSteps } from "../engine/step.ts";
import { runInGuest } from "../guest/run.ts";
import { readScripts, type UserScript } from "../image/scripts.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import { type Call, contract, type Output, type ParsedInput } from "../spec/rpc/contract.ts";
import type { NetworkMode } from "../spec/vm.ts";
import type { Context } from "./context.ts";
import { createVm, deleteVm, startVm, stopVm } from "./operate.ts";
import { CREATE_LOCK, chooseMode, prepareCreate } from "./prepare-create.ts";

const KIND = "image.derive";
/** Tells people what the VM is for. What it belongs to says the journal. */
export const BUILD_LABEL = "banger/build";
const HELPER_TIMEOUT_MS = 10_000;
const UP_TIMEOUT_MS = 300_000;
/**
 * What a boot still does would be done beside the scripts. The helper is there before systemd, which then cannot be asked yet; how
 * the boot ends (`degraded`, say) is not the scripts' matter.
 */
const UNTIL_UP = `until systemctl is-system-running --wait 2>/dev/null | grep -Eqx 'running|degraded|maintenance'; do sleep 0.2; done`;
const SCRIPT_TIMEOUT_MS = 2 * 60 * 60_000;
const TIDY_TIMEOUT_MS = 300_000;
const TIDY = "tidy-root.sh";
/** What a failure quotes of a script's output, which was shown while it ran. */
const LAST_LINES = 5;

/** Both ids are chosen before anything is made, so that whatever a crash leaves is found by them. */
type DerivePlan = { version: 1; imageId: string; vmId: string };

type Derivation = {
  name: string;
  base: ImageRecord;
  scripts: readonly UserScript[];
  tidy: Uint8Array;
  mode: NetworkMode;
  call: Call<"image.build">;
  /** What became of it, for the record. */
  made: { helperVersion: string; image: ImageRecord | null };
};

const removeVm = (context: Context, id: string, call: Pick<Call<"image.build">, "requestedBy" | "emit">) =>
  context.locks.run(id, async () => {
    if (context.store.vms.get(id)) await deleteVm(context, id, call);
  });

/** Recovery passes no derivation: it only ever undoes. */
const deriveSteps = (context: Context, plan: DerivePlan, derivation: Derivation | null): readonly Step[] => {
  const { imageId, vmId } = plan;
  const quiet = { requestedBy: "recovery", emit: () => {} };
  const nothing = async () => {};
  const given = (): Derivation => {
    if (!derivation) throw new TypeError("a recovered derivation is only undone");
    return derivation;
  };
  return [
    {
      name: "vm.make",
      run: (signal) => makeVm(context, plan, given(), signal),
      undo: () => removeVm(context, vmId, derivation?.call ?? quiet),
    },
    { name: "vm.provision", run: (signal) => provision(context, plan, given(), signal), undo: nothing },
    { name: "vm.tidy", run: (signal) => tidyUp(context, plan, given(), signal), undo: nothing },
    {
      name: "disk.keep",
      run: async (signal) => {
        const { name, base, scripts, made } = given();
        const { disk } = planVmPaths(context.paths, vmId);
        const { helperVersion } = made;
        made.image = await context.images.keepDisk({ imageId, name, base, disk, helperVersion, scripts }, signal);
      },
      undo: () => context.images.dropDisk(imageId),
    },
    { name: "vm.remove", run: () => removeVm(context, vmId, given().call), undo: nothing },
  ];
};

/** The caller holds the lock of the images. Errors: image.*, those of creating and starting a VM, host.file_failed, operation.cancelled. */
export const deriveImage = async (
  context: Context,
  input: ParsedInput<"image.build"> & { from: string },
  call: Call<"image.build">,
): Promise<Output<"image.build">> => {
  const { store, images, host, native, clock, doctor } = context;
  images.requireName(input);
  const base = images.resolve(input.from);
  await images.rootOf(base);
  const scripts = await readScripts(host.files, input.script);
  const tidy = await host.files.readBytes(`${native.imageScripts}/${TIDY}`);
  if (tidy === null) throw fail("bundle.missing", { artifact: TIDY, directory: native.imageScripts });
  const mode = await chooseMode(context, undefined);
  await doctor.preflight(["vm.create", "vm.start"], { mode });
  const plan: DerivePlan = { version: 1, imageId: context.randomHex(12), vmId: context.randomHex(12) };
  const made: Derivation["made"] = { helperVersion: "", image: null };
  const steps = deriveSteps(context, plan, { name: input.name, base, scripts, tidy, mode, call, made });
  const { requestedBy, signal, emit } = call;
  const operation = store.journal.beginOperation({ kind: KIND, subject: plan.imageId, plan, requestedBy });
  const journal = store.journal.journalFor(operation);
  try {
    const observe: Parameters<typeof runSteps>[0]["observe"] = (event) =>
      emit({ kind: "step", operation: "image.build", ...event });
    await runSteps({ steps, journal, signal, clock, observe });
  } catch (error) {
    if (isSimulatedCrash(error)) throw error;
    if (journal.standing().length === 0) store.journal.close(operation, "undone", describeUnknown(error));
    throw signal.aborted ? fail("operation.cancelled", { operation: "The build" }, error) : error;
  }
  const record = made.image;
  if (!record) throw fail("internal.bug", { detail: "a derivation ended without an image" });
  // Together: what is not in the records when a daemon starts is undone.
  store.transaction(() => {
    images.enter(record);
    store.journal.close(operation, "done");
  });
  return images.describe(record);
};

/** Undoes what a crash of the daemon interrupted; called at its start, when the VMs have been recovered. */
export const recoverDerivations = async (context: Context): Promise<void> => {
  const { store, clock, log } = context;
  for (const operation of store.journal.open()) {
    if (operation.kind !== KIND) continue;
    const undo = async () => {
      const steps = deriveSteps(context, operation.plan as DerivePlan, null);
      return undoSteps({ steps, journal: store.journal.journalFor(operation.id), clock, observe: () => {} });
    };
    // One that cannot be undone stays open, and keeps no daemon from starting.
    const left = await undo().then(
      (failures) => failures.map(({ step, detail }) => `${step}: ${detail}`),
      (error) => [describeUnknown(error)],
    );
    if (left.length === 0) store.journal.close(operation.id, "undone");
    else log.warn("a build of an image was not undone", { image: operation.subject, detail: left.join("; ") });
  }
};

/** Nobody logs in to it: the channel is the way in, so no key and no user of this host gets onto the disk. */
const makeVm = async (context: Context, plan: DerivePlan, derivation: Derivation, signal: AbortSignal) => {
  const { name, base, mode, call } = derivation;
  const { requestedBy, emit } = call;
  await context.locks.run(CREATE_LOCK, async () => {
    const input = contract["vm.create"].input.parse({
      name: `banger-build-${plan.imageId.slice(0, 6)}`,
      image: base.id,
      label: { [BUILD_LABEL]: name },
    });
    const prepared = await prepareCreate(context, input, { mode, vmId: plan.vmId });
    const { spec } = prepared.record;
    const record = { ...prepared.record, spec: { ...spec, user: ROOT, authorizedKeys: [] } };
    await createVm(context, { ...prepared, record }, { requestedBy, emit, signal });
  });
  await context.locks.run(plan.vmId, () =>
    startVm(context, plan.vmId, { requestedBy, emit, signal, isWaiting: true, readyTimeoutMs: null }),
  );
};

type InGuest = { argv: readonly string[]; input?: Uint8Array; timeoutMs: number; onLine?: (line: string) => void };

const inGuest = (context: Context, plan: DerivePlan, signal: AbortSignal, run: InGuest): Promise<number> => {
  const vm = context.store.vms.get(plan.vmId)?.spec.name ?? plan.vmId;
  const channel = context.live.get(plan.vmId)?.channel;
  if (!channel) throw fail("guest.channel_lost", { vm });
  return runInGuest(channel, { ...run, vm, user: "root", env: { DEBIAN_FRONTEND: "noninteractive" }, signal });
};

/** Puts a program into the guest's /run, which is never on the disk, and runs it; its output is shown as it comes. */
const runProgram = async (
  context: Context,
  plan: DerivePlan,
  signal: AbortSignal,
  program: { name: string; bytes: Uint8Array; timeoutMs: number; emit: Derivation["call"]["emit"] },
): Promise<{ exitCode: number; lastLines: string }> => {
  const path = `/run/banger-build/${program.name}`;
  const put = await inGuest(context, plan, signal, {
    argv: ["/bin/sh", "-euc", 'umask 077; mkdir -p "${1%/*}"; cat >"$1"; chmod 0700 "$1"', "sh", path],
    input: program.bytes,
    timeoutMs: program.timeoutMs,
  });
  if (put !== 0)
    throw fail("image.build_failed", { image: program.name, step: "putting it into the VM", detail: path });
  const said: string[] = [];
  const onLine = (text: string) => {
    said.push(text.trim());
    if (said.length > LAST_LINES) said.shift();
    program.emit({ kind: "note", text, isOutput: true });
  };
  const exitCode = await inGuest(context, plan, signal, { argv: [path], timeoutMs: program.timeoutMs, onLine });
  return { exitCode, lastLines: said.join("; ") };
};

const provision = async (context: Context, plan: DerivePlan, derivation: Derivation, signal: AbortSignal) => {
  const { name, scripts, call, made } = derivation;
  const channel = context.live.get(plan.vmId)?.channel;
  const vm = context.store.vms.get(plan.vmId)?.spec.name ?? plan.vmId;
  if (!channel) throw fail("guest.channel_lost", { vm });
  const { abilities, version } = await channel.ready({ timeoutMs: HELPER_TIMEOUT_MS, signal });
  if (!abilities.includes("exec")) throw fail("guest.too_old", { vm, ability: "exec", version });
  made.helperVersion = version;
  await inGuest(context, plan, signal, { argv: ["/bin/sh", "-c", UNTIL_UP], timeoutMs: UP_TIMEOUT_MS });
  for (const [index, script] of scripts.entries()) {
    const place = scripts.length > 1 ? ` (${index + 1} of ${scripts.length})` : "";
    call.emit({ kind: "note", text: `run ${script.name}${place}`, isOutput: true });
    const { exitCode, lastLines } = await runProgram(context, plan, signal, {
      ...{ name: `${index}-${script.name}`, bytes: script.bytes, timeoutMs: SCRIPT_TIMEOUT_MS, emit: call.emit },
    });
    call.emit({ kind: "note", text: `${script.name} ended with ${exitCode}`, isOutput: true });
    if (exitCode !== 0)
      throw fail("image.script_failed", { image: name, script: script.path, exitCode, detail: lastLines });
  }
};

/** Takes out what each VM must have of its own, and lets the guest unmount its disk. */
const tidyUp = async (context: Context, plan: DerivePlan, derivation: Derivation, signal: AbortSignal) => {
  const { name, tidy, call } = derivation;
  const { exitCode, lastLines } = await runProgram(context, plan, signal, {
    ...{ name: TIDY, bytes: tidy, timeoutMs: TIDY_TIMEOUT_MS, emit: () => {} },
  });
  if (exitCode !== 0) throw fail("image.build_failed", { image: name, step: "tidying up", detail: lastLines });
  const { requestedBy, emit } = call;
  await context.locks.run(plan.vmId, () =>
    stopVm(context, plan.vmId, { requestedBy, emit, from: "ask", cause: "stopped" }),
  );
};
