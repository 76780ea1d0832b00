// `banger vm proxy`: what ssh runs to reach a VM: a connection to its sshd, or over the guest channel where its network does not answer.
import { connect, type Socket } from "node:net";
import { exitCodeOfEnd } from "../client/exec.ts";
import { runOnTerminal } from "../host/process.ts";
import { EXIT, fail } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { gainAccess } from "./gain-access.ts";
import { feed, startExec } from "./run-exec.ts";
import type { Invocation, Session } from "./session.ts";
import { ReaderGone, writeAll } from "./terminal.ts";

type Access = Output<"vm.access">;

/** What the configuration names when no VM has the name that was asked for. */
const NO_VM = ".";
/** A bridge on this host answers in less than a millisecond; a guest whose network is down never does. */
const DIRECT_MS = 1500;
/** What sshd is where nobody listens: it speaks on its input and output. The directory is its service's otherwise. */
const SSHD = "mkdir -p -m 0755 /run/sshd && exec /usr/sbin/sshd -i";

/** A connection, or null when there is none within the time. */
const connectDirectly = ({ address, port }: Access): Promise<Socket | null> => {
  const { promise, resolve } = Promise.withResolvers<Socket | null>();
  const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
  const give = (result: Socket | null): void => {
    clearTimeout(timer);
    if (result === null) socket.destroy();
    resolve(result);
  };
  const timer = setTimeout(() => give(null), DIRECT_MS);
  socket.once("connect", () => give(socket));
  socket.on("error", () => give(null));
  return promise;
};

/** Both directions until the guest's is over: ssh ends when it is. */
const carry = (socket: Socket): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("data", (bytes: Buffer) => {
    try {
      writeAll(1, bytes);
    } catch (error) {
      socket.destroy();
      if (error instanceof ReaderGone) resolve();
      else reject(error);
    }
  });
  socket.once("end", resolve);
  socket.once("close", () => resolve());
  process.stdin.pipe(socket);
  return promise.finally(() => process.stdin.unpipe(socket));
};

const carryOverChannel = async (session: Session, access: Access): Promise<number> => {
  const { run } = await startExec(session, {
    vm: access.id,
    wanted: { argv: ["/bin/sh", "-c", SSHD], user: "root", env: {} },
    onOutput: (descriptor, bytes) => {
      if (descriptor === 1) writeAll(1, bytes);
    },
  });
  const stop = feed(run);
  try {
    return exitCodeOfEnd(await run.ended);
  } finally {
    stop();
  }
};

/** The exit codes of what carries into the namespaces, before it has read anything: nobody answered, or there is no way in. */
const NOT_CARRIED: readonly number[] = [1, 75];

export const runProxy = async (session: Session, { input }: Invocation): Promise<number> => {
  const vm = String(input.vm);
  if (vm === NO_VM) throw fail("ssh.no_such_host", {});
  const access = await gainAccess(session, vm);
  if (access.carryArgv !== undefined) {
    // No route leads there from here, or one that is not ours: the connection is made inside.
    const code = await runOnTerminal(access.carryArgv);
    return NOT_CARRIED.includes(code) ? carryOverChannel(session, access) : code;
  }
  const socket = await connectDirectly(access);
  if (socket === null) return carryOverChannel(session, access);
  await carry(socket);
  return EXIT.ok;
};
