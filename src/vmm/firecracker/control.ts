// Attaches to a launched Firecracker and controls it: configures and boots the machine, presses Ctrl-Alt-Del, asks who it is.
import { deadline } from "../../engine/deadline.ts";
import { type BangerError, fail } from "../../spec/errors.ts";
import type { LaunchPlan } from "../../spec/plan.ts";
import { type AttachOptions, attachTo, lastWords } from "../attach.ts";
import type { EarlyEnd, VmmControl } from "../driver.ts";
import { type Call, connectFirecracker, type FirecrackerApi } from "./api/client.ts";
import { FirecrackerApiError } from "./api/error.ts";
import { type AnswerOf, type OperationName, operations } from "./api/operations.ts";
import { type AnyCall, isConfiguration, parseConfiguration, renderBootCalls } from "./configuration.ts";
import { nameExitCode } from "./exit-codes.ts";

/** Milliseconds on a quiet machine, up to a second where KVM is emulated and the machine busy. */
const CALL_TIMEOUT_MS = 10_000;
/** Memory is mapped and the kernel is read and unpacked in this call: seconds where the host is busy or itself emulated. */
const START_TIMEOUT_MS = 30_000;

/** The module's error in banger's words; every other error as it is. */
const told = (error: unknown, vm: string): unknown =>
  error instanceof FirecrackerApiError
    ? fail("vmm.api_failed", { vm, call: error.call ?? "a call of its API", detail: error.detail }, error)
    : error;

const hasHungUp = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof FirecrackerApiError && error.cause.kind === "lost";

type Asking = { api: FirecrackerApi; vm: string };

/** Errors: vmm.api_failed, operation.timeout, the signal's reason. */
const ask = async <Name extends OperationName>(
  { api, vm }: Asking,
  call: Call<Name> & { timeoutMs?: number },
): Promise<AnswerOf<Name>> => {
  const { timeoutMs = CALL_TIMEOUT_MS, ...given } = call;
  const { method, path } = operations[call.operation];
  const limit = deadline({ operation: `${method} ${path} of ${vm}`, timeoutMs, signal: call.signal });
  try {
    return await api.call({ ...given, signal: limit.signal } as Call<Name>);
  } catch (error) {
    throw told(error, vm);
  } finally {
    limit.clear();
  }
};

/** The calls of the plan's configuration file. */
const bootCallsOf = (plan: LaunchPlan, vm: string): AnyCall[] => {
  const file = plan.files.find(({ path }) => isConfiguration(path));
  const configuration = file ? parseConfiguration(file.content) : null;
  if (configuration) return renderBootCalls(configuration);
  throw fail("internal.bug", { detail: `the launch plan of ${vm} holds no configuration` });
};

const controlOf = (
  plan: LaunchPlan,
  attached: Asking & { id: string; ended: Promise<EarlyEnd> | undefined },
): VmmControl => {
  const { api, vm, id, ended } = attached;
  let isClosed = false;
  void api.closed.then(() => {
    isClosed = true;
  });
  return {
    boot: async (signal) => {
      try {
        // The first call is refused by a machine that was started: nothing of it is changed by a second boot.
        for (const call of bootCallsOf(plan, vm)) {
          const timeoutMs = call.operation === "putAction" ? START_TIMEOUT_MS : CALL_TIMEOUT_MS;
          await ask(attached, { ...call, signal, timeoutMs } as Call<OperationName> & { timeoutMs: number });
        }
      } catch (error) {
        const last = hasHungUp(error) ? await lastWords({ signal, ...(ended ? { ended } : {}) }) : null;
        throw last ? fail("vmm.exited_early", { vm, command: plan.argv, ...last }, error) : error;
      }
    },
    askToStop: async () => {
      await ask(attached, { operation: "putAction", body: { action_type: "SendCtrlAltDel" } });
    },
    identify: async () => {
      // It was told on this very connection, and the other end of a connection stays who it is.
      if (!isClosed) return id;
      throw fail("vmm.api_failed", { vm, call: "GET /", detail: "it hung up" });
    },
    hasBooted: async () => (await ask(attached, { operation: "getInstance" })).state !== "Not started",
    closed: api.closed,
    close: () => api.close(),
  };
};

/** An end with the meaning of its exit code. */
const named = (end: EarlyEnd): EarlyEnd => {
  const name = end.exitCode === null ? null : nameExitCode(end.exitCode);
  return name === null
    ? end
    : { ...end, stderr: [`Exit code ${end.exitCode} is ${name}.`, end.stderr].join("\n").trim() };
};

/** As `VmmDriver.attach`. */
export const attachFirecracker = async (plan: LaunchPlan, options: AttachOptions): Promise<VmmControl> => {
  const { vm } = options;
  const ended = options.ended?.then(named);
  return await attachTo(plan, {
    ...options,
    ...(ended ? { ended } : {}),
    connect: async (path, signal) => {
      const api = await connectFirecracker(path).catch((error: unknown): never => {
        throw told(error, vm);
      });
      try {
        // The kernel accepts connections before anybody looks at them; an answer is the proof.
        const { id } = await api.call({ operation: "getInstance", signal });
        return controlOf(plan, { api, vm, id, ended });
      } catch (error) {
        api.close();
        throw told(error, vm) as BangerError;
      }
    },
  });
};
