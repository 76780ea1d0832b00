// Reads what `nft -j list ruleset` prints: which chains of others drop forwarded packets, and whether they let our bridge through.
import type { ForwardDrop } from "./facts.ts";

type Chain = {
  family: string;
  table: string;
  name: string;
  /** Set on chains that the kernel itself calls. */
  hook: string | null;
  policy: string | null;
};

/** A rule by what matters here: the interfaces it is about, and where it sends a packet. */
type Rule = {
  family: string;
  table: string;
  chain: string;
  interfaces: readonly string[];
  /** Whether it is about every packet. */
  isUnconditional: boolean;
  verdict: "accept" | "drop" | "return" | { jump: string; isGoto: boolean } | null;
};

export type Ruleset = { chains: readonly Chain[]; rules: readonly Rule[] };

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const text = (value: unknown): string => (typeof value === "string" ? value : "");

/** Interfaces named on the right side of a match: one, or a set of them. */
const interfacesOf = (statement: Json): string[] => {
  const match = statement.match;
  if (!isObject(match) || !isObject(match.left) || !isObject(match.left.meta)) return [];
  if (!/^[io]ifname$/.test(text(match.left.meta.key)) || match.op === "!=") return [];
  if (typeof match.right === "string") return [match.right];
  const set = isObject(match.right) ? match.right.set : null;
  return Array.isArray(set) ? set.filter((name): name is string => typeof name === "string") : [];
};

const verdictOf = (statements: readonly Json[]): Rule["verdict"] => {
  for (const statement of statements) {
    if ("accept" in statement) return "accept";
    if ("drop" in statement || "reject" in statement) return "drop";
    if ("return" in statement) return "return";
    const jump = statement.jump ?? statement.goto;
    if (isObject(jump)) return { jump: text(jump.target), isGoto: "goto" in statement };
    // Rules of iptables' own extensions show their verdict only in their words.
    const foreign = isObject(statement.xt) ? statement.xt : null;
    if (foreign && foreign.name === "REJECT") return "drop";
  }
  return null;
};

/** Whatever is not known to be for every packet, such as a limit, is taken for a condition. */
const isCondition = (statement: Json): boolean => {
  if (isObject(statement.xt)) return statement.xt.type !== "target";
  return !Object.keys(statement).every((key) => /^(counter|log|accept|drop|reject|return|jump|goto)$/.test(key));
};

/** Entries that it cannot read are left out. */
export const parseRuleset = (json: string): Ruleset => {
  const root: unknown = json.trim() === "" ? {} : JSON.parse(json);
  const entries = isObject(root) && Array.isArray(root.nftables) ? root.nftables.filter(isObject) : [];
  const chains = entries.flatMap(({ chain }) =>
    isObject(chain)
      ? [
          {
            family: text(chain.family),
            table: text(chain.table),
            name: text(chain.name),
            hook: typeof chain.hook === "string" ? chain.hook : null,
            policy: typeof chain.policy === "string" ? chain.policy : null,
          },
        ]
      : [],
  );
  const rules = entries.flatMap(({ rule }): Rule[] => {
    if (!isObject(rule) || !Array.isArray(rule.expr)) return [];
    const statements = rule.expr.filter(isObject);
    return [
      {
        family: text(rule.family),
        table: text(rule.table),
        chain: text(rule.chain),
        interfaces: statements.flatMap(interfacesOf),
        isUnconditional: !statements.some(isCondition),
        verdict: verdictOf(statements),
      },
    ];
  });
  return { chains, rules };
};

const ownerOf = (base: Chain, { chains }: Ruleset): ForwardDrop["owner"] => {
  const names = chains.filter(({ family, table }) => family === base.family && table === base.table);
  if (base.table === "firewalld") return "firewalld";
  if (names.some(({ name }) => name === "DOCKER-USER")) return "docker";
  return names.some(({ name }) => name.startsWith("ufw-")) ? "ufw" : "other";
};

const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : pattern === name;

/** Which packets come to a rule: all that are forwarded, those of our bridge, or others of which nothing is known. */
const ALL = 0;
const OURS = 1;
const SOME = 2;

/** Chains of others at the forward hook that drop by policy or by a rule for everything, without a rule before that accepts our bridge. */
export const findForwardDrops = ({ chains, rules }: Ruleset, bridge: string): ForwardDrop[] => {
  const keyOf = (family: string, table: string, chain: string): string => [family, table, chain].join(" ");
  const byChain = Map.groupBy(rules, ({ family, table, chain }) => keyOf(family, table, chain));

  const fateIn = (base: Chain): "accept" | "drop" | null => {
    // A verdict ends the walk, so that a chain that was looked at has none; chains may jump to each other in any number of ways.
    const seen = new Set<string>();
    const walk = (chain: string, reach: number): "accept" | "drop" | null => {
      const key = keyOf(base.family, base.table, chain);
      if (seen.has(`${key} ${reach}`)) return null;
      seen.add(`${key} ${reach}`);
      for (const { verdict, interfaces, isUnconditional } of byChain.get(key) ?? []) {
        if (verdict === null) continue;
        const own = isUnconditional ? ALL : interfaces.some((name) => matches(name, bridge)) ? OURS : SOME;
        const both = Math.max(own, reach);
        if (verdict === "accept" && (own === OURS || both <= OURS)) return "accept";
        if (verdict === "drop" && both === ALL) return "drop";
        const fate = typeof verdict === "object" ? walk(verdict.jump, both) : null;
        if (fate !== null) return fate;
        // Nothing comes to the rules after it.
        if (own === ALL && !(typeof verdict === "object" && !verdict.isGoto)) return null;
      }
      return null;
    };
    return walk(base.name, ALL);
  };

  return chains
    .filter(({ family, table, hook }) => hook === "forward" && /^(ip|inet)$/.test(family) && !table.startsWith("bgr-"))
    .filter((chain) => (fateIn(chain) ?? chain.policy) === "drop")
    .map((chain) => ({
      owner: ownerOf(chain, { chains, rules }),
      family: chain.family,
      table: chain.table,
      chain: chain.name,
    }));
};
