// A lab that runs: a Debian host in a virtual machine with a /dev/kvm of its own, driven over SSH, every command with a deadline.
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { makeHomeDisk } from "./home-disk.ts";
import { findHostImage, labCacheDir } from "./host-image.ts";

/** Emulated, on a shared machine: 25 s when it is quiet. */
const BOOT_MS = 480_000;
/** Past the deadline of a command: the time the lab has to end it and say so. */
const GRACE_MS = 45_000;
const MEMORY_MIB = 6144;
/** What QEMU takes besides the lab's own memory: that of translated code above all. */
const BESIDES_MIB = 1536;
export const CONSOLE_TAIL_LINES = 40;

export type LabRan = { code: number; out: string; err: string; ms: number };
export type LabRunOptions = {
  /** When the command is ended inside: its exit code is then 124. */
  timeoutMs?: number;
  stdin?: string;
};

/** The lab no longer answers: nothing that a guest or banger may do should cause that. */
export class LabLockedUp extends Error {
  override name = "LabLockedUp";
}

export type Lab = {
  accelerator: "tcg" | "kvm";
  /** From the start of QEMU to the first command over SSH. */
  bootMs: number;
  /** Null when no binary was found; then why in `firecrackerReason`. */
  firecracker: string | null;
  firecrackerReason: string;
  ssh: readonly string[];
  /** Runs a shell line as the user dev, whatever its exit code. Errors: LabLockedUp. */
  run(line: string, options?: LabRunOptions): Promise<LabRan>;
  /** Runs a shell line, which must succeed, and answers its stdout, trimmed. */
  ok(line: string, options?: LabRunOptions): Promise<string>;
  /** Power off and on again: a fresh host, as it was at the first boot. */
  reset(): Promise<void>;
  console(): string;
  close(): Promise<void>;
};

/** Why no lab can be opened on this machine now, or null. */
export const findLabObstacle = (): string | null => {
  const [, kib] = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  const [free, needed] = [Math.floor(Number(kib) / 1024), MEMORY_MIB + BESIDES_MIB];
  return free < needed ? `the lab needs ${needed} MiB of memory, and ${free} are free` : null;
};

export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

const freePort = (): number => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
};

/** KVM for the lab must pass virtualisation on to it; where that is off, or there is none, the emulated one of QEMU does. */
const chooseAccelerator = (): Lab["accelerator"] => {
  const wanted = process.env.BANGER_LAB_ACCEL;
  if (wanted === "tcg" || wanted === "kvm") return wanted;
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "tcg";
  }
  const isNested = ["kvm_amd", "kvm_intel"].some((module) => {
    const file = `/sys/module/${module}/parameters/nested`;
    return existsSync(file) && /^[1Y]/.test(readFileSync(file, "utf8"));
  });
  return isNested ? "kvm" : "tcg";
};

