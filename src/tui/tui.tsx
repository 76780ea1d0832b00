// Runs the terminal UI: opens the screen and the line to the daemon, does what the model asks for, and gives the terminal back.
import { render } from "ink";
import type { DaemonClient } from "../client/connect.ts";
import { gatherLeft, summarizeLeft } from "../client/reminder.ts";
import { EXIT } from "../spec/errors.ts";
import { App, type TerminalControl } from "./app.tsx";
import { openDaemonLink } from "./daemon-link.ts";
import { reportFailure } from "./failure.ts";
import { runHandedOver } from "./hand-over.ts";
import { openHostUsage } from "./host-usage.ts";
import { choosePaint, hasOnlyAscii } from "./look.ts";
import type { AnyCall, Effect, Message } from "./message.ts";
import { emptyModel, type Size } from "./model.ts";
import { openStore } from "./store.ts";
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
const SAMPLE_MS = 3000;
/** A program that ended so soon has said something that must be read. */
const HASTY_MS = 2000;
const SSH_FAILED = 255;

/** What ends us from outside: we end as a shell tells it, 128 + n, with the terminal given back. */
const endings: readonly NodeJS.Signals[] = ["SIGHUP", "SIGINT", "SIGTERM"];

/** Buttons and wheel, reported as SGR sequences (xterm control sequences, modes 1000 and 1006). */
const mouseMode = (isOn: boolean): string => (isOn ? "\x1b[?1000h\x1b[?1006h" : "\x1b[?1006l\x1b[?1000l");
/** OSC 52: the terminal puts it into the clipboard, also from afar. */
const clipboard = (text: string): string => `\x1b]52;c;${Buffer.from(text).toString("base64")}\x07`;

const sizeNow = (): Size => ({ columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 });

/** Runs until the user leaves; answers the exit code. Whatever ends it, the terminal is as it was. */
export const runTui = async (options: TuiOptions): Promise<number> => {
  const { env, selfArgv } = options;
  const isPlain = hasOnlyAscii(env);
  const write = (text: string): void => void process.stdout.write(text);
  let control: TerminalControl | null = null;
  let failure: unknown = null;
  let exitCode: number = EXIT.ok;

  const store = openStore({
    model: emptyModel({ size: sizeNow(), nowMs: Date.now(), isPlain }),
    paint: choosePaint(env),
    onChange: (model, effects) => {
      watch?.reconcile(wantsOf(model));
      for (const effect of effects) run(effect);
    },
  });
  /** A message that cannot be dealt with ends the program, with the terminal given back and the reason told. */
  const dispatch = (message: Message): void => {
    try {
      store.dispatch(message);
    } catch (error) {
      crash(error);
    }
  };
  const crash = (error: unknown): void => {
    failure ??= error;
    app.unmount();
  };

  let watch: ReturnType<typeof openWatch> | null = null;
  // The first frame comes before anything is loaded or asked.
  const app = render(<App store={{ ...store, dispatch }} onReady={(ready) => (control = ready)} />, {
    alternateScreen: true,
    incrementalRendering: true,
    exitOnCtrlC: false,
    interactive: true,
    patchConsole: true,
    maxFps: 120,
  });
  const giveBack = (): void => write(mouseMode(false));
  const onSignal = (_: NodeJS.Signals, number: number): void => {
    exitCode = 128 + number;
    app.unmount();
  };
  for (const signal of endings) process.on(signal, onSignal);
  process.on("exit", giveBack);
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);
  const onResize = (): void => dispatch({ type: "resized", size: sizeNow() });
  process.stdout.on("resize", onResize);
  write(mouseMode(true));

  const note = (text: string): void => dispatch({ type: "note", text });
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
    write(mouseMode(false));
    await control?.suspendTerminal(async () => {
      const startedMs = performance.now();
      const exitCode = await runHandedOver([...selfArgv, ...words], sizeNow);
      const isHasty = exitCode !== 0 && performance.now() - startedMs < HASTY_MS;
      if (isHasty || exitCode === SSH_FAILED) {
        const question = `printf '\\n[it ended with ${exitCode}; Enter goes back to banger] '; read -r _`;
        await runHandedOver(["/bin/sh", "-c", question], sizeNow);
      }
    });
    if (store.model().hasMouse) write(mouseMode(true));
    dispatch({ type: "returned", name, isShell: words[0] === "ssh" });
    onResize();
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
    copy: ({ text }) => write(clipboard(text)),
    mouse: ({ isOn }) => write(mouseMode(isOn)),
    "check-host": () => void checkHost(),
    "start-daemon": () => link.startDaemon(),
    leave: () => app.unmount(),
  };
  const run = (effect: Effect): void => runners[effect.kind](effect as never);

  const readHost = openHostUsage();
  const sample = (): void => {
    void readHost(link.dataDir()).then((host) => dispatch({ type: "host-read", host }));
    void watch?.sample();
  };
  sample();
  const timers = [
    setInterval(() => dispatch({ type: "ticked", nowMs: Date.now() }), TICK_MS),
    setInterval(sample, SAMPLE_MS),
  ];

  try {
    await app.waitUntilExit();
  } finally {
    for (const timer of timers) clearInterval(timer);
    watch.close();
    link.close();
    process.stdout.off("resize", onResize);
    process.off("uncaughtException", crash);
    process.off("unhandledRejection", crash);
    for (const signal of endings) process.off(signal, onSignal);
    giveBack();
  }
  if (failure !== null) throw failure;
  return exitCode;
};
