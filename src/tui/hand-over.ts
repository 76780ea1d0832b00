// Gives the user's terminal to another program and takes it back: keys to it, its output to the screen, its size with ours.
import { writeSync } from "node:fs";
import { carryOnTerminal } from "../host/process.ts";
import type { Size } from "./model.ts";
import type { TerminalInput } from "./terminal-input.ts";

const pause = new Int32Array(new SharedArrayBuffer(4));

/** All of it, in order, also where the terminal is slow or was made non-blocking. A terminal that is gone takes nothing. */
const writeAll = (bytes: Uint8Array): void => {
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "EAGAIN" && code !== "EINTR") return;
      Atomics.wait(pause, 0, 0, 2);
    }
  }
};

/** Runs it until it ends; answers its exit code. Keys reach it as they are: its own terminal makes signals and lines of them. */
export const runHandedOver = async (
  argv: readonly string[],
  terminal: { input: TerminalInput; size: () => Size },
): Promise<number> => {
  const { input, size } = terminal;
  const { stdout } = process;
  const program = carryOnTerminal({ argv, ...size(), onOutput: writeAll });
  const resize = (): void => program.resize(size());
  stdout.on("resize", resize);
  const takeBack = input.carryTo(program.write);
  try {
    return await program.exited;
  } finally {
    takeBack();
    stdout.off("resize", resize);
  }
};
