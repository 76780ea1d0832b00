// What is going on, on stderr, for anything that takes over a second: one line redrawn on a terminal, plain lines elsewhere.
import type { ProgressEvent } from "../spec/events.ts";
import { sanitize } from "../spec/sanitize.ts";
import { formatMs } from "./format.ts";
import type { Terminal } from "./terminal.ts";

/** Nothing is shown of what is over before this. */
const QUIET_MS = 1000;
const REDRAW_MS = 120;

export type Progress = {
  /** An event of the operation on `subject`. */
  on: (subject: string, event: ProgressEvent) => void;
  /** What is to be said while it goes on: the line is cleared for it. */
  say: (text: string) => void;
  /** Nothing more is drawn, and nothing is left of what was. */
  end: () => void;
};

export const silentProgress: Progress = { on: () => {}, say: () => {}, end: () => {} };

const spinner = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

type Doing = { step: string; sinceMs: number };

const columnsOf = (): number => {
  // Loaded only here: after a second of waiting its cost is nobody's (STACK §1i.7).
  const { columns } = process.stderr;
  return columns && columns > 20 ? columns : 80;
};

const phrase = (subject: string, step: string): string => (subject ? `${subject}: ${step}` : step);

/** One line, redrawn: what goes on, and for how long. */
const redrawn = (terminal: Terminal, clock: () => number): Progress => {
  const startedMs = clock();
  const doing = new Map<string, Doing>();
  let note = "";
  let frame = 0;
  let isDrawn = false;
  const clear = () => {
    if (isDrawn) terminal.err("\r\x1b[K");
    isDrawn = false;
  };
  const draw = () => {
    const now = clock();
    if (now - startedMs < QUIET_MS) return;
    const parts = [...doing].map(
      ([subject, { step, sinceMs }]) => `${phrase(subject, step)} ${formatMs(now - sinceMs)}`,
    );
    const text = [parts.join(", "), note].filter((part) => part !== "").join("  ") || "working";
    const line = `${spinner[frame++ % spinner.length]} ${text}  (${formatMs(now - startedMs)})`;
    terminal.err(`\r\x1b[K${Bun.sliceAnsi(line, 0, columnsOf() - 1)}`);
    isDrawn = true;
  };
  const timer = setInterval(draw, REDRAW_MS);
  return {
    on(subject, event) {
      if (event.kind === "note" && event.isOutput) {
        clear();
        terminal.err(`${sanitize(event.text).trimEnd()}\n`);
      } else if (event.kind === "note") note = sanitize(event.text).replace(/\s+/g, " ").trim();
      else if (event.phase === "begin" || event.phase === "undo") {
        // What was noted was about what went on before.
        note = "";
        doing.set(subject, { step: event.phase === "undo" ? `undoing ${event.step}` : event.step, sinceMs: clock() });
      } else doing.delete(subject);
    },
    say(text) {
      clear();
      terminal.err(text);
    },
    end() {
      clearInterval(timer);
      clear();
    },
  };
};

/** Plain lines, from the first second on: what goes on then, and each step after it. */
const plain = (terminal: Terminal, clock: () => number): Progress => {
  const startedMs = clock();
  const doing = new Map<string, string>();
  const tell = (subject: string, step: string) => terminal.err(`${phrase(subject, step)} …\n`);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    for (const [subject, step] of doing) tell(subject, step);
  }, QUIET_MS);
  return {
    on(subject, event) {
      isLate ||= clock() - startedMs >= QUIET_MS;
      if (event.kind === "note") {
        if (isLate || event.isOutput) terminal.err(`${sanitize(event.text).trimEnd()}\n`);
        return;
      }
      if (event.phase !== "begin" && event.phase !== "undo") {
        doing.delete(subject);
        return;
      }
      const step = event.phase === "undo" ? `undoing ${event.step}` : event.step;
      doing.set(subject, step);
      if (isLate) tell(subject, step);
    },
    say: (text) => terminal.err(text),
    end: () => clearTimeout(timer),
  };
};

/** The progress of one command. `clock` is milliseconds that never jump. */
export const openProgress = (options: { terminal: Terminal; isSilent: boolean; clock?: () => number }): Progress => {
  const { terminal, isSilent, clock = () => performance.now() } = options;
  if (isSilent) return silentProgress;
  return terminal.canRedraw ? redrawn(terminal, clock) : plain(terminal, clock);
};
