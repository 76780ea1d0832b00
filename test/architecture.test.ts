// Holds the shape of the source: who may import whom, what may be done where, and the traps of the runtime as checks.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const root = join(import.meta.dir, "..");
const src = join(root, "src");

type Source = { path: string; text: string; lines: number };

const filesBelow = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });

const sources: Source[] = filesBelow(src)
  .filter((path) => path.endsWith(".ts") || path.endsWith(".tsx"))
  .map((path) => {
    const text = readFileSync(path, "utf8");
    return { path: relative(src, path), text, lines: text.split("\n").length - 1 };
  });

/** A text without comments, for rules about what code does. Strings stay: none of the rules' words stands in one by chance. */
const codeOf = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");

const folderOf = (path: string): string => (path.includes("/") ? (path.split("/")[0] ?? "") : path);

type Arrow = { from: string; to: string; isTypeOnly: boolean };

/** Whether an import statement brings nothing but types. */
const bringsTypesOnly = (clause: string): boolean => {
  if (/^(import|export)\s+type\b/.test(clause)) return true;
  const named = /^(?:import|export)\s*\{([\s\S]*)\}\s*$/.exec(clause.trim());
  if (!named) return false;
  const names = (named[1] ?? "").split(",").filter((name) => name.trim() !== "");
  return names.length > 0 && names.every((name) => /^\s*type\s/.test(name));
};

