// Runs the terminal UI: opens the screen and the line to the daemon, does what the model asks for, and gives the terminal back.
import type { DaemonClient } from "../client/connect.ts";
import { gatherLeft, summarizeLeft } from "../client/reminder.ts";
import { EXIT } from "../spec/errors.ts";
import { dependsOnTime } from "./clock.ts";
import { divertConsole } from "./console-notes.ts";
import { openDaemonLink } from "./daemon-link.ts";
import { reportFailure } from "./failure.ts";
import { openHostUsage } from "./host-usage.ts";
import { choosePaint, hasOnlyAscii } from "./look.ts";
import type { AnyCall, Effect, Message } from "./message.ts";
import { emptyModel } from "./model.ts";
import { openSampling, type Sampling } from "./sampling.ts";
import { openStore } from "./store.ts";
import { openTerminal } from "./terminal.ts";
import { wantsOf } from "./wants.ts";
import { openWatch } from "./watch.ts";

export type TuiOptions = {
  /** A client of the daemon that says what it has to say to `note`, since the screen is ours. */
  openClient: (note: (text: string) => void) => DaemonClient;
  /** What runs this very program, without arguments. */
  selfArgv: readonly string[];
  env: Readonly<Record<string, string | undefined>>;
};

const TICK_MS = 1000;
/** A program that ended so soon has said something that must be read. */
const HASTY_MS = 2000;
const SSH_FAILED = 255;

/** What ends us from outside: we end as a shell tells it, 128 + n, with the terminal given back. */
const endings: readonly NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/** Runs until the user leaves; answers the exit code. Whatever ends it, the terminal is as it was. */
export const runTui = async (options: TuiOptions): Promise<number> => {
  const { env, selfArgv } = options;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  let failure: unknown = null;
  let exitCode: number = EXIT.ok;
  const crash = (error: unknown): void => {
    failure ??= error;
    end();
  };

  const onSignal = (_: NodeJS.Signals, number: number): void => {
    exitCode = 128 + number;
    end();
  };
  for (const signal of endings) process.on(signal, onSignal);
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);

  const terminal = openTerminal({
    onKey: (key) => dispatch({ type: "key", key }),
    onResize: (size) => dispatch({ type: "resized", size }),
    onLost: () => terminal.show(store.frame()),
    onEnd: end,
  });
  const store = openStore({
    model: emptyModel({ size: terminal.size(), nowMs: Date.now(), isPlain: hasOnlyAscii(env) }),
    paint: choosePaint(env),
    onChange: (model, effects) => {
      setClock(dependsOnTime(model));
      const wants = wantsOf(model);
      watch?.reconcile(wants);
      sampling?.setBusy(wants.stats.length > 0);
      for (const effect of effects) run(effect);
    },
    onFrame: terminal.show,
  });
  let watch: ReturnType<typeof openWatch> | null = null;
  let sampling: Sampling | null = null;
  // The first frame comes before anything is loaded or asked.
  terminal.show(store.frame());

  /** A message that cannot be dealt with ends the program, with the terminal given back and the reason told. */
  const dispatch = (message: Message): void => {
    try {
      // A clock that stands is set before something happens.
      if (clock === null) store.dispatch({ type: "ticked", nowMs: Date.now() });
      store.dispatch(message);
    } catch (error) {
      crash(error);
    }
  };
  /** It goes while something on the screen depends on the time: to be woken for nothing costs more than all else. */
  let clock: ReturnType<typeof setInterval> | null = null;
  const setClock = (isGoing: boolean): void => {
    if (isGoing) clock ??= setInterval(() => dispatch({ type: "ticked", nowMs: Date.now() }), TICK_MS);
    else if (clock !== null) clearInterval(clock);
    if (!isGoing) clock = null;
  };

  const note = (text: string): void => dispatch({ type: "note", text });
  const undivertConsole = divertConsole(note);
  const link = openDaemonLink({ openClient: () => options.openClient(note), dispatch });
  watch = openWatch(link, dispatch);

  const perform = async (id: number, calls: readonly AnyCall[]): Promise<void> => {
    try {
      for (const { method, input } of calls) await link.client().call(method, input as never);
      dispatch({ type: "performed", id });
    } catch (error) {
      dispatch({ type: "failed", id, report: reportFailure(error) });
    }
  };

  const handOver = async (words: readonly string[], name: string): Promise<void> => {
    await terminal.lend(async (runOn) => {
      const startedMs = performance.now();
      const exitCode = await runOn([...selfArgv, ...words]);
      const isHasty = exitCode !== 0 && performance.now() - startedMs < HASTY_MS;
      if (isHasty || exitCode === SSH_FAILED) {
        const question = `printf '\\n[it ended with ${exitCode}; Enter goes back to banger] '; read -r _`;
        await runOn(["/bin/sh", "-c", question]);
      }
    });
    dispatch({ type: "returned", name, isShell: words[0] === "ssh" });
    dispatch({ type: "resized", size: terminal.size() });
    if (words[0] === "ssh") await tellLeftBehind(name);
  };

  const tellLeftBehind = async (name: string): Promise<void> => {
    const left = await gatherLeft(link.client(), name);
    const summary = left === null ? "" : summarizeLeft(left);
    if (summary !== "") dispatch({ type: "left-behind", name, summary });
  };

  const checkHost = async (): Promise<void> => {
    try {
      const { checks } = await link.client().call("system.doctor", {});
      dispatch({ type: "host-checked", rows: checks });
    } catch (error) {
      dispatch({ type: "host-check-failed", report: reportFailure(error) });
    }
  };

  const runners: { readonly [Kind in Effect["kind"]]: (effect: Extract<Effect, { kind: Kind }>) => void } = {
    perform: ({ operation, calls }) => void perform(operation.id, calls),
    "hand-over": ({ words, name }) => void handOver(words, name).catch(crash),
    copy: ({ text }) => terminal.copy(text),
    mouse: ({ isOn }) => terminal.setMouse(isOn),
    "check-host": () => void checkHost(),
    "start-daemon": () => link.startDaemon(),
    leave: () => end(),
  };
  const run = (effect: Effect): void => runners[effect.kind](effect as never);

  const readHost = openHostUsage();
  sampling = openSampling(() => {
    void readHost(link.dataDir()).then((host) => dispatch({ type: "host-read", host }));
    void watch?.sample();
  });

  try {
    await ended;
  } finally {
    sampling.close();
    setClock(false);
    watch.close();
    link.close();
    process.off("uncaughtException", crash);
    process.off("unhandledRejection", crash);
    for (const signal of endings) process.off(signal, onSignal);
    undivertConsole();
    terminal.close();
  }
  if (failure !== null) throw failure;
  return exitCode;
};
