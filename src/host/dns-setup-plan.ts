// What `banger dns setup` and `banger dns undo` would do on this host, as lines that a person can read first, and doing it.
import { type DnsJournal, type DnsSetup, decideResolver, planDnsSetup, type ResolverKind } from "../core/dns-setup.ts";
import { fail } from "../spec/errors.ts";
import { isSetUp, readDnsJournal, readResolverFacts, runDnsSetup, undoDnsSetup } from "./dns-setup.ts";

export type HostDnsPlan = { lines: readonly string[]; isDone: boolean; run: () => Promise<void> };

const resolverNames: Record<ResolverKind, string> = {
  "resolved-delegate": "systemd-resolved, which gets a routing domain of its own",
  "resolved-link": "systemd-resolved, which gets a routing domain on a link that leads nowhere",
  networkmanager: "NetworkManager's dnsmasq",
  dnsmasq: "dnsmasq",
};

const indented = (content: string): string => content.replace(/^(?=.)/gm, "      ").trimEnd();
const spell = (argv: readonly string[]): string => `run ${argv.join(" ")}`;

const undoLines = ({ setup, before }: DnsJournal): string[] => [
  ...setup.beforeUndo.map(({ argv }) => spell(argv)),
  ...setup.files.map(({ path }) =>
    (before[path] ?? null) === null ? `remove ${path}` : `write ${path} as it was before`,
  ),
  ...setup.afterUndo.map(({ argv }) => spell(argv)),
];

const setupLines = (setup: DnsSetup): string[] => [
  ...setup.files.map(({ path, content }) => `write ${path}:\n${indented(content)}`),
  ...setup.apply.map(({ argv }) => spell(argv)),
];

/** Errors: dns.no_resolver where this host's resolver cannot be told about one zone alone. */
export const planHostDns = async (wish: {
  isUndo: boolean;
  zone: string;
  server: string;
  kind: ResolverKind | null;
}): Promise<HostDnsPlan> => {
  const journal = await readDnsJournal();
  if (wish.isUndo) {
    return {
      lines: journal === null ? [] : undoLines(journal),
      isDone: journal === null,
      run: async () => void (await undoDnsSetup()),
    };
  }
  const kind = wish.kind ?? decideResolver(await readResolverFacts());
  if (kind === null) throw fail("dns.no_resolver", {});
  const setup = planDnsSetup({ kind, zone: wish.zone, server: wish.server });
  if (await isSetUp(setup)) return { lines: [], isDone: true, run: async () => {} };
  const earlier =
    journal === null
      ? []
      : [
          `take back ${journal.state === "done" ? "the earlier setup" : "a setup that was cut short"}:`,
          ...undoLines(journal),
        ];
  return {
    lines: [
      ...earlier,
      `for names below ${wish.zone}, tell ${resolverNames[kind]}, of ${wish.server}:`,
      ...setupLines(setup),
    ],
    isDone: false,
    run: () => runDnsSetup(setup),
  };
};
