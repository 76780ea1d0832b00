// What Firecracker's exit codes mean (its source, FcExitCode).

const meanings: Readonly<Record<number, string>> = {
  1: "a general error",
  2: "an unexpected error",
  134: "it aborted itself",
  148: "a system call that its seccomp filter forbids",
  149: "SIGBUS",
  150: "SIGSEGV",
  151: "SIGXFSZ, a file size limit",
  152: "a bad configuration file",
  153: "bad arguments",
  154: "SIGXCPU, a CPU time limit",
  155: "SIGPIPE",
  156: "SIGHUP, its terminal went away",
  157: "SIGILL",
};

/** A name for the exit code, null for one that means nothing in particular. */
export const nameExitCode = (exitCode: number): string | null => meanings[exitCode] ?? null;
