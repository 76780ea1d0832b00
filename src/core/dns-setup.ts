// Decides how this host's resolver is told of the VMs' zone: which resolver it has, the files to write, the commands around them.

export const resolverKinds = ["resolved-delegate", "resolved-link", "networkmanager", "dnsmasq"] as const;
export type ResolverKind = (typeof resolverKinds)[number];

/** What tells the resolvers apart, as it was found. */
export type ResolverFacts = {
  /** /etc/resolv.conf, "" where there is none. */
  resolvConf: string;
  /** Whether systemd-resolved runs: its socket is there. */
  hasResolved: boolean;
  /** Whether /etc/nsswitch.conf asks systemd-resolved for hosts, whatever resolv.conf says. */
  hasNssResolve: boolean;
  /** `systemctl --version`; null where there is none. */
  systemdVersion: number | null;
  /** `dns=` of NetworkManager's configuration, the last that counts; null where there is none. */
  networkManagerDns: string | null;
  /** Whether /etc/dnsmasq.d is there, which Debian's dnsmasq reads. */
  hasDnsmasqDir: boolean;
};

/** systemd-resolved's stubs, by name and by the addresses of its two listeners. */
const isStub = (address: string): boolean => address === "127.0.0.53" || address === "127.0.0.54";

/** The first version of systemd that reads dns-delegate files. */
const DELEGATE_VERSION = 258;

/** Which of the resolvers that can be told about one zone alone this host asks; null when it is none of them. */
export const decideResolver = (facts: ResolverFacts): ResolverKind | null => {
  const nameservers = [...facts.resolvConf.matchAll(/^nameserver\s+(\S+)/gm)].map(([, address]) => address ?? "");
  if (facts.hasResolved && (facts.hasNssResolve || nameservers.some(isStub))) {
    return (facts.systemdVersion ?? 0) >= DELEGATE_VERSION ? "resolved-delegate" : "resolved-link";
  }
  const isLocal = nameservers.some((address) => address.startsWith("127.") || address === "::1");
  if (isLocal && facts.networkManagerDns === "dnsmasq") return "networkmanager";
  return isLocal && facts.hasDnsmasqDir ? "dnsmasq" : null;
};

export type SetupFile = { path: string; content: string };
/** A command with absolute or well-known program; `needs`: run only while that file is there. */
export type SetupCommand = { argv: readonly string[]; needs?: string };

export type DnsSetup = {
  kind: ResolverKind;
  /** Without dots at its ends. */
  zone: string;
  /** `127.0.0.1:42069`. */
  server: string;
  files: readonly SetupFile[];
  /** After the files were written. */
  apply: readonly SetupCommand[];
  /** Before they are removed. */
  beforeUndo: readonly SetupCommand[];
  /** After they were removed. */
  afterUndo: readonly SetupCommand[];
};

const MARK = "# Made by `banger dns setup`; `banger dns undo` takes it back.";
const UNIT = "banger-dns.service";
export const SETUP_LINK = "banger-dns";
/** systemd-resolved asks no server of a link without a routable address; a /32 of the link-local range leads nowhere. */
export const SETUP_LINK_ADDRESS = "169.254.53.53/32";

const text = (lines: readonly string[]): string => `${[MARK, ...lines].join("\n")}\n`;

export const planDnsSetup = (options: { kind: ResolverKind; zone: string; server: string }): DnsSetup => ({
  ...options,
  ...plans[options.kind](options),
});

type Plan = Pick<DnsSetup, "files" | "apply" | "beforeUndo" | "afterUndo">;

