// Decides whether VMMs can be jailed on this host, and by which command: real root, and programs that only root can change.
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fail } from "../spec/errors.ts";
import type { NetworkMode } from "../spec/vm.ts";
import { findRootLaunch } from "./linux.ts";
import type { NativePaths } from "./native.ts";
import { findWeakness, INSTALLED_JAIL, readComponents } from "./root-launch.ts";

/** The program as its driver found it. */
type Program = { path: string; isStatic?: boolean };
type Way = { argv: readonly string[]; jailer: string };
export type JailAnswer = Way | { refusal: string; fix: string | undefined };

/** What lies beside it: the release archive puts the version into both names. */
const jailerBeside = (path: string): string => `${dirname(path)}/${basename(path).replace(/^[a-z]+/, "jailer")}`;

const weaknessOf = (path: string): string | null => {
  const components = readComponents(path);
  return components === null ? `${path} is missing` : findWeakness(components);
};

/** Asked at each start, for programs come and go. */
export const findJailWay = (binary: Program, options: { jail: string; mode: NetworkMode }): JailAnswer => {
  if (options.mode === "namespace")
    return {
      refusal: "it takes the host's own root, and this VM is connected without",
      fix: "banger config unset vmm.jail",
    };
  const jailer = jailerBeside(binary.path);
  for (const path of [binary.path, jailer]) {
    const weakness = weaknessOf(path);
    if (weakness !== null) return { refusal: weakness, fix: `sudo install ${binary.path} ${jailer} /usr/local/bin/` };
  }
  if (binary.isStatic === false)
    return {
      refusal: `${binary.path} is not static, and in a jail there is no loader`,
      fix: "use the official binary",
    };
  const launch = findRootLaunch();
  if (launch.kind === "refusal") return { refusal: launch.detail, fix: "banger setup" };
  // Root runs what it already runs from; anyone else the copy that nobody else can change.
  const isRoot = launch.argv0 !== null;
  const program = isRoot ? options.jail : INSTALLED_JAIL;
  const weakness = isRoot ? (existsSync(program) ? null : `${program} is missing`) : weaknessOf(program);
  if (weakness !== null) return { refusal: weakness, fix: isRoot ? "make build" : "banger setup" };
  return { argv: isRoot ? [program] : [launch.argv[0] ?? "sudo", "-n", "--", program], jailer };
};

/** Errors: vmm.jail_unusable. */
export const createJailFinder =
  (options: { native: Pick<NativePaths, "jail">; instance: string }) =>
  async (binary: Program, mode: NetworkMode): Promise<Way> => {
    const answer = findJailWay(binary, { jail: options.native.jail, mode });
    if ("refusal" in answer) throw fail("vmm.jail_unusable", { detail: answer.refusal, fix: answer.fix });
    return { ...answer, argv: [...answer.argv, options.instance] };
  };
