// The smallest guest that proves virtualisation: an initramfs whose init sleeps, speaks and reboots, to be run by an ordinary kernel.
import { hasCode } from "../spec/errors.ts";
import { type CpioMember, renderCpio } from "./cpio.ts";
import type { ProbeOptions } from "./driver.ts";
import type { Verdict } from "./kvm-verdict.ts";

/** A guest on KVM needs a second; one on a KVM that is itself emulated, on a busy machine, has been seen to need more than twenty. */
const PROOF_TIMEOUT_MS = 90_000;
/** For all that a driver's `probe` does: a proof ends itself, and what comes before it, a version asked for, takes seconds at worst. */
export const PROBE_TIMEOUT_MS = PROOF_TIMEOUT_MS + 30_000;
/** A kernel says its version long before that. One that has said nothing by now will not: a KVM that cannot run it hangs at once. */
const SILENCE_TIMEOUT_MS = 12_000;
/** Between two lines of a kernel that boots; the slowest KVM seen, one that is emulated itself, left ten seconds. */
const PAUSE_TIMEOUT_MS = 20_000;
/** What QEMU prints when KVM gives up on an instruction of the guest's. It pauses the guest then, and waits for ever. */
const GAVE_UP = /^KVM internal error/;

/** What the guest prints on its console once it runs in user mode and a timer has fired. */
export const PROOF_LINE = "banger-proof: user mode";

/**
 * x86-64 machine code, assembled by GNU as from:
 *   nanosleep({0, 10 ms})                    without a working timer interrupt this never returns
 *   write(1, PROOF_LINE "\n", 24)
 *   reboot(LINUX_REBOOT_MAGIC1, MAGIC2, RESTART)
 *   1: jmp 1b
 * with the timespec at offset 0x40 and the text at 0x50.
 */
const CODE = [
  "b823000000 488d3d34000000 31f6 0f05",
  "b801000000 bf01000000 488d352f000000 ba18000000 0f05",
  "b8a9000000 bfaddee1fe be69191228 ba67452301 0f05",
  "ebfe",
  "0000000000000000 8096980000000000",
].join("");

const LOAD_ADDRESS = 0x400000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

/** A static ELF-64 executable with one segment (ELF-64 object file format, §§2, 9). */
const renderInit = (): Buffer => {
  const code = Buffer.concat([Buffer.from(CODE.replaceAll(" ", ""), "hex"), Buffer.from(`${PROOF_LINE}\n`)]);
  const headers = Buffer.alloc(ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  const size = headers.length + code.length;
  headers.write("\x7fELF\x02\x01\x01", 0, "latin1");
  headers.writeUInt16LE(2, 16); // e_type: executable
  headers.writeUInt16LE(62, 18); // e_machine: x86-64
  headers.writeUInt32LE(1, 20);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS + headers.length), 24); // e_entry
  headers.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32); // e_phoff
  headers.writeUInt16LE(ELF_HEADER_BYTES, 52);
  headers.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  headers.writeUInt16LE(1, 56); // e_phnum
  headers.writeUInt32LE(1, 64); // p_type: load
  headers.writeUInt32LE(5, 68); // p_flags: read, execute
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 80);
  headers.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 88);
  headers.writeBigUInt64LE(BigInt(size), 96);
  headers.writeBigUInt64LE(BigInt(size), 104);
  headers.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([headers, code]);
};

/** The initramfs, uncompressed, so that every kernel that takes one can read it. */
export const renderProofInitramfs = (): Buffer => {
  const members: CpioMember[] = [
    { name: "dev", mode: 0o040755 },
    { name: "dev/console", mode: 0o020600, device: [5, 1] },
    { name: "init", mode: 0o100755, content: renderInit() },
  ];
  return renderCpio(members);
};

/** Why a proof was ended before it ended by itself. */
type Stall = "silent" | "paused" | "gave up" | "timeout";

/** How a run of the proof went. */
export type ProofRun = { stdout: string; stderr: string; exitCode: number } | Stall;

const stalls: Record<Stall, string> = {
  silent: `said nothing in ${SILENCE_TIMEOUT_MS / 1000} s`,
  paused: `stopped half-way, and said nothing more in ${PAUSE_TIMEOUT_MS / 1000} s`,
  "gave up": "met an instruction that this KVM cannot run",
  timeout: `did not get to user mode in ${PROOF_TIMEOUT_MS / 1000} s`,
};

/** What a proof that had to be ended says of KVM: of silence a host that is busy may be the cause, of an instruction never. Pure. */
export const judgeStall = (run: Stall): Verdict => ({
  isProved: false,
  reason: `/dev/kvm is there, but a kernel started on it ${stalls[run]}`,
  isPassing: run !== "gave up",
});

/** Runs it to its end or its deadline, or until it is plain that no more will come: its kernel must speak on the console, which is stdout. */
export const runProof = async (
  argv: readonly string[],
  options: Pick<ProbeOptions, "processes" | "signal">,
): Promise<ProofRun> => {
  const ended = new AbortController();
  let stall: Stall = "silent";
  const end = (why: Stall) => {
    stall = why;
    ended.abort();
  };
  let timer = setTimeout(end, SILENCE_TIMEOUT_MS, "silent");
  try {
    return await options.processes.runCommand({
      argv,
      timeoutMs: PROOF_TIMEOUT_MS,
      signal: AbortSignal.any([options.signal, ended.signal]),
      keepBytes: 65_536,
      onLine: (line, stream) => {
        clearTimeout(timer);
        if (stream === "stderr" && GAVE_UP.test(line)) end("gave up");
        else timer = setTimeout(end, PAUSE_TIMEOUT_MS, "paused");
      },
    });
  } catch (error) {
    options.signal.throwIfAborted();
    if (ended.signal.aborted) return stall;
    if (hasCode(error, "operation.timeout")) return "timeout";
    throw error;
  } finally {
    clearTimeout(timer);
  }
};
