// Gives the user's terminal to another program and takes it back: keys to it, its output to the screen, its size with ours.
import { writeSync } from "node:fs";
import { type CarriedProgram, carryOnTerminal } from "../host/process.ts";
import type { Size } from "./model.ts";

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

/** Runs it until it ends; answers its exit code. Nobody else may listen to the keys meanwhile. */
export const runHandedOver = async (argv: readonly string[], sizeNow: () => Size): Promise<number> => {
  const { stdin, stdout } = process;
  const program: CarriedProgram = carryOnTerminal({ argv, ...sizeNow(), onOutput: writeAll });
  const carry = (): void => {
    for (let text = stdin.read(); text !== null; text = stdin.read()) program.write(String(text));
  };
  const resize = (): void => program.resize(sizeNow());
  // Keys reach the program as they are: its own terminal makes signals and lines of them.
  stdin.setRawMode(true);
  stdin.ref();
  stdin.on("readable", carry);
  stdout.on("resize", resize);
  try {
    return await program.exited;
  } finally {
    stdout.off("resize", resize);
    stdin.off("readable", carry);
    stdin.setRawMode(false);
  }
};
