// The one composition point: the name this executable was called by decides whether it is the command line, the daemon or its helper.
import { EXIT } from "./spec/errors.ts";

// Set by scripts/build.ts; a checkout that is run as it is has neither.
declare const BANGER_VERSION: string | undefined;
declare const BANGER_BUILD: string | undefined;

const version = typeof BANGER_VERSION === "string" ? BANGER_VERSION : "0.0.0";
const build = typeof BANGER_BUILD === "string" ? BANGER_BUILD : "checkout";
const isBuilt = build !== "checkout";
/** What replacing this program would replace. */
const executable = isBuilt ? process.execPath : import.meta.path;

type Role = "banger" | "bangerd" | "banger-root";

/** The name by which we were called; in a checkout the first word says it, since the executable is the runtime. */
const roleOf = (): { role: Role; argv: string[] } => {
  const called = process.argv0.split("/").pop();
  const argv = process.argv.slice(2);
  for (const role of ["bangerd", "banger-root"] as const) {
    if (called === role) return { role, argv };
    if (!isBuilt && argv[0] === `__${role}`) return { role, argv: argv.slice(1) };
  }
  return { role: "banger", argv };
};

/** What keeps the daemon from starting is told like every failure; whoever started it reads the last line of its log. */
const runDaemonRole = async (): Promise<number> => {
  const { runDaemon } = await import("./daemon/main.ts");
  try {
    return await runDaemon({ version, build, executable });
  } catch (error) {
    const { describeFailure, exitCodeOf, renderFailure } = await import("./cli/failure.ts");
    const report = describeFailure(error, null);
    console.error(renderFailure({ ...report, fix: null }, { isJson: false, hasColor: false }).trimEnd());
    return exitCodeOf(error);
  }
};

const runRootRole = async (argv: readonly string[]): Promise<number> => {
  const [{ runRootHelper }, { writeSync }] = await Promise.all([import("./host/root-helper.ts"), import("node:fs")]);
  return runRootHelper(argv, {
    input: Bun.stdin.stream(),
    write: (text) => void writeSync(1, text),
    env: process.env,
    uid: process.getuid?.() ?? -1,
  });
};

const runCliRole = async (argv: readonly string[]): Promise<number> => {
  const { openSession, runCli } = await import("./cli/cli.ts");
  const { findInstance, openInstance, openingOfProcess } = await import("./host/instance.ts");
  const session = openSession({
    self: { version, build, executable },
    env: process.env,
    cwd: process.cwd(),
    find: () => findInstance(openingOfProcess()),
    open: () => openInstance(openingOfProcess()),
    daemonCommand: isBuilt
      ? { argv: [process.execPath], argv0: "bangerd" }
      : { argv: [process.execPath, import.meta.path, "__bangerd"] },
    planSetup: null,
  });
  return runCli(session, argv);
};

const { role, argv } = roleOf();

// The commonest question of scripts is answered without loading anything.
if (role === "banger" && argv.length === 1 && (argv[0] === "--version" || argv[0] === "-V")) {
  console.log(`banger ${version} (${build})`);
  process.exit(EXIT.ok);
}

const roles: Record<Role, () => Promise<number>> = {
  banger: () => runCliRole(argv),
  bangerd: runDaemonRole,
  "banger-root": () => runRootRole(argv),
};
process.exit(await roles[role]());
