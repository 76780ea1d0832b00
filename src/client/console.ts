// The raw attachment of a terminal to a VM's serial console, over the control socket of its shim (docs/shim.md).
import { writeSync } from "node:fs";
import { createConnection } from "node:net";

/** Ctrl-], as telnet and virsh have it. */
const LEAVE = 0x1d;
const NEWLINE = 10;
const MAX_TAIL_BYTES = 65_536;

/** left: the user pressed Ctrl-] or input ended. ended: the VM did. lost: there is no console to attach to. */
export type ConsoleEnd = "left" | "ended" | "lost";

const writeAll = (fd: number, bytes: Uint8Array): void => {
  for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
};

/** Attaches until one side ends. The terminal is raw meanwhile, and as it was afterwards, however we end. */
export const attachConsole = (given: { socket: string; tailBytes: number; isTty: boolean }): Promise<ConsoleEnd> => {
  const { promise, resolve } = Promise.withResolvers<ConsoleEnd>();
  const input = process.stdin;
  const connection = createConnection({ path: given.socket });
  let isAttached = false;
  let answer: Uint8Array = new Uint8Array();

  const restore = () => {
    if (given.isTty) input.setRawMode(false);
  };
  const onSignal = () => finish("left");
  const finish = (why: ConsoleEnd) => {
    process.off("exit", restore);
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
    restore();
    input.pause();
    input.removeAllListeners("data");
    connection.destroy();
    resolve(why);
  };

  const onOutput = (bytes: Uint8Array) => {
    try {
      writeAll(1, bytes);
    } catch {
      finish("left");
    }
  };
  const onInput = (bytes: Buffer) => {
    const leave = given.isTty ? bytes.indexOf(LEAVE) : -1;
    const typed = leave < 0 ? bytes : bytes.subarray(0, leave);
    // A guest that reads nothing holds our input up, rather than letting it grow here.
    if (typed.length > 0 && !connection.write(typed)) {
      input.pause();
      connection.once("drain", () => input.resume());
    }
    if (leave >= 0) finish("left");
  };
  const attach = () => {
    isAttached = true;
    process.on("exit", restore);
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
    if (given.isTty) input.setRawMode(true);
    input.on("data", onInput);
    // Input from a pipe may end long before what it asked for is printed: the console stays until the VM or the user ends it.
    input.on("end", () => connection.end());
    input.resume();
  };

  connection.on("connect", () => connection.write(`attach tail=${Math.min(given.tailBytes, MAX_TAIL_BYTES)}\n`));
  connection.on("data", (bytes: Buffer) => {
    if (isAttached) return onOutput(bytes);
    answer = Buffer.concat([answer, bytes]);
    const end = answer.indexOf(NEWLINE);
    if (end < 0) return;
    if (Buffer.from(answer.subarray(0, end)).toString() !== "ok") return finish("lost");
    attach();
    onOutput(answer.subarray(end + 1));
  });
  connection.on("error", () => finish(isAttached ? "ended" : "lost"));
  connection.on("close", () => finish(isAttached ? "ended" : "lost"));
  return promise;
};