const arrowsOf = ({ path, text }: Source): Arrow[] => {
  const code = codeOf(text);
  const arrows: Arrow[] = [];
  for (const found of code.matchAll(/^((?:import|export)\b[^;"']*?)\s*from\s+"([^"]+)"/gm)) {
    arrows.push({ from: path, to: found[2] ?? "", isTypeOnly: bringsTypesOnly(found[1] ?? "") });
  }
  for (const found of code.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) {
    arrows.push({ from: path, to: found[1] ?? "", isTypeOnly: false });
  }
  for (const found of code.matchAll(/^import\s+"([^"]+)"/gm)) {
    arrows.push({ from: path, to: found[1] ?? "", isTypeOnly: false });
  }
  return arrows.map((arrow) =>
    arrow.to.startsWith(".") ? { ...arrow, to: relative(src, join(src, dirname(path), arrow.to)) } : arrow,
  );
};

const arrows = sources.flatMap(arrowsOf);
const isOurs = ({ to }: Arrow): boolean => /\.tsx?$/.test(to);

/** What a folder may import: folders, single files (`host/process.ts`), or types of a folder (`type host`). */
const features = ["net", "dns", "image", "bundle", "guest", "doctor"];
const allowed: Readonly<Record<string, readonly string[]>> = {
  spec: [],
  core: ["spec"],
  engine: ["spec"],
  host: ["spec", "core", "engine"],
  store: ["spec", "core", "engine"],
  // A driver's own files, and what others must know of one: its types.
  vmm: ["spec", "core", "engine", "type host"],
  ...Object.fromEntries(
    features.map((name) => [name, ["spec", "core", "engine", "type host", "type vmm", "type store"]]),
  ),
  daemon: ["spec", "core", "engine", "host", "store", "vmm", ...features],
  client: ["spec", "host/process.ts"],
  cli: ["spec", "client", "host/process.ts"],
  tui: ["spec", "client", "host/process.ts"],
  // What composition needs of the host: where the instance is, the helper's entry, and `banger setup`.
  "main.ts": [
    "spec",
    "daemon",
    "client",
    "cli",
    "tui",
    "host/instance.ts",
    "host/root-helper.ts",
    "host/process.ts",
    "host/setup.ts",
    "host/dns-setup-plan.ts",
    "host/root-launch.ts",
    "host/command.ts",
    // … and of `banger bundle`, which works without a daemon.
    "host/lock.ts",
    "bundle",
    "core/config.ts",
    "core/paths.ts",
  ],
};

/** Packages a folder may use; a folder that is not here may use any. */
const packages: Readonly<Record<string, readonly string[]>> = {
  spec: ["zod"],
  // Pure parsers: text in, values out.
  core: ["smol-toml", "parse-duration"],
  engine: [],
  client: [],
  cli: ["@stricli/core", "@clack/prompts"],
  tui: [],
};

const isAllowed = ({ from, to, isTypeOnly }: Arrow): boolean => {
  const [own, other] = [folderOf(from), folderOf(to)];
  if (own === other) return true;
  const rules = allowed[own] ?? [];
  return rules.includes(other) || rules.includes(to) || (isTypeOnly && rules.includes(`type ${other}`));
};

const spell = ({ from, to, isTypeOnly }: Arrow): string => `${from} → ${to}${isTypeOnly ? " (types)" : ""}`;

describe("who may import whom", () => {
  test("the scan finds the arrows there are", () => {
    expect(sources.length).toBeGreaterThan(50);
    expect(arrows.filter(isOurs).length).toBeGreaterThan(100);
    expect(arrows).toContainEqual({ from: "engine/step.ts", to: "spec/events.ts", isTypeOnly: true });
    expect(arrows).toContainEqual({ from: "main.ts", to: "daemon/main.ts", isTypeOnly: false });
  });

  test("no arrow goes where the table does not allow it", () => {
    expect(arrows.filter((arrow) => isOurs(arrow) && !isAllowed(arrow)).map(spell)).toEqual([]);
  });

  test("every folder has a rule, and every rule of a folder that exists is about one that exists", () => {
    const folders = new Set(sources.map(({ path }) => folderOf(path)));
    expect([...folders].filter((folder) => !(folder in allowed))).toEqual([]);
    // Folders that the plan has and the source does not have yet.
    const later = new Set<string>([]);
    expect(Object.keys(allowed).filter((folder) => !folders.has(folder) && !later.has(folder))).toEqual([]);
  });

  test("words and decisions use no package and nothing of the runtime but what is listed", () => {
    const foreign = arrows
      .filter((arrow) => !isOurs(arrow) && !(arrow.isTypeOnly && arrow.to === "zod"))
      .filter(({ from, to }) => {
        const known = packages[folderOf(from)];
        const isRuntime = to.startsWith("node:") || to.startsWith("bun:") || to === "bun";
        const mayUseRuntime = !["spec", "core", "engine"].includes(folderOf(from));
        return isRuntime ? !mayUseRuntime : known !== undefined && !known.includes(to);
      });
    expect(foreign.map(spell)).toEqual([]);
  });

  test("the API client in vmm could be published alone: it imports itself and zod", () => {
    const api = "vmm/firecracker/api/";
    const own = arrows.filter(({ from }) => from.startsWith(api));
    expect(own.length).toBeGreaterThan(5);
    expect(own.filter(({ to }) => !to.startsWith(api) && to !== "zod").map(spell)).toEqual([]);
  });

  test("the command line loads no schema library: not itself, and not through what it imports", () => {
    const byPath = new Map(sources.map(({ path }) => [path, arrows.filter(({ from }) => from === path)]));
    const reached = new Set<string>();
    const walk = (path: string): void => {
      if (reached.has(path)) return;
      reached.add(path);
      for (const arrow of byPath.get(path) ?? []) if (!arrow.isTypeOnly) walk(arrow.to);
    };
    for (const { path } of sources) if (/^(cli|client)\//.test(path)) walk(path);
    walk("host/instance.ts");
    expect([...reached].filter((path) => path === "zod" || path.startsWith("bun:ffi"))).toEqual([]);
    expect(reached.has("spec/errors.ts")).toBe(true);
  });
});

type Ban = {
  claim: string;
  pattern: RegExp;
  /** Where it is allowed: beginnings of paths. */
  except: readonly string[];
  /** Comments count too. */
  inComments?: boolean;
};

/** STACK §1i has the traps of the runtime; DESIGN §3 the rest. */
const bans: readonly Ban[] = [
  {
    claim: "programs are started in host alone",
    pattern: /\bBun\.(spawn|spawnSync|\$)|node:child_process|\bfrom "bun".*\$/,
    except: ["host/"],
  },
  { claim: "SQLite is opened in store alone", pattern: /bun:sqlite/, except: ["store/"] },
  {
    claim: "only the command line ends the process or prints",
    pattern: /\bprocess\.exit\(|\bconsole\.(log|error|warn|info|debug)\(/,
    except: ["cli/", "main.ts"],
  },
  {
    claim: "decisions know no clock, no chance and wait for nothing",
    pattern:
      /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(|\bMath\.random\(|\bcrypto\b|\bawait\b|\basync\b|\bsetTimeout\b/,
    except: [
      "cli/",
      "client/",
      "daemon/",
      "dns/",
      "engine/",
      "guest/",
      "host/",
      "image/",
      "net/",
      "store/",
      "vmm/",
      "spec/",
      "tui/",
      "bundle/",
      "doctor/",
      "main.ts",
    ],
  },
  {
    claim: "no VMM is named outside vmm, bundle, doctor and the one enum",
    pattern: /firecracker|qemu/i,
    except: ["vmm/", "bundle/", "doctor/", "spec/vm.ts", "spec/rpc/vm.ts", "cli/generated/", "cli/bundle-commands.ts"],
    inComments: true,
  },
  { claim: "failures have codes", pattern: /throw new Error\(/, except: [] },
  { claim: "nothing is exported by default", pattern: /^export default\b/m, except: [] },
  { claim: "streams keep backpressure (§1i.4)", pattern: /type:\s*"direct"/, except: [] },
  { claim: "a raw descriptor is no net.Socket (§1i.5)", pattern: /new\s+(net\.)?Socket\(\s*\{/, except: [] },
  {
    claim: "no server is asked to listen on a descriptor (§1i.2)",
    pattern: /\b(serve|listen)\(\s*\{\s*fd\b/,
    except: [],
  },
  {
    claim: "a timeout of one request is not asked of a server on a socket (§1i.6)",
    pattern: /\bserver\.timeout\(/,
    except: [],
  },
  {
    claim: "the terminal's streams are not touched on the way to an answer (§1i.7)",
    pattern: /\bprocess\.(stdout|stderr)\b/,
    // After a second of progress, and in a prompt, their cost is nobody's.
    except: ["cli/progress.ts", "cli/confirm.ts", "tui/"],
  },
  {
    claim: "nothing depends on a class's name, which the built executable shortens",
    pattern: /constructor\.name\b/,
    except: [],
  },
  { claim: "loggers use no worker (§1i.13)", pattern: /from "pino"/, except: [] },
];

describe("what may be done where", () => {
  for (const { claim, pattern, except, inComments } of bans) {
    test(claim, () => {
      const found = sources
        .filter(({ path }) => !except.some((beginning) => path.startsWith(beginning)))
        .flatMap(({ path, text }) =>
          (inComments ? text : codeOf(text))
            .split("\n")
            .filter((line) => pattern.test(line))
            .map((line) => `${path}: ${line.trim()}`),
        );
      expect(found).toEqual([]);
    });
  }

  test("every server on a unix socket lives without an idle timeout (§1i.6)", () => {
    const servers = sources.filter(({ text }) => /\bBun\.serve\(/.test(codeOf(text)));
    expect(servers.length).toBeGreaterThan(0);
    for (const { path, text } of servers)
      expect({ path, has: /idleTimeout:\s*0/.test(text) }).toEqual({ path, has: true });
  });
});

/** Files that are longer than a page can hold, and why. */
const longFiles: Readonly<Record<string, string>> = {
  "spec/errors.ts": "one catalogue of all failures, a table",
  "spec/rpc/vm.ts": "all methods on VMs, a table",
  "cli/generated/commands.ts": "generated data",
};

describe("files", () => {
  test("none is over 300 lines without a listed reason, and every listed one still is", () => {
    const long = sources.filter(({ lines }) => lines > 300).map(({ path }) => path);
    expect(long.filter((path) => !(path in longFiles))).toEqual([]);
    expect(Object.keys(longFiles).filter((path) => !long.includes(path))).toEqual([]);
  });

  test("each is named after a noun or a decision, in kebab-case", () => {
    const bad = sources.filter(
      ({ path }) =>
        !/^([a-z0-9-]+\/)*[a-z0-9-]+\.tsx?$/.test(path) || /(^|\/)(utils?|helpers?|common|misc)(\/|\.ts)/.test(path),
    );
    expect(bad.map(({ path }) => path)).toEqual([]);
  });

  test("each says in its first line what it owns or decides", () => {
    const silent = sources.filter(({ text }) => !/^\/\/ \S.*[.!)]$/m.test(text.split("\n")[0] ?? ""));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

describe("the build and the tools (STACK §1i)", () => {
  const read = (path: string): string => readFileSync(join(root, path), "utf8");

  test("the executable reads no .env and no bunfig.toml of the directory it is run in (1)", () => {
    const build = read("scripts/build.ts");
    expect(build).toContain("autoloadDotenv: false");
    expect(build).toContain("autoloadBunfig: false");
    expect(build).toContain('format: "esm"');
  });

  test("nothing strips the executable (3)", () => {
    const makers = ["Makefile", "scripts/build.ts"].filter((path) =>
      statSync(join(root, path), { throwIfNoEntry: false }),
    );
    for (const path of makers)
      expect({ path, strips: /^\s*strip\b|"strip"/m.test(read(path)) }).toEqual({ path, strips: false });
  });

  test("a missing dependency is an error and no download (8), and versions are exact (9)", () => {
    expect(read("bunfig.toml")).toMatch(/auto\s*=\s*"disable"/);
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...dependencies, ...devDependencies }).filter(([, version]) => !/^\d/.test(version));
    expect(loose).toEqual([]);
  });

  test("the compiler is one that tools can use (10), and none of the packages that bite is here (11, 12, 14, 16, 17)", () => {
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Record<
      string,
      Record<string, string>
    >;
    expect(devDependencies?.typescript).toMatch(/^6\./);
    const bad = ["pino", "vitest", "ora", "arktype", "@opentui/core", "bytes"];
    expect(bad.filter((name) => name in { ...dependencies, ...devDependencies })).toEqual([]);
  });
});
