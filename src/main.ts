// The one composition point: the name this executable was called by decides whether it is the command line, the daemon or its helper.
import type { Session, SetupPlan } from "./cli/session.ts";
import { EXIT } from "./spec/errors.ts";

// Set by scripts/build.ts; a checkout that is run as it is has neither.
declare const BANGER_VERSION: string | undefined;
declare const BANGER_BUILD: string | undefined;

const version = typeof BANGER_VERSION === "string" ? BANGER_VERSION : "0.0.0";
const build = typeof BANGER_BUILD === "string" ? BANGER_BUILD : "checkout";
const isBuilt = build !== "checkout";
/** What replacing this program would replace. */
const executable = isBuilt ? process.execPath : import.meta.path;

type PlanDns = NonNullable<Session["planDns"]>;
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

/** What keeps the daemon from starting is told like every failure; whoever started it reads it at the end of its log. */
const runDaemonRole = async (): Promise<number> => {
  const { runDaemon } = await import("./daemon/main.ts");
  try {
    return await runDaemon({ version, build, executable });
  } catch (error) {
    const { describeFailure, exitCodeOf, renderFailure } = await import("./cli/failure.ts");
    console.error(renderFailure(describeFailure(error, null), { isJson: false, hasColor: false }).trimEnd());
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

/** For whom root is asked to do something: root itself needs nothing, but under sudo it acts for the one who typed it. */
const setupFor = async (): Promise<{ user: string; uid: number }> => {
  const { env } = process;
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 && env.SUDO_UID !== undefined) return { user: env.SUDO_USER ?? "", uid: Number(env.SUDO_UID) };
  // Services, containers and cron have no USER; the user database knows who this is.
  const named = env.USER || env.LOGNAME;
  if (named) return { user: named, uid };
  const { runCommand } = await import("./host/command.ts");
  return { user: (await runCommand({ argv: ["id", "-un"], timeoutMs: 10_000 })).stdout.trim(), uid };
};

/** What `banger setup` would do: as root it does it; anyone else does it through sudo, which asks for the password. */
const planSetup = async (options: { isUndo: boolean }): Promise<SetupPlan> => {
  const [setup, { INSTALLED_HELPER }, { runCommand }, { runOnTerminal }] = await Promise.all([
    import("./host/setup.ts"),
    import("./host/root-launch.ts"),
    import("./host/command.ts"),
    import("./host/process.ts"),
  ]);
  const who = await setupFor();
  const isRoot = process.getuid?.() === 0;
  const facts = await setup.readSetupFacts({ ...who, executable });
  const actions = setup.planSetup(facts);
  const bySudo = () =>
    runOnTerminal(["sudo", "--", executable, "setup", "--yes", ...(options.isUndo ? ["--undo"] : [])]);
  if (options.isUndo) {
    const lines = [`remove the sudoers line of ${who.user}, and ${INSTALLED_HELPER} when nobody else uses it`];
    return { lines, isDone: false, run: async () => (isRoot ? setup.undoSetup(who).then(() => EXIT.ok) : bySudo()) };
  }
  // The sudoers file is root's to read; whether it serves is asked of sudo itself.
  const mayStart = async () => {
    const sudo = Bun.which("sudo");
    if (isRoot || !sudo || actions.some(({ kind }) => kind === "install-helper")) return false;
    return (await runCommand({ argv: [sudo, "-n", "-l", "--", INSTALLED_HELPER], timeoutMs: 10_000 })).exitCode === 0;
  };
  const isDone = actions.length === 0 || (await mayStart());
  return {
    lines: isDone ? [] : actions.map(({ sentence }) => sentence),
    isDone,
    run: async () => (isRoot ? setup.runSetup(actions).then(() => EXIT.ok) : bySudo()),
  };
};

/** The runtime bundle of this program and user; needs no instance and no daemon. */
const openUserBundle = async () => {
  const [{ openBundle }, { parseConfig, resolveConfig }, { planBasePaths }, { tryLockFile }, { runCommand }] =
    await Promise.all([
      import("./bundle/bundle.ts"),
      import("./core/config.ts"),
      import("./core/paths.ts"),
      import("./host/lock.ts"),
      import("./host/command.ts"),
    ]);
  const { env } = process;
  const base = planBasePaths({ env, home: env.HOME ?? "/" });
  const text = await Bun.file(base.configFile)
    .text()
    .catch(() => "");
  const { config } = resolveConfig({ file: parseConfig(text, base.configFile), environment: env });
  return openBundle({
    env,
    configured: config.bundle,
    dataDir: base.dataDir,
    tryLock: tryLockFile,
    readVersion: async (path) => (await runCommand({ argv: [path, "--version"], timeoutMs: 10_000 })).stdout,
    now: () => new Date(),
  });
};

/** The same for this host's resolver. What the user's daemon listens on goes along, since root would look for its own. */
const planDns = async (options: Parameters<PlanDns>[0]): Promise<SetupPlan> => {
  const [{ planHostDns }, { runOnTerminal }] = await Promise.all([
    import("./host/dns-setup-plan.ts"),
    import("./host/process.ts"),
  ]);
  const { lines, isDone, run } = await planHostDns({ ...options, kind: options.kind as never });
  const { isUndo, zone, server, kind } = options;
  const words = isUndo ? ["undo"] : ["setup", "--zone", zone, "--server", server];
  const argv = ["sudo", "--", executable, "dns", ...words, ...(kind === null ? [] : ["--resolver", kind]), "--yes"];
  return {
    lines,
    isDone,
    run: async () => (process.getuid?.() === 0 ? run().then(() => EXIT.ok) : runOnTerminal(argv)),
  };
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
    planSetup: isBuilt ? planSetup : null,
    planDns: isBuilt ? planDns : null,
    openBundle: openUserBundle,
    checkHost: async (failure) => {
      const { checkWithoutDaemon } = await import("./daemon/doctor.ts");
      return checkWithoutDaemon({ executable, version, failure });
    },
    runTui: async ({ openClient }) => {
      if (isBuilt) (await import("./host/process.ts")).beginAnewResting(argv);
      const { runTui } = await import("./tui/tui.ts");
      const selfArgv = isBuilt ? [process.execPath] : [process.execPath, import.meta.path];
      return runTui({ openClient, selfArgv, env: process.env });
    },
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
