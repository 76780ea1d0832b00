// `banger vm ping --watch`: asks each second until Ctrl-C, a line for each answer, and sums up at the end.
import { EXIT } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { describeFailure, exitCodeOf } from "./failure.ts";
import { formatMs } from "./format.ts";
import { viewContext } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";
import { loadView } from "./views/views.ts";

type Pong = Output<"vm.ping">;

const EVERY_MS = 1000;

/** What no later ping could mend. */
const isFinal = (error: unknown): boolean =>
  ["vm.not_found", "vm.ambiguous", "input.invalid"].includes((error as { code?: string } | null)?.code ?? "");

/** Resolves after the time, or at once when it is aborted. */
const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });

/** What is kept of all answers: it may watch for weeks. */
type RoundTrips = {
  readonly answered: number;
  readonly leastMs: number;
  readonly mostMs: number;
  readonly totalMs: number;
};

const spellRoundTrip = (ms: number): string => (ms < 10 ? `${ms.toFixed(1)} ms` : formatMs(ms));

export const noRoundTrips: RoundTrips = { answered: 0, leastMs: Number.POSITIVE_INFINITY, mostMs: 0, totalMs: 0 };

export const addRoundTrip = ({ answered, leastMs, mostMs, totalMs }: RoundTrips, ms: number): RoundTrips => ({
  answered: answered + 1,
  leastMs: Math.min(leastMs, ms),
  mostMs: Math.max(mostMs, ms),
  totalMs: totalMs + ms,
});

export const summarizePings = (asked: number, { answered, leastMs, mostMs, totalMs }: RoundTrips): string => {
  if (answered === 0) return `asked ${asked} times, never answered`;
  const [least, mean, most] = [leastMs, totalMs / answered, mostMs].map(spellRoundTrip);
  return `asked ${asked} times, answered ${answered}: least ${least}, mean ${mean}, most ${most}`;
};

export const runPingWatch = async (session: Session, invocation: Invocation): Promise<number> => {
  const { client, terminal } = session;
  const { isJson, input } = invocation;
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, onSignal);
  const view = await loadView("vm.ping");
  let roundTrips = noRoundTrips;
  let asked = 0;
  let last: unknown = null;

  const tell = (pong: Pong): void => {
    roundTrips = addRoundTrip(roundTrips, pong.roundTripMs);
    last = null;
    if (isJson) terminal.out(`${JSON.stringify(pong)}\n`);
    else terminal.out(String(view(pong, viewContext(session, invocation))));
  };
  const tellFailure = (error: unknown): void => {
    last = error;
    const { code, message } = describeFailure(error, invocation.command);
    terminal.out(isJson ? `${JSON.stringify({ error: { code, message } })}\n` : `${message}\n`);
  };

  try {
    while (!stop.signal.aborted) {
      const beganMs = performance.now();
      asked += 1;
      try {
        tell(await client.call("vm.ping", { vm: String(input.vm) }, { signal: stop.signal }));
      } catch (error) {
        if (stop.signal.aborted) {
          asked -= 1;
          break;
        }
        if (isFinal(error)) throw error;
        tellFailure(error);
      }
      await pause(Math.max(0, EVERY_MS - (performance.now() - beganMs)), stop.signal);
    }
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, onSignal);
  }
  if (!isJson) terminal.err(`${summarizePings(asked, roundTrips)}\n`);
  return last === null ? EXIT.ok : exitCodeOf(last);
};
