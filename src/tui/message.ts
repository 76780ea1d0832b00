// What can happen to the terminal UI, and what it can ask for: the words between update.ts and the effects.
import type { ErrorReport } from "../spec/errors.ts";
import type { Event } from "../spec/events.ts";
import type { Image } from "../spec/image.ts";
import type { Input, MethodName } from "../spec/rpc/contract.ts";
import type { Vm } from "../spec/vm.ts";
import type { KeyPress } from "./keys.ts";
import type { HostCheck, HostUsage, Operation, Size, VmStats, Waterfall } from "./model.ts";

export type Message =
  | { type: "key"; key: KeyPress }
  | { type: "resized"; size: Size }
  | { type: "ticked"; nowMs: number }
  | { type: "host-read"; host: HostUsage }
  | { type: "connected"; version: string; instance: string }
  | { type: "lost"; detail: string; nowMs: number }
  | { type: "listed"; vms: readonly Vm[] }
  | { type: "shown"; vms: readonly Vm[] }
  | { type: "images-listed"; images: readonly Image[] }
  | { type: "host-checked"; rows: readonly HostCheck[] }
  | { type: "host-check-failed"; report: ErrorReport }
  /** `isHistory`: they came before the list that we have. */
  | { type: "events"; events: readonly Event[]; isHistory: boolean }
  | { type: "stats"; stats: readonly (readonly [id: string, stats: VmStats])[] }
  | { type: "waterfall"; key: string; value: Waterfall | ErrorReport }
  | { type: "log-opened"; vmId: string }
  | { type: "log-lines"; vmId: string; lines: readonly string[] }
  | { type: "log-ended"; vmId: string }
  | { type: "performed"; id: number }
  | { type: "failed"; id: number; report: ErrorReport }
  /** The screen is ours again. */
  | { type: "returned"; name: string; isShell: boolean }
  /** What is left in a VM whose shell was left, in a few words. */
  | { type: "left-behind"; name: string; summary: string }
  | { type: "problem"; subject: string; report: ErrorReport }
  | { type: "note"; text: string };

export type AnyCall = { [Name in MethodName]: { readonly method: Name; readonly input: Input<Name> } }[MethodName];

export type Effect =
  /** Does the calls one after the other until one fails. */
  | { kind: "perform"; operation: Operation; calls: readonly AnyCall[] }
  /** Gives the screen to `banger …` and takes it back. */
  | { kind: "hand-over"; words: readonly string[]; name: string }
  | { kind: "copy"; text: string }
  | { kind: "mouse"; isOn: boolean }
  | { kind: "check-host" }
  | { kind: "start-daemon" }
  | { kind: "leave" };

/** What the daemon is asked for as long as the model is as it is. */
export type Wants = {
  /** The VM whose console is followed; a console that ended is opened again when the key is another one. */
  readonly log: { readonly vmId: string; readonly key: string } | null;
  /** The VM whose last start is explained, with a mark that changes when there is a new one. */
  readonly waterfall: { readonly vmId: string; readonly key: string } | null;
  /** Running VMs whose use of the host is shown. */
  readonly stats: readonly string[];
  readonly images: boolean;
};
