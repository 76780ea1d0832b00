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
  verdict: "accept" | "drop" | { jump: string } | null;
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
    const jump = isObject(statement.jump) ? statement.jump : isObject(statement.goto) ? statement.goto : null;
    if (jump) return { jump: text(jump.target) };
    // Rules of iptables' own extensions show their verdict only in their words.
    const foreign = isObject(statement.xt) ? statement.xt : null;
    if (foreign && foreign.name === "REJECT") return "drop";
  }
  return null;
};

const isCondition = (statement: Json): boolean => "match" in statement || "vmap" in statement || "xt" in statement;

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

/** Chains of others at the forward hook that drop by policy or at their end, without a rule before that accepts our bridge. */
export const findForwardDrops = (ruleset: Ruleset, bridge: string): ForwardDrop[] => {
  const rulesOf = (chain: Pick<Chain, "family" | "table" | "name">) =>
    ruleset.rules.filter(
      (rule) => rule.family === chain.family && rule.table === chain.table && rule.chain === chain.name,
    );
  const accepts = (chain: Pick<Chain, "family" | "table" | "name">, seen: ReadonlySet<string>): boolean =>
    rulesOf(chain).some(({ verdict, interfaces, family, table }) => {
      if (verdict === "accept") return interfaces.some((name) => matches(name, bridge));
      if (verdict === null || verdict === "drop" || seen.has(verdict.jump)) return false;
      return accepts({ family, table, name: verdict.jump }, new Set([...seen, verdict.jump]));
    });
  return ruleset.chains
    .filter(({ family, table, hook }) => hook === "forward" && /^(ip|inet)$/.test(family) && !table.startsWith("bgr-"))
    .filter((chain) => {
      const isDropping =
        chain.policy === "drop" ||
        rulesOf(chain).some(({ verdict, isUnconditional }) => verdict === "drop" && isUnconditional);
      return isDropping && !accepts(chain, new Set());
    })
    .map((chain) => ({ owner: ownerOf(chain, ruleset), family: chain.family, table: chain.table, chain: chain.name }));
};
