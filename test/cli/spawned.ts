// Runs banger as a program of its own, from the source, in a place of its own.
import { join } from "node:path";

export const MAIN = join(import.meta.dir, "../../src/main.ts");

export type Ended = { exitCode: number; out: string; err: string };

export const spawnBanger = (env: Record<string, string>, argv: readonly string[]) =>
  Bun.spawn([process.execPath, MAIN, ...argv], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });

export const banger = async (env: Record<string, string>, ...argv: string[]): Promise<Ended> => {
  const child = spawnBanger(env, argv);
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode: child.exitCode ?? 128, out, err };
};

export type OnTerminal = {
  child: ReturnType<typeof Bun.spawn>;
  /** All that was shown so far. */
  screen: () => string;
  type: (text: string) => void;
  /** Resolves when `text` has been shown. */
  shows: (text: string) => Promise<void>;
};

/** The same on a terminal, 80 columns wide. */
export const bangerOnTerminal = (
  env: Record<string, string>,
  argv: readonly string[],
  { isSizeless = false } = {},
): OnTerminal => {
  // As serial consoles are.
  const before = isSizeless ? ["sh", "-c", 'stty rows 0 cols 0; exec "$@"', "sh"] : [];
  let screen = "";
  const waiting = new Set<() => void>();
  const decoder = new TextDecoder();
  const child = Bun.spawn([...before, process.execPath, MAIN, ...argv], {
    env,
    terminal: {
      cols: 80,
      rows: 24,
      data: (_terminal: unknown, bytes: Uint8Array) => {
        screen += decoder.decode(bytes, { stream: true });
        for (const check of waiting) check();
      },
    },
  } as never) as ReturnType<typeof Bun.spawn> & { terminal: { write: (text: string) => void } };
  const shows = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        waiting.delete(check);
        reject(new TypeError(`the screen never showed ${JSON.stringify(text)} but ${JSON.stringify(screen)}`));
      }, 10_000);
      const check = () => {
        if (!screen.includes(text)) return;
        clearTimeout(deadline);
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  return { child, screen: () => screen, type: (text) => child.terminal.write(text), shows };
};
