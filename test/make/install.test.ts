// `make install`, `make uninstall` and `make deb`: everything in its place, nothing anywhere else, and nothing left afterwards.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { roff } from "../../scripts/man.ts";
import { renderSudoers } from "../../src/host/setup.ts";

const root = join(import.meta.dir, "../..");
let directory: string;
let runtime: string;

const run = (argv: readonly string[], env: Record<string, string> = {}) => {
  const done = Bun.spawnSync([...argv], {
    cwd: root,
    env: { ...process.env, ...env, HOME: directory },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  return { code: done.exitCode, out: done.stdout.toString(), err: done.stderr.toString() };
};

const must = (argv: readonly string[], env: Record<string, string> = {}): string => {
  const { code, out, err } = run(argv, env);
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}: ${err || out}`);
  return out;
};

const filesBelow = (path: string): string[] =>
  existsSync(path) ? readdirSync(path, { recursive: true, encoding: "utf8" }).sort() : [];

const install = (verb: "install" | "uninstall", destination: string, prefix = "/usr/local") =>
  run(["scripts/install.sh", verb], { DESTDIR: destination, PREFIX: prefix, BANGER_RUNTIME_DIR: runtime });

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-install-"));
  runtime = join(directory, "runtime");
  must([process.execPath, "scripts/bundle.ts", "--without-image"], {
    BANGER_RUNTIME_DIR: runtime,
    // Downloads are another test's: here is nobody to ask.
    BANGER_BUNDLE_FROM: join(directory, "nowhere"),
  });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe("an installation", () => {
  test("works from where it lies, has manual pages and completions, and is gone after make uninstall", () => {
    const target = join(directory, "root");
    mkdirSync(target);
    expect(install("install", target)).toMatchObject({ code: 0 });
    const base = join(target, "usr/local");
    const banger = join(base, "bin/banger");
    // An ordinary environment: nothing of this checkout is in it.
    const env = { BANGER_RUNTIME_DIR: "", XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory };
    expect(must([banger, "--version"], env)).toStartWith("banger ");
    const place = JSON.parse(must([banger, "bundle", "path", "--json"], env));
    expect(place).toMatchObject({ directory: join(base, "lib/banger"), kind: "installed" });
    const { artifacts } = JSON.parse(run([banger, "bundle", "verify", "--deep", "--json"], env).out) as {
      artifacts: { name: string; state: string; isOptional: boolean }[];
    };
    const wrong = artifacts.filter(({ state, isOptional }) => state !== "ok" && !isOptional).map(({ name }) => name);
    expect(wrong).toEqual(["firecracker"]);
    for (const name of ["bangerd", "banger-root"]) expect(statSync(join(base, "bin", name)).isFile()).toBe(true);

    expect(readFileSync(join(base, "share/bash-completion/completions/banger"), "utf8")).toContain(
      "complete -F _banger",
    );
    expect(readFileSync(join(base, "share/zsh/site-functions/_banger"), "utf8")).toStartWith("#compdef banger");
    expect(existsSync(join(base, "share/fish/vendor_completions.d/banger.fish"))).toBe(true);
    const unit = readFileSync(join(base, "lib/systemd/user/bangerd.service"), "utf8");
    expect(unit).toContain("ExecStart=/usr/local/bin/bangerd\n");
    const sudoers = readFileSync(join(base, "share/doc/banger/sudoers.example"), "utf8");
    expect(sudoers).toBe(renderSudoers({ user: "USER", uid: 1000 }));
    const page = readFileSync(join(base, "share/man/man1/banger-vm-create.1"), "utf8");
    expect(page).toContain(".TH BANGER\\-VM\\-CREATE 1");
    expect(page).toContain("\\-\\-memory SIZE");

    // Again is the same again, and what is not ours stays.
    const before = filesBelow(target);
    expect(install("install", target)).toMatchObject({ code: 0 });
    expect(filesBelow(target)).toEqual(before);
    writeFileSync(join(base, "bin/other"), "somebody else's");
    expect(install("uninstall", target)).toMatchObject({ code: 0 });
    expect(filesBelow(target)).toEqual(["usr", "usr/local", "usr/local/bin", "usr/local/bin/other"]);
    rmSync(join(base, "bin/other"));
  });

  test("into directories that were there leaves them there", () => {
    const target = join(directory, "existing");
    mkdirSync(join(target, "opt/bin"), { recursive: true });
    mkdirSync(join(target, "opt/lib"), { recursive: true });
    writeFileSync(join(target, "opt/lib/keep"), "");
    expect(install("install", target, "/opt")).toMatchObject({ code: 0 });
    expect(install("uninstall", target, "/opt")).toMatchObject({ code: 0 });
    expect(filesBelow(target)).toEqual(["opt", "opt/bin", "opt/lib", "opt/lib/keep"]);
  });

  test("every page has a line in the page of banger, and none begins a line with a request by chance", () => {
    const man = join(directory, "man");
    must([process.execPath, "scripts/man.ts", man]);
    const pages = readdirSync(man);
    expect(pages.length).toBeGreaterThan(30);
    const overview = readFileSync(join(man, "banger.1"), "utf8").replaceAll("\\-", "-");
    const requests = /^\.(TH|SH|SS|TP|PP|B|I|BR|\\")( |$)/;
    for (const page of pages) {
      if (page !== "banger.1") expect(overview).toContain(`.BR ${page.replace(/\.1$/, "")} (1)`);
      const odd = readFileSync(join(man, page), "utf8")
        .split("\n")
        .filter((line) => /^[.']/.test(line) && !requests.test(line));
      expect({ page, odd }).toEqual({ page, odd: [] });
    }
  });

  const groff = Bun.which("groff");
  test.skipIf(groff === null)(
    "a line of a page can be copied to a shell (skipped where groff is not installed)",
    () => {
      const line = `sh -c 'cat >"notes"' ~/src \`id\` a^b\\n .x`;
      // Without macros, where distributions mend some of this; for the dash those of manual pages do it everywhere.
      const child = Bun.spawnSync([groff ?? "", "-Tutf8"], { stdin: Buffer.from(`.B\n${roff(line)}\n`) });
      expect(child.stdout.toString().trim().replaceAll("\u2212", "-")).toBe(line);
      expect(roff(".TH is text\n'and this too")).toBe("\\&.TH is text\n\\(aqand this too");
    },
  );

  test("without a bundle says what is missing, where it was looked for and what mends it", () => {
    const empty = join(directory, "empty");
    mkdirSync(empty);
    const { code, err } = run(["scripts/install.sh", "install"], {
      ...{ DESTDIR: join(directory, "never"), PREFIX: "/usr", BANGER_RUNTIME_DIR: empty },
    });
    expect(code).toBe(1);
    expect(err).toBe(`error: shim is missing: it was looked for in ${empty}.\n  try: make bundle\n`);
    expect(existsSync(join(directory, "never"))).toBe(false);
  });
});

