// Documentation names only files that exist: every path of this repository in README, AGENTS and docs leads somewhere.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "../..");
const pages = ["README.md", "AGENTS.md", ...new Glob("docs/**/*.md").scanSync({ cwd: root })].filter(
  (page) => !page.startsWith("docs/reference/"),
);

/** What `make` leaves, which is not there in a clean checkout. */
const isMade = (path: string): boolean => /^(\.\/)?(build|\.tools|banger|node_modules)(\/|$)/.test(path);
const topLevel = /^(\.\/)?(src|test|docs|scripts|bench|guest|native|images|systemd|\.ci)(\/|$)/;

type Mention = { page: string; path: string };

/** Links, relative to their page, and code spans that begin like a path of ours, relative to the root or to src/. */
const mentionsOf = (page: string): Mention[] => {
  const text = readFileSync(join(root, page), "utf8").replace(/```[\s\S]*?```/g, "");
  const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, path = ""]) => ({
    page,
    path: join(dirname(page), path),
  }));
  const spans = [...text.matchAll(/`([^`\s]+\/[^`\s]*)`/g)].flatMap(([, path = ""]) =>
    topLevel.test(path) && !/[*…<>{}$]|NNNN/.test(path) ? [{ page, path }] : [],
  );
  return [...links, ...spans];
};

test("every file that documentation names is there", () => {
  const mentions = pages.flatMap(mentionsOf);
  expect(mentions.length).toBeGreaterThan(40);
  const missing = mentions.filter(({ path }) => !isMade(path) && !existsSync(join(root, path)));
  expect(missing.map(({ page, path }) => `${page}: ${path}`)).toEqual([]);
});