const plans: Record<ResolverKind, (options: { zone: string; server: string }) => Plan> = {
  // systemd.dns-delegate(5): a scope of its own, for the domain alone. The second file keeps DNSSEC from calling a private zone bogus.
  "resolved-delegate": ({ zone, server }) => {
    const restart = { argv: ["systemctl", "try-restart", "systemd-resolved.service"] };
    return {
      files: [
        {
          path: "/etc/systemd/dns-delegate.d/banger.dns-delegate",
          content: text(["[Delegate]", `DNS=${server}`, `Domains=~${zone}`, "DefaultRoute=no"]),
        },
        { path: "/etc/dnssec-trust-anchors.d/banger.negative", content: `; ${MARK.slice(2)}\n${zone}\n` },
      ],
      apply: [restart],
      beforeUndo: [],
      afterUndo: [restart],
    };
  },
  // A server in resolved.conf would be asked for every name: the global scope always is a default route. A link of its own is not.
  "resolved-link": ({ zone, server }) => ({
    files: [{ path: `/etc/systemd/system/${UNIT}`, content: renderUnit({ zone, server }) }],
    apply: [{ argv: ["systemctl", "daemon-reload"] }, { argv: ["systemctl", "enable", "--now", UNIT] }],
    beforeUndo: [{ argv: ["systemctl", "disable", "--now", UNIT], needs: `/etc/systemd/system/${UNIT}` }],
    afterUndo: [{ argv: ["systemctl", "daemon-reload"] }],
  }),
  networkmanager: (options) => {
    const reload = { argv: ["nmcli", "general", "reload", "dns-full"] };
    return {
      files: [{ path: "/etc/NetworkManager/dnsmasq.d/banger.conf", content: renderDnsmasq(options) }],
      apply: [reload],
      beforeUndo: [],
      afterUndo: [reload],
    };
  },
  dnsmasq: (options) => {
    const restart = { argv: ["systemctl", "restart", "dnsmasq.service"] };
    return {
      files: [{ path: "/etc/dnsmasq.d/banger.conf", content: renderDnsmasq(options) }],
      apply: [restart],
      beforeUndo: [],
      afterUndo: [restart],
    };
  },
};

/** dnsmasq(8): `server=/domain/address#port`; names that lead to private addresses are dropped under stop-dns-rebind unless told. */
const renderDnsmasq = ({ zone, server }: { zone: string; server: string }): string => {
  const at = server.lastIndexOf(":");
  const address = server.slice(0, at).replace(/^\[|\]$/g, "");
  return text([`server=/${zone}/${address}#${server.slice(at + 1)}`, `rebind-domain-ok=/${zone}/`]);
};

/** Part of systemd-resolved: started with it, and again when it was restarted, so that it holds after every boot. */
const renderUnit = ({ zone, server }: { zone: string; server: string }): string =>
  text([
    "[Unit]",
    `Description=Tell systemd-resolved where names below ${zone} are answered`,
    "After=systemd-resolved.service",
    "PartOf=systemd-resolved.service",
    "",
    "[Service]",
    "Type=oneshot",
    "RemainAfterExit=yes",
    `ExecStart=-ip link add ${SETUP_LINK} type dummy`,
    `ExecStart=ip address replace ${SETUP_LINK_ADDRESS} dev ${SETUP_LINK}`,
    `ExecStart=ip link set ${SETUP_LINK} up`,
    ...[`dns ${SETUP_LINK} ${server}`, `domain ${SETUP_LINK} ~${zone}`, `default-route ${SETUP_LINK} no`].map(
      (words) => `ExecStart=resolvectl ${words}`,
    ),
    ...["dnssec", "dnsovertls", "llmnr", "mdns"].map((what) => `ExecStart=resolvectl ${what} ${SETUP_LINK} no`),
    `ExecStop=-ip link delete ${SETUP_LINK}`,
    "",
    "[Install]",
    "WantedBy=systemd-resolved.service multi-user.target",
  ]);

/** Where it is written, readable for everyone: names are said instead of addresses where a setup is done. */
export const DNS_JOURNAL = "/var/lib/banger/dns.json";

/** What a setup left behind, for the one that comes after it. Written before anything else is. */
export type DnsJournal = {
  version: 1;
  state: "setting-up" | "done" | "undoing";
  setup: DnsSetup;
  /** What was at each path before; null: nothing. */
  before: Readonly<Record<string, string | null>>;
  /** Directories that had to be made, the outermost first. */
  madeDirs: readonly string[];
};

/** Null for what is no journal that this version can read. */
export const parseDnsJournal = (textOfFile: string): DnsJournal | null => {
  try {
    const value = JSON.parse(textOfFile) as DnsJournal;
    const isWhole =
      value.version === 1 &&
      Array.isArray(value.setup?.files) &&
      Array.isArray(value.madeDirs) &&
      value.before !== null;
    return isWhole && ["setting-up", "done", "undoing"].includes(value.state) ? value : null;
  } catch {
    return null;
  }
};

/** Whether programs of this host are led to a name server: the setup is done, and is about this zone and place. */
export const isWiredTo = (
  journal: DnsJournal | null,
  server: { zone: string; address: string; port: number | null },
): boolean =>
  journal?.state === "done" &&
  journal.setup.zone === server.zone &&
  journal.setup.server === spellServer(server.address, server.port ?? 0);

/** An IPv6 address is told from its port by brackets. */
export const spellServer = (address: string, port: number): string =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`;