test("the Debian package installs, works, and purges to nothing", () => {
  if (Bun.which("dpkg-deb") === null || !Bun.spawnSync(["unshare", "--user", "--map-root-user", "true"]).success) {
    console.log("skipped: this host has no dpkg-deb, or lets users have no user namespace");
    return;
  }
  const deb = must(["scripts/deb.sh", directory], {
    BANGER_RUNTIME_DIR: runtime,
    BANGER_DEB_COMPRESSION: "none",
  }).trim();
  expect(must(["dpkg-deb", "--field", deb, "Package", "Depends"])).toContain("nftables");
  expect(must(["dpkg-deb", "--contents", deb])).not.toMatch(/\.\/(etc|var|home|usr\/local)\//);
  const target = join(directory, "deb-root");
  for (const path of ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"])
    mkdirSync(join(target, path), { recursive: true });
  writeFileSync(join(target, "var/lib/dpkg/status"), "");
  const dpkg = (...words: string[]) =>
    must([
      ...["unshare", "--user", "--map-root-user", "dpkg", `--root=${target}`, "--force-depends", "--force-bad-path"],
      ...["--log=/dev/null", ...words],
    ]);
  dpkg("--install", deb);
  const env = { BANGER_RUNTIME_DIR: "", XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory };
  const banger = join(target, "usr/bin/banger");
  expect(JSON.parse(must([banger, "bundle", "path", "--json"], env)).directory).toBe(join(target, "usr/lib/banger"));
  expect(existsSync(join(target, "usr/share/man/man1/banger.1.gz"))).toBe(true);
  dpkg("--purge", "banger");
  expect(filesBelow(join(target, "usr"))).toEqual([]);
});
