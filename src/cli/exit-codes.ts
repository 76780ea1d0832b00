// What each exit code means, for `banger help exit-codes` and the reference.
import { EXIT } from "../spec/errors.ts";
import { EXIT_READER_GONE } from "./terminal.ts";
import { wrap, wrapRows } from "./wrap.ts";

export const exitCodes: readonly { code: number; meaning: string }[] = [
  { code: EXIT.ok, meaning: "It was done; or nothing had to be." },
  { code: EXIT.failed, meaning: "It failed in a way that has no number of its own; also: an audit with findings." },
  { code: EXIT.usage, meaning: "The line makes no sense: an unknown command or flag, a value that cannot be." },
  { code: EXIT.notFound, meaning: "There is no such VM, image or setting." },
  { code: EXIT.conflict, meaning: "Something stands against it: a name that is taken, a VM in the wrong state." },
  { code: EXIT.host, meaning: "This host lacks something: a program, space, a right." },
  { code: EXIT.daemon, meaning: "bangerd is not running, does not answer or cannot be started." },
  { code: EXIT.timeout, meaning: "It took longer than it may." },
  { code: EXIT.internal, meaning: "A bug in banger; please report it." },
  { code: EXIT.interrupted, meaning: "It was interrupted (Ctrl-C); what had been done was undone." },
  { code: EXIT_READER_GONE, meaning: "Whoever read the output went away (SIGPIPE)." },
];

const ofSsh =
  "banger ssh and banger exec end with the exit code of the command in the guest. 255 comes from ssh itself, and " +
  "banger then says so. Where several VMs are given, the highest code of them counts.";

export const renderExitCodes = (): string =>
  `${wrapRows(exitCodes.map(({ code, meaning }) => [String(code).padStart(3), meaning]))}\n${wrap(ofSsh).join("\n")}\n`;
