// What a check of the host is: the facts it needs, why the need matters, and the pure decision how it stands.
import type { BangerError } from "../spec/errors.ts";
import type { DoctorFacts, FactName } from "./facts.ts";

export type Status = "ok" | "warning" | "error" | "skipped";

/** How one need stands; what is shown of it, and what an operation that meets it fails with. */
export type Finding = {
  status: Status;
  summary: string;
  fix: string | null;
  /** What an operation that needs this is refused with: the very same words. */
  failure: BangerError | null;
  /** Commands that mend it and harm nothing. */
  repairs: readonly (readonly string[])[];
  /** Set where one check speaks of several things. */
  id?: string;
};

export type Check<Needs extends FactName = FactName> = {
  id: string;
  /** What needs it, for people. */
  why: string;
  needs: readonly Needs[];
  /** Pure. */
  decide: (facts: Pick<DoctorFacts, Needs>) => Finding | Finding[];
};

/** Types a check by the facts it names; what it decides on is nothing else. */
export const check = <const Needs extends FactName>(definition: Check<Needs>): Check => definition as unknown as Check;

const bare = { fix: null, failure: null, repairs: [] } as const;

export const ok = (summary: string): Finding => ({ status: "ok", summary, ...bare });
export const skipped = (summary: string): Finding => ({ status: "skipped", summary, ...bare });

const spellWord = (word: string): string =>
  /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Commands as one line that can be typed. */
export const spellCommands = (commands: readonly (readonly string[])[]): string =>
  commands.map((argv) => argv.map(spellWord).join(" ")).join(" && ");

export type Remedy = {
  /** Harmless commands that mend it; their line is the fix unless another is given. */
  repairs?: readonly (readonly string[])[];
  fix?: string;
  /** Goes behind the line, as a comment. */
  remark?: string;
};

const bad =
  (status: "warning" | "error") =>
  (what: string | BangerError, remedy: Remedy = {}): Finding => {
    const { repairs = [], remark } = remedy;
    const own = typeof what === "string" ? null : what.fix;
    const line = remedy.fix ?? own ?? (repairs.length > 0 ? spellCommands(repairs) : null);
    return {
      status,
      summary: typeof what === "string" ? what : what.message,
      fix: line === null || remark === undefined ? line : `${line}   # ${remark}`,
      failure: typeof what === "string" ? null : what,
      repairs,
    };
  };

/** Things work, but worse than they could, or only some of them. */
export const warning = bad("warning");
/** VMs cannot be used before this is mended. */
export const error = bad("error");
