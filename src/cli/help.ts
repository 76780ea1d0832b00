// Help: the overview that `banger` alone prints, the topics, and the way to each command's own help.
import { EXIT, fail } from "../spec/errors.ts";
import { commands, groups } from "./command-table.ts";
import { exitCodes, renderExitCodes } from "./exit-codes.ts";
import { printJson } from "./run-method.ts";
import type { Invocation, Session } from "./session.ts";
import { wrapRows } from "./wrap.ts";

const everyday: readonly (readonly [string, string])[] = [
  ["banger create [NAME]", "make a VM and start it"],
  ["banger ssh [VM] [COMMAND...]", "a shell in it, or one command"],
  ["banger ls", "all VMs and where they are reached"],
  ["banger stop VM...", "shut VMs down; their disks stay"],
  ["banger start VM...", "and start them again"],
  ["banger rm VM...", "delete VMs with their disks"],
  ["banger logs VM", "what a VM wrote on its console"],
];

const environment: readonly (readonly [string, string])[] = [
  ["XDG_CONFIG_HOME", "holds banger/config.toml (default: ~/.config)"],
  ["XDG_DATA_HOME", "holds disks, images and keys, in banger/ (default: ~/.local/share)"],
  ["XDG_STATE_HOME", "holds database, journal and logs, in banger/ (default: ~/.local/state)"],
  ["XDG_CACHE_HOME", "holds what was found out about this host, in banger/ (default: ~/.cache)"],
  ["XDG_RUNTIME_DIR", "holds sockets, in banger/"],
  ["BANGER_RUNTIME_DIR", "where the runtime bundle is (banger bundle path)"],
  ["BANGER_SECTION_KEY", "a setting over the file's, for example BANGER_VM_MEMORY=8G"],
  ["NO_COLOR, FORCE_COLOR", "no colours, or colours also where output is no terminal"],
];

/** In the middle of a line a sentence begins small; a name that is written in capitals does not. */
const uncapital = (text: string): string => (/^[A-Z][a-z]/.test(text) ? text[0]?.toLowerCase() + text.slice(1) : text);

/** What `banger vm` says. */
export const renderGroup = (group: string): string => {
  const members = commands
    .filter(({ path }) => path[0] === group && path.length === 2)
    .map(({ path, summary }): [string, string] => [`banger ${path.join(" ")}`, uncapital(summary)]);
  return `${groups[group]}\n\n${wrapRows(members)}\nEach explains itself with --help, and prints JSON with --json.\n`;
};

/** What one types first. */
export const renderOverview = (): string => {
  const grouped = Object.entries(groups).map(([group, brief]): [string, string] => [
    `banger ${group}`,
    uncapital(brief),
  ]);
  const others = commands
    .filter(({ path }) => path.length === 1)
    .map(({ path, summary }): [string, string] => [`banger ${path.join(" ")}`, uncapital(summary)]);
  return [
    "banger: persistent microVMs on your own computer\n",
    `Every day\n${wrapRows(everyday)}`,
    `All commands, by what they are about\n${wrapRows(grouped)}`,
    `Others\n${wrapRows(others)}`,
    "Each explains itself with --help, and prints JSON with --json.\nbanger help exit-codes and banger help environment say the rest.\n",
  ].join("\n");
};

const topics: Readonly<Record<string, { render: () => string; data: unknown }>> = {
  "exit-codes": { render: renderExitCodes, data: exitCodes },
  environment: {
    render: () => `What banger reads from the environment\n${wrapRows(environment)}`,
    data: Object.fromEntries(environment),
  },
};

/** `banger help vm create` is `banger vm create --help`; a topic is printed; nothing at all is the overview. */
export const runHelp = async (session: Session, { rest, isJson: isJsonFirst }: Invocation): Promise<number> => {
  const { terminal } = session;
  const words = rest.filter((one) => one !== "--json");
  const isJson = isJsonFirst || words.length < rest.length;
  const [word] = words;
  if (word === undefined) {
    if (isJson) printJson(session, commands);
    else terminal.out(renderOverview());
    return EXIT.ok;
  }
  const topic = topics[word];
  if (topic) {
    if (isJson) printJson(session, topic.data);
    else terminal.out(topic.render());
    return EXIT.ok;
  }
  if (words.some((one) => one.startsWith("-"))) {
    const found = fail("input.invalid", { issues: [{ path: "", message: "help is asked for with words alone" }] });
    throw Object.defineProperty(found, "fix", { value: "banger help vm create" });
  }
  const isMeant = (path: readonly string[]) => words.every((one, index) => path[index] === one);
  const meant = commands.filter(({ path, aliases }) => [path, ...aliases].some(isMeant));
  if (isJson && meant.length > 0) {
    printJson(session, meant);
    return EXIT.ok;
  }
  const { runCli } = await import("./run-cli.ts");
  return runCli(session, [...words, "--help"]);
};