const machineArguments = (accelerator: Lab["accelerator"]): string[] =>
  accelerator === "kvm"
    ? ["-M", "q35", "-accel", "kvm", "-cpu", "host"]
    : ["-M", "q35", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,+svm"];

type Machine = { dir: string; image: string; home: string; accelerator: Lab["accelerator"]; sshPort: number };

const qemuArguments = ({ dir, image, home, accelerator, sshPort }: Machine): string[] => [
  "qemu-system-x86_64",
  ...machineArguments(accelerator),
  ...[
    "-name",
    "banger-lab",
    "-m",
    String(MEMORY_MIB),
    "-smp",
    "2",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
  ],
  ...["-serial", `file:${join(dir, "console.log")}`, "-no-reboot"],
  ...["-kernel", join(image, "vmlinuz"), "-initrd", join(image, "initrd")],
  ...["-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off"],
  // What is written goes to an unnamed file of this run: the cached disks stay as they were built.
  ...["-drive", `file=${join(image, "root.raw")},if=virtio,format=raw,snapshot=on,cache=unsafe`],
  ...["-drive", `file=${home},if=virtio,format=raw,snapshot=on,cache=unsafe`],
  ...["-netdev", `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${sshPort}-:22`],
  ...["-device", "virtio-net-pci,netdev=net0", "-device", "virtio-rng-pci"],
];

/** What runs of the lab left that did not end in order: their QEMU has died with them. */
const forgetDeadRuns = (): void => {
  for (const name of readdirSync(labCacheDir()).filter((entry) => entry.startsWith("run."))) {
    const dir = join(labCacheDir(), name);
    const pid = existsSync(join(dir, "pid")) ? readFileSync(join(dir, "pid"), "utf8").trim() : "";
    if (pid !== "" && !existsSync(`/proc/${pid}`)) rmSync(dir, { recursive: true, force: true });
  }
};

/** Boots the lab; its disks are made when what goes into them changed. */
export const openLab = async (say: (line: string) => void = console.log): Promise<Lab> => {
  const image = await findHostImage(say);
  forgetDeadRuns();
  const dir = mkdtempSync(join(labCacheDir(), "run."));
  writeFileSync(join(dir, "pid"), `${process.pid}\n`);
  const brought = await makeHomeDisk(join(dir, "home.raw"));
  const accelerator = chooseAccelerator();
  const sshPort = freePort();
  const control = join(dir, "ssh");
  const ssh = [
    ...["ssh", "-F", "none", "-i", join(image, "id_ed25519"), "-p", String(sshPort), "-l", "dev"],
    ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"],
    ...["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=15", "-o", `ControlPath=${control}`],
    "127.0.0.1",
  ];
  let qemu: Bun.Subprocess | null = null;
  let master: Bun.Subprocess | null = null;
  const console = () => (existsSync(join(dir, "console.log")) ? readFileSync(join(dir, "console.log"), "utf8") : "");
  const tail = () => console().trimEnd().split("\n").slice(-CONSOLE_TAIL_LINES).join("\n");

  const end = async (): Promise<void> => {
    for (const child of [master, qemu]) {
      child?.kill("SIGKILL");
      await child?.exited;
    }
    master = qemu = null;
    rmSync(control, { force: true });
  };

  const call = async (
    line: string,
    options: { timeoutMs: number; stdin?: string | undefined },
  ): Promise<LabRan | null> => {
    const { timeoutMs, stdin } = options;
    const started = performance.now();
    const child = Bun.spawn([...ssh, line], {
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const texts = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const code = await child.exited;
    // The shared connection has taken over this one's pipes: of a command that was given up they may stay open for ever.
    if (child.signalCode === "SIGKILL") return null;
    const [out, err] = await texts;
    return { code, out, err, ms: performance.now() - started };
  };

  const boot = async (): Promise<number> => {
    const started = performance.now();
    // QEMU keeps what is written in a file in TMPDIR; it ends with this process, however that ends.
    const machine = qemuArguments({ dir, image, home: join(dir, "home.raw"), accelerator, sshPort });
    qemu = Bun.spawn(["setpriv", "--pdeathsig", "KILL", "--", ...machine], {
      env: { ...process.env, TMPDIR: dir },
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(join(dir, "qemu.log")),
    });
    for (;;) {
      const left = BOOT_MS - (performance.now() - started);
      const why =
        qemu.exitCode !== null
          ? `QEMU ended with ${qemu.exitCode}: ${readFileSync(join(dir, "qemu.log"), "utf8")}`
          : left <= 0
            ? `no SSH within ${BOOT_MS} ms`
            : null;
      if (why !== null) {
        const seen = tail();
        await end();
        throw new Error(`the lab did not boot: ${why}\n${seen}`);
      }
      const answer = await call("true", { timeoutMs: Math.min(left, 20_000) });
      if (answer?.code === 0) break;
      await Bun.sleep(500);
    }
    const bootMs = performance.now() - started;
    // One connection for all commands: each of its own costs a second of emulated cryptography.
    master = Bun.spawn([...ssh.slice(0, -1), "-M", "-N", "127.0.0.1"], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    const prepared = await call("sudo chown -R dev:dev /home/dev && sudo chown -R plain:plain /home/plain", {
      timeoutMs: 60_000,
    });
    if (prepared?.code !== 0)
      throw new Error(`the lab's home could not be handed over: ${prepared?.err ?? "no answer"}`);
    return bootMs;
  };

  const run: Lab["run"] = async (line, { timeoutMs = 60_000, stdin } = {}) => {
    const bounded = `timeout --kill-after=5 ${Math.ceil(timeoutMs / 1000)} bash -c ${quote(line)}`;
    const ran = await call(bounded, { timeoutMs: timeoutMs + GRACE_MS, stdin });
    if (ran !== null && ran.code !== 255) return ran;
    const alive = await call("true", { timeoutMs: 60_000 });
    if (alive?.code === 0 && ran !== null) return ran;
    if (alive?.code === 0)
      return { code: 124, out: "", err: "no answer in time, though the lab lives", ms: timeoutMs + GRACE_MS };
    throw new LabLockedUp(`the lab answers no more, since: ${line}\nits console:\n${tail()}`);
  };

  const lab: Lab = {
    accelerator,
    bootMs: 0,
    ...brought,
    ssh,
    run,
    ok: async (line, options) => {
      const { code, out, err } = await run(line, options);
      if (code !== 0) throw new Error(`in the lab, ${line}\nended with ${code}: ${err}${out}`);
      return out.trim();
    },
    reset: async () => {
      await end();
      await boot();
    },
    console,
    close: async () => {
      if (qemu?.exitCode === null) {
        const off = await call("sudo systemctl poweroff --no-wall", { timeoutMs: 15_000 });
        if (off !== null) await Promise.race([qemu.exited, Bun.sleep(30_000)]);
      }
      await end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  try {
    lab.bootMs = await boot();
  } catch (error) {
    await end();
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
  return lab;
};
