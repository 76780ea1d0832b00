// Everything the terminal UI knows and shows: one value, changed by update.ts alone and read by the views.
import type { ErrorReport } from "../spec/errors.ts";
import type { Event } from "../spec/events.ts";
import type { Image } from "../spec/image.ts";
import type { MethodName, Output } from "../spec/rpc/contract.ts";
import type { Vm } from "../spec/vm.ts";
import type { Form } from "./form.ts";

export type VmStats = Output<"vm.stats">;
export type HostCheck = Output<"system.doctor">["checks"][number];
export type Waterfall = Output<"vm.why-slow">;

export type Size = { readonly columns: number; readonly rows: number };

/** How it stands with the daemon. `lost`: it went away, and we look for it again and again. */
export type Link =
  | { readonly state: "connecting" }
  | { readonly state: "live"; readonly version: string }
  | { readonly state: "lost"; readonly sinceMs: number; readonly detail: string };

/** Of this host, read by ourselves: CPU as shares, memory and the disk of the VMs in MiB. */
export type HostUsage = {
  readonly cpus: number;
  readonly cpuShare: number;
  readonly memoryMiB: number;
  readonly memoryUsedMiB: number;
  readonly disk: { readonly totalMiB: number; readonly usedMiB: number } | null;
};

/** The step a VM is in the middle of. */
export type CurrentStep = { readonly step: string; readonly isUndo: boolean; readonly sinceMs: number };

/** Samples, oldest first: shares of what the VM was given. */
export type Usage = {
  readonly cpu: readonly number[];
  readonly memory: readonly number[];
  readonly cpuPercent: number | null;
  readonly memoryMiB: number | null;
};
export const SAMPLES_KEPT = 8;

/** A call that changes something and has not been answered. */
export type Operation = {
  readonly id: number;
  readonly method: MethodName;
  readonly verb: string;
  readonly subject: string;
  /** Leaving the program would cancel it. */
  readonly isCancelledByLeaving: boolean;
};

export const sortKeys = ["name", "state", "image", "address", "vcpus", "memory", "disk", "uptime", "cpu"] as const;
export type SortKey = (typeof sortKeys)[number];

export const detailTabs = ["overview", "start", "events", "console"] as const;
export type DetailTab = (typeof detailTabs)[number];

export const tabs = ["vms", "images", "host"] as const;
export type Tab = (typeof tabs)[number];

/** What people do to VMs that are there. */
export type Verb = "start" | "stop" | "restart" | "kill" | "delete";

/** The console of one VM, as it is followed. */
export type Log = {
  readonly vmId: string;
  readonly lines: readonly string[];
  readonly hasEnded: boolean;
};
export const LOG_LINES_KEPT = 5000;
export const EVENTS_KEPT = 400;

export type Overlay =
  | { readonly kind: "help"; readonly top: number }
  | { readonly kind: "confirm"; readonly verb: Verb; readonly ids: readonly string[] }
  | { readonly kind: "confirm-leaving" }
  | { readonly kind: "form"; readonly form: Form }
  | { readonly kind: "error"; readonly report: ErrorReport; readonly subject: string; readonly top: number }
  | {
      readonly kind: "logs";
      readonly vmId: string;
      readonly name: string;
      /** Lines between the end and what is shown; 0 follows. */
      readonly fromEnd: number;
      readonly query: string;
      readonly isTyping: boolean;
    };

export type Notice =
  | { readonly kind: "note"; readonly text: string; readonly atMs: number }
  | { readonly kind: "error"; readonly report: ErrorReport; readonly subject: string };

export type Model = {
  readonly size: Size;
  /** Milliseconds since the epoch, as of the last tick. */
  readonly nowMs: number;
  readonly link: Link;
  readonly instance: string;
  readonly host: HostUsage | null;
  /** Null until the daemon has told us. */
  readonly vms: ReadonlyMap<string, Vm> | null;
  readonly images: readonly Image[] | null;
  /** What the checks of this host found when they were last asked for, the worst first; null before that. */
  readonly checks: { readonly rows: readonly HostCheck[]; readonly atMs: number } | null;
  readonly isChecking: boolean;
  readonly steps: ReadonlyMap<string, CurrentStep>;
  readonly usage: ReadonlyMap<string, Usage>;
  readonly events: readonly Event[];
  readonly waterfall: { readonly key: string; readonly value: Waterfall | ErrorReport } | null;
  readonly log: Log | null;
  readonly operations: readonly Operation[];
  readonly nextOperation: number;

  readonly tab: Tab;
  /** The VM under the cursor, by id, so that it stays when rows move. */
  readonly cursor: string | null;
  /** First row shown. */
  readonly top: number;
  readonly imageCursor: number;
  readonly checkCursor: number;
  readonly filter: string;
  readonly isFiltering: boolean;
  readonly sort: { readonly key: SortKey; readonly isDescending: boolean };
  readonly marked: ReadonlySet<string>;
  readonly isDetailed: boolean;
  readonly detailTab: DetailTab;
  readonly overlay: Overlay | null;
  readonly notice: Notice | null;
  readonly hasMouse: boolean;
  /** The screen belongs to another program for now. */
  readonly isAway: boolean;
  /** Drawn with characters of ASCII alone. */
  readonly isPlain: boolean;
};

export const emptyModel = (given: { size: Size; nowMs: number; isPlain?: boolean }): Model => ({
  size: given.size,
  nowMs: given.nowMs,
  link: { state: "connecting" },
  instance: "",
  host: null,
  vms: null,
  images: null,
  checks: null,
  isChecking: false,
  steps: new Map(),
  usage: new Map(),
  events: [],
  waterfall: null,
  log: null,
  operations: [],
  nextOperation: 1,
  tab: "vms",
  cursor: null,
  top: 0,
  imageCursor: 0,
  checkCursor: 0,
  filter: "",
  isFiltering: false,
  sort: { key: "name", isDescending: false },
  marked: new Set(),
  isDetailed: false,
  detailTab: "overview",
  overlay: null,
  notice: null,
  hasMouse: true,
  isAway: false,
  isPlain: given.isPlain ?? false,
});
