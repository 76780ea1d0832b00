// Which key does what: the one table that the update, the help screen and the documentation read.

/** A key as the update sees it: its name, and the text it would enter. */
export type KeyPress = {
  readonly name: string;
  readonly text: string;
  /** Where the mouse was, counted from 0. */
  readonly at?: { readonly column: number; readonly row: number };
};

/** Where a key means something. */
export type Scope = "everywhere" | "vms" | "images" | "host" | "logs";

export type Binding = {
  readonly scope: Scope;
  readonly keys: readonly string[];
  readonly action: Action;
  readonly help: string;
};

const vms = "vms";
const host = "host";
const logs = "logs";
const everywhere = "everywhere";

export const bindings = [
  { scope: everywhere, keys: ["?"], action: "help", help: "show these keys" },
  { scope: everywhere, keys: ["tab"], action: "next-tab", help: "VMs, images, host" },
  { scope: everywhere, keys: ["1"], action: "show-vms", help: "VMs" },
  { scope: everywhere, keys: ["2"], action: "show-images", help: "images" },
  { scope: everywhere, keys: ["3"], action: "show-host", help: "this host: what banger needs of it" },
  { scope: everywhere, keys: ["up", "k"], action: "up", help: "up" },
  { scope: everywhere, keys: ["down", "j"], action: "down", help: "down" },
  { scope: everywhere, keys: ["pageup", "ctrl-u"], action: "page-up", help: "a page up" },
  { scope: everywhere, keys: ["pagedown", "ctrl-d"], action: "page-down", help: "a page down" },
  { scope: everywhere, keys: ["home", "g"], action: "first", help: "to the first" },
  { scope: everywhere, keys: ["end", "G"], action: "last", help: "to the last" },
  { scope: everywhere, keys: ["escape"], action: "back", help: "close, clear a message, a filter, marks" },
  { scope: everywhere, keys: ["!"], action: "error", help: "show the last error in full" },
  { scope: everywhere, keys: ["M"], action: "mouse", help: "mouse on and off (off lets the terminal select text)" },
  { scope: everywhere, keys: ["D"], action: "start-daemon", help: "start the daemon when it is away" },
  { scope: everywhere, keys: ["q", "ctrl-c"], action: "leave", help: "leave; VMs go on running" },
  { scope: vms, keys: ["enter"], action: "details", help: "details of the VM, and back" },
  { scope: vms, keys: ["left"], action: "previous-detail", help: "the details before" },
  { scope: vms, keys: ["right"], action: "next-detail", help: "the next details: overview, start, events, console" },
  { scope: vms, keys: ["/"], action: "filter", help: "filter by name, state, image, address, label" },
  { scope: vms, keys: ["o"], action: "sort", help: "sort by the next column" },
  { scope: vms, keys: ["O"], action: "reverse", help: "turn the order round" },
  { scope: vms, keys: ["space"], action: "mark", help: "mark; what follows is done to all marked" },
  { scope: vms, keys: ["a"], action: "mark-all", help: "mark all shown, or none" },
  { scope: vms, keys: ["c"], action: "create", help: "create a VM" },
  { scope: vms, keys: ["e"], action: "edit", help: "change its name, size or labels" },
  { scope: vms, keys: ["u"], action: "start", help: "start (up)" },
  { scope: vms, keys: ["d"], action: "stop", help: "stop (down)" },
  { scope: vms, keys: ["r"], action: "restart", help: "restart" },
  { scope: vms, keys: ["K"], action: "kill", help: "kill: end at once" },
  { scope: vms, keys: ["X", "delete"], action: "delete", help: "delete with its disk" },
  { scope: vms, keys: ["s"], action: "ssh", help: "open a shell in it" },
  { scope: vms, keys: ["t"], action: "console", help: "attach to its serial console; Ctrl-] comes back" },
  { scope: vms, keys: ["l"], action: "logs", help: "its console log, full screen" },
  { scope: vms, keys: ["y"], action: "copy", help: "copy its address" },
  { scope: host, keys: ["r", "enter"], action: "check-host", help: "check this host again" },
  { scope: host, keys: ["y"], action: "copy-fix", help: "copy what to type" },
  { scope: logs, keys: ["/"], action: "search", help: "search" },
  { scope: logs, keys: ["n"], action: "next-hit", help: "the hit before this, upwards" },
  { scope: logs, keys: ["N"], action: "previous-hit", help: "the hit after this, downwards" },
] as const satisfies readonly { scope: Scope; keys: readonly string[]; action: string; help: string }[];

export type Action = (typeof bindings)[number]["action"];

const byScope = new Map<string, Action>(
  bindings.flatMap(({ scope, keys, action }) => keys.map((key) => [`${scope} ${key}`, action] as const)),
);

/** What a key does there; null for nothing. */
export const actionOf = (scope: Scope, key: KeyPress): Action | null =>
  byScope.get(`${scope} ${key.name}`) ?? byScope.get(`${everywhere} ${key.name}`) ?? null;
