// A real terminal for tests: tmux with a server of its own, keys typed into it and the screen read back as text.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const hasTmux = Bun.which("tmux") !== null;

export type TmuxTerminal = {
  screen: () => string;
  /** Names of keys as tmux has them: `Enter`, `Escape`, `C-c`, `Down`; anything else is typed as it is. */
  press: (...keys: readonly string[]) => void;
  typeText: (text: string) => void;
  resize: (columns: number, rows: number) => void;
  /** Resolves with the screen once it shows `text`; rejects with what it shows instead. */
  shows: (text: string | RegExp, timeoutMs?: number) => Promise<string>;
  lacks: (text: string, timeoutMs?: number) => Promise<string>;
  /** Facts of tmux about the terminal, such as `alternate_on`, `cursor_flag` and `mouse_any_flag`. */
  fact: (name: string) => string;
  /** Of the program in the foreground. */
  shellPid: () => number;
  close: () => void;
};

const POLL_MS = 15;

/** Opens a terminal with a shell in it that has this environment and nothing else. */
export const openTmux = (options: {
  env: Readonly<Record<string, string>>;
  columns: number;
  rows: number;
}): TmuxTerminal => {
  const directory = mkdtempSync(join(tmpdir(), "bgr-tmux-"));
  const tmux = (...argv: string[]): string => {
    const done = Bun.spawnSync(["tmux", "-S", join(directory, "s"), "-f", "/dev/null", ...argv], {
      env: { PATH: process.env.PATH ?? "", TERM: "xterm-256color", LANG: "C.UTF-8", HOME: directory },
    });
    if (done.exitCode !== 0) throw new TypeError(`tmux ${argv.join(" ")}: ${done.stderr}`);
    return String(done.stdout);
  };
  const pairs = Object.entries({ PS1: "$ ", ...options.env }).map(([name, value]) => `${name}=${value}`);
  const size = ["-x", String(options.columns), "-y", String(options.rows)];
  tmux("new-session", "-d", ...size, "env", "-i", ...pairs, "bash", "--norc", "--noprofile");
  const screen = (): string => tmux("capture-pane", "-p");

  const until = async (claim: (shown: string) => boolean, what: string, timeoutMs: number): Promise<string> => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const shown = screen();
      if (claim(shown)) return shown;
      if (performance.now() > deadline) throw new TypeError(`the screen never ${what}, but shows:\n${shown}`);
      await Bun.sleep(POLL_MS);
    }
  };

  return {
    screen,
    press: (...keys) => void tmux("send-keys", ...keys),
    typeText: (text) => void tmux("send-keys", "-l", text),
    resize: (columns, rows) => void tmux("resize-window", "-x", String(columns), "-y", String(rows)),
    shows: (text, timeoutMs = 15_000) =>
      until(
        (shown) => (typeof text === "string" ? shown.includes(text) : text.test(shown)),
        `showed ${text}`,
        timeoutMs,
      ),
    lacks: (text, timeoutMs = 15_000) => until((shown) => !shown.includes(text), `lost ${text}`, timeoutMs),
    fact: (name) => tmux("display-message", "-p", `#{${name}}`).trim(),
    shellPid: () => Number(tmux("display-message", "-p", "#{pane_pid}")),
    close: () => {
      try {
        tmux("kill-server");
      } catch {
        // Its shell has ended, and the server with it.
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
};
