// Reads what `bun test --reporter=junit` wrote: how many tests there were, and which were skipped.

export type FileCounts = { passed: number; failed: number; skipped: readonly string[] };

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
const unescapeXml = (text: string): string =>
  text
    .replace(/&#x([0-9a-fA-F]+);|&#([0-9]+);/g, (_, hex?: string, decimal?: string) =>
      String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal)),
    )
    .replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => entities[name] ?? "");

const attribute = (tag: string, name: string): string =>
  unescapeXml(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? "");

/** Every `testcase` is one test; its body says how it ended, and no body means that it passed. */
export const parseJunit = (xml: string): FileCounts => {
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const [, tag = "", body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    if (/<(failure|error)\b/.test(body)) failed += 1;
    else if (/<skipped\b/.test(body)) {
      const scope = attribute(tag, "classname");
      const name = attribute(tag, "name");
      // Hooks of a group that is skipped are listed without a name; they are no tests.
      if (name === "(unnamed)") continue;
      skipped.push(scope === "" || scope === name ? name : `${scope} > ${name}`);
    } else passed += 1;
  }
  return { passed, failed, skipped };
};
