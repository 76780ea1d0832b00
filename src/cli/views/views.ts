// What a view is, and where that of each method is loaded from: a method without one does not compile.
import type { Output } from "../../spec/rpc/contract.ts";
import type { CommandMethod } from "../generated/commands.ts";
import type { Paint } from "../paint.ts";

export type ViewContext = {
  paint: Paint;
  /** Milliseconds since the epoch. */
  nowMs: number;
  isQuiet: boolean;
  isOutTty: boolean;
  /** What was asked, as it was typed. */
  input: Readonly<Record<string, unknown>>;
};

/** What goes to stdout; or that, and what is said beside it on stderr. */
export type Shown = string | { out: string; err: string };

export type View<Name extends CommandMethod> = (output: Output<Name>, context: ViewContext) => Shown;

export type ViewsOf<Names extends CommandMethod> = { [Name in Names]: View<Name> };

type Noun<Prefix extends string> = Extract<CommandMethod, `${Prefix}.${string}`>;
export type VmMethod = Noun<"vm">;
export type ImageMethod = Noun<"image">;
export type DnsMethod = Noun<"dns">;
export type SystemMethod = Exclude<CommandMethod, VmMethod | ImageMethod | DnsMethod>;

/** The view of a method; the files are loaded one by one, since a command needs one of them. */
export const loadView = async <Name extends CommandMethod>(name: Name): Promise<View<Name>> => {
  const loaded: Partial<ViewsOf<CommandMethod>> = name.startsWith("vm.")
    ? (await import("./vm.ts")).vmViews
    : name.startsWith("image.")
      ? (await import("./image.ts")).imageViews
      : name.startsWith("dns.")
        ? (await import("./dns.ts")).dnsViews
        : (await import("./system.ts")).systemViews;
  return loaded[name] as View<Name>;
};
