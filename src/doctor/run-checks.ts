// Runs checks over freshly gathered facts: all of them for people, those of an operation before it begins.
import { describeUnknown } from "../spec/errors.ts";
import type { Output } from "../spec/rpc/contract.ts";
import { type Check, type Finding, skipped } from "./check.ts";
import { checks } from "./checks.ts";
import type { DoctorFacts, DoctorPorts } from "./facts.ts";
import { type Gathered, gatherFacts } from "./gather.ts";

export type CheckRow = Output<"system.doctor">["checks"][number];

/** A check whose facts could not be gathered says so and decides nothing. */
export const decideCheck = (check: Check, gathered: Gathered): Finding[] => {
  for (const name of check.needs) {
    const found = gathered[name];
    if (found && "failure" in found) return [skipped(`this could not be found out: ${describeUnknown(found.failure)}`)];
  }
  const facts = Object.fromEntries(
    check.needs.map((name) => [name, (gathered[name] as { value: unknown }).value]),
  ) as unknown as DoctorFacts;
  return [check.decide(facts)].flat();
};

/** Root types no sudo, and may have none. */
const withoutSudo = (text: string): string => text.replace(/(^|&& )sudo (?!-)/g, "$1");

const rowOf = (check: Check, finding: Finding, isRoot: boolean): CheckRow => {
  return {
    id: finding.id ?? check.id,
    status: finding.status,
    summary: finding.summary,
    why: check.why,
    fix: finding.fix === null ? null : isRoot ? withoutSudo(finding.fix) : finding.fix,
    code: finding.failure?.code ?? null,
    repairs: finding.repairs.map((argv) => [...argv]),
  };
};

export const runChecks = async (ports: DoctorPorts): Promise<CheckRow[]> => {
  const gathered = await gatherFacts(
    ports,
    checks.flatMap(({ needs }) => needs),
  );
  const { user } = gathered;
  const isRoot = user !== undefined && "value" in user && user.value.uid === 0;
  return checks.flatMap((check) => decideCheck(check, gathered).map((finding) => rowOf(check, finding, isRoot)));
};

/** Operations that look at the host first, and what of it they look at. */
const before = {
  "vm.create": ["ssh", "disk"],
  "vm.start": ["runtime", "sudo", "network-tools", "tun"],
  "image.build": ["runtime", "image-tools", "user-namespaces"],
} as const;

export type Purpose = keyof typeof before;

/** Refuses operations with the words that `banger doctor` has for what they lack. Errors: those of the checks. */
export const preflight = async (ports: DoctorPorts, purposes: readonly Purpose[]): Promise<void> => {
  const ids: string[] = purposes.flatMap((purpose) => before[purpose]);
  const wanted = checks.filter(({ id }) => ids.includes(id));
  const gathered = await gatherFacts(
    ports,
    wanted.flatMap(({ needs }) => needs),
  );
  for (const check of wanted)
    for (const { failure, status } of decideCheck(check, gathered)) if (failure && status !== "ok") throw failure;
};
