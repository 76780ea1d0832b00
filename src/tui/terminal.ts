// Holds the user's terminal: takes the screen and the keys, lends both to another program, and gives everything back as it was.
import type { Frame } from "./frame.ts";
import { runHandedOver } from "./hand-over.ts";
import type { KeyPress } from "./keys.ts";
import type { Size } from "./model.ts";
import { openTerminalInput } from "./terminal-input.ts";
import { openTerminalOutput } from "./terminal-output.ts";

export type Terminal = {
  size: () => Size;
  /** Nothing is shown while another program has the screen. */
  show: (frame: Frame) => void;
  setMouse: (isOn: boolean) => void;
  /** OSC 52: the terminal puts it into the clipboard, also from afar. */
  copy: (text: string) => void;
  /** Lends the screen and the keys to what `work` runs, one program after the other. */
  lend: (work: (run: (argv: readonly string[]) => Promise<number>) => Promise<void>) => Promise<void>;
  /** Gives it back, once. */
  close: () => void;
};

// Xterm, "Control Sequences": modes are set by `h` and reset by `l`.
const ALTERNATE_SCREEN = "?1049";
const CURSOR = "?25";
const WRAPPING = "?7";
const PASTES_MARKED = "?2004";
const BUTTONS = "?1000";
const WIDE_REPORTS = "?1006";
const set = (mode: string): string => `\x1b[${mode}h`;
const reset = (mode: string): string => `\x1b[${mode}l`;
/** For terminals that have no second screen: nothing of ours stays on the one there is. */
const CLEAR = "\x1b[H\x1b[2J";

const mouseMode = (isOn: boolean): string =>
  isOn ? set(BUTTONS) + set(WIDE_REPORTS) : reset(WIDE_REPORTS) + reset(BUTTONS);
/** Nothing scrolls the screen: a row that is too long for a terminal that counts otherwise is cut by it. */
const TAKE = set(ALTERNATE_SCREEN) + reset(CURSOR) + reset(WRAPPING) + set(PASTES_MARKED);
const GIVE = mouseMode(false) + reset(PASTES_MARKED) + set(WRAPPING) + set(CURSOR) + CLEAR + reset(ALTERNATE_SCREEN);

/** `onLost`: nothing is on the screen any more, and the frame has to be shown again. */
export const openTerminal = (given: {
  onKey: (key: KeyPress) => void;
  onResize: (size: Size) => void;
  onLost: () => void;
  onEnd: () => void;
}): Terminal => {
  const output = openTerminalOutput();
  // It is asked for the size and written to by nobody.
  const { stdout } = process;
  const size = (): Size => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 });
  let hasMouse = true;
  let isOurs = false;
  let wasOurs = false;
  let isOpen = true;

  const take = (): void => {
    isOurs = true;
    output.forget();
    output.say(TAKE + (hasMouse ? mouseMode(true) : ""));
  };
  const give = (): void => {
    if (isOurs) output.insist(GIVE);
    isOurs = false;
  };
  const close = (): void => {
    if (!isOpen) return;
    isOpen = false;
    process.off("SIGTSTP", onStop);
    process.off("SIGCONT", onContinue);
    process.off("exit", close);
    stdout.off("resize", onResize);
    give();
    input.close();
  };
  const onResize = (): void => {
    output.forget();
    given.onResize(size());
  };
  /** Somebody stops us by a signal (no key does), and a shell has the terminal until we go on. */
  const onStop = (): void => {
    wasOurs = isOurs;
    give();
    input.setRaw(false);
    process.kill(process.pid, "SIGSTOP");
  };
  const onContinue = (): void => {
    input.setRaw(false);
    input.setRaw(true);
    if (!wasOurs && !isOurs) return;
    wasOurs = false;
    take();
    given.onLost();
  };

  const input = openTerminalInput(given);
  take();
  process.on("SIGTSTP", onStop);
  process.on("SIGCONT", onContinue);
  process.on("exit", close);
  stdout.on("resize", onResize);
  return {
    size,
    show: (frame) => {
      if (isOurs) output.show(frame);
    },
    setMouse: (isOn) => {
      hasMouse = isOn;
      if (isOurs) output.say(mouseMode(isOn));
    },
    copy: (text) => {
      if (isOurs) output.say(`\x1b]52;c;${Buffer.from(text).toString("base64")}\x07`);
    },
    lend: async (work) => {
      give();
      try {
        await work((argv) => runHandedOver(argv, { input, size }));
      } finally {
        if (isOpen) {
          take();
          given.onLost();
        }
      }
    },
    close,
  };
};
