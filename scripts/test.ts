// Runs every test that this machine can run, group by group, and sums up; the last line is "N passed, N failed, N skipped".
// usage: bun scripts/test.ts [fast|host|vm|lab | part of a path]...
import { writeSync } from "node:fs";
import { join } from "node:path";
import { findTestFiles, type Group, groupOf, groups } from "./test/groups.ts";
import { seeHome } from "./test/home.ts";
import { prepareTestImage } from "./test/image.ts";
import { makePlace, type Place } from "./test/place.ts";
import { type FileResult, killRunningFiles, runTestFile } from "./test/run-file.ts";
import { sweepInstances } from "./test/sweep.ts";

const root = join(import.meta.dir, "..");
const say = (line: string): void => void writeSync(1, `${line}\n`);

const wanted = process.argv.slice(2);
const isWanted = (file: string): boolean =>
  wanted.length === 0 || wanted.some((word) => word === groupOf(file) || (word.includes("/") && file.includes(word)));

/** Of a file with failures, what is not about the tests that passed. */
const withoutPasses = (output: string): string =>
  output
    .split("\n")
    .filter((line) => !line.startsWith("(pass) "))
    .join("\n")
    .trimEnd();

const report = (result: FileResult, isStreamed: boolean): void => {
  const counts = [`${result.passed} passed`];
  if (result.failed > 0) counts.push(`${result.failed} failed`);
  if (result.skipped.length > 0) counts.push(`${result.skipped.length} skipped`);
  if (result.failed > 0 && !isStreamed) say(withoutPasses(result.output));
  say(`${result.failed > 0 ? "FAIL" : "ok  "} ${result.file}: ${counts.join(", ")} (${result.seconds.toFixed(1)} s)`);
  if (result.problem) say(`     ${result.problem}`);
};

/** All files, `width` of them at a time. */
const runGroup = async (group: Group, files: readonly string[], env: Place["env"]): Promise<FileResult[]> => {
  const waiting = [...files];
  const results: FileResult[] = [];
  const worker = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runTestFile(file, {
        ...{ root, group, directory: place.directory },
        env: { ...env, ...seenAtHome(file) },
      });
      report(result, group.isStreamed);
      results.push(result);
    }
  };
  await Promise.all(Array.from({ length: group.width }, worker));
  return results;
};

/** What the guest tests find in their environment; the reason when there is no image to boot. */
const prepareGuests = async (env: Place["env"]): Promise<Place["env"] | string> => {
  try {
    return {
      ...env,
      BANGER_TEST_IMAGE_DIR: await prepareTestImage(root, env, say),
      // `make test` has installed what guests need, so that nothing excuses a test that does not run.
      BANGER_REQUIRE: env.BANGER_REQUIRE ?? "qemu",
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

const seenAtHome = await seeHome(process.env);
const place = makePlace(root, say);
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, () => {
    killRunningFiles();
    sweepInstances(root, say);
    place.remove();
    process.exit(code);
  });
}

const files = findTestFiles(root).filter(isWanted);
const results: FileResult[] = [];
const notRun: string[] = [];
let failedElsewhere = 0;
for (const group of groups) {
  const members = files.filter((file) => groupOf(file) === group.name);
  if (members.length === 0) continue;
  say(`\n== ${group.name}: ${group.what} (files: ${members.length})`);
  const env = group.hasGuests ? await prepareGuests(place.env) : place.env;
  if (typeof env === "string") {
    say(`FAIL the image of the guest tests: ${env}`);
    failedElsewhere += 1;
    notRun.push(...members.map((file) => `${file} (there is no image to boot)`));
    continue;
  }
  results.push(...(await runGroup(group, members, env)));
}
if (results.some(({ problem }) => problem !== null)) sweepInstances(root, say);
place.remove();

/** A group that is skipped as a whole is one line: its name says why. */
const groupSkips = ({ file, skipped }: FileResult): string[] => {
  const scopes = new Map<string, string[]>();
  for (const name of skipped) {
    const scope = name.includes(" > ") ? name.slice(0, name.lastIndexOf(" > ")) : "";
    scopes.set(scope, [...(scopes.get(scope) ?? []), name]);
  }
  return [...scopes].flatMap(([scope, names]) =>
    scope !== "" && names.length > 2
      ? [`${file}: ${scope} (${names.length} tests)`]
      : names.map((name) => `${file}: ${name}`),
  );
};

const skippedLines = [...results.flatMap(groupSkips), ...notRun];
const skippedCount = results.reduce((total, { skipped }) => total + skipped.length, 0) + notRun.length;
const failing = results.filter(({ failed }) => failed > 0);
const sum = (pick: (result: FileResult) => number): number =>
  results.reduce((total, result) => total + pick(result), 0);
if (skippedLines.length > 0) say(`\nskipped:\n${skippedLines.map((line) => `  ${line}`).join("\n")}`);
if (failing.length > 0) say(`\nfailed in:\n${failing.map(({ file }) => `  ${file}`).join("\n")}`);
const failed = sum((result) => result.failed) + failedElsewhere;
say(`\n${sum(({ passed }) => passed)} passed, ${failed} failed, ${skippedCount} skipped`);
process.exit(failed > 0 || results.length === 0 ? 1 : 0);
