// Programs of the user's own that are used instead of the bundle's: recorded by hash, so that a changed one is noticed.
import { access, constants, mkdir, readFile, realpath, rm, stat } from "node:fs/promises";
import { z } from "zod";
import { fail } from "../spec/errors.ts";
import { hashFile, writeDurably } from "./record.ts";

const OwnProgram = z.object({ path: z.string(), sha256: z.string(), version: z.string(), at: z.string() });
export type OwnProgram = z.infer<typeof OwnProgram>;

const ownPath = (dataDir: string, name: string): string => `${dataDir}/own/${name}.json`;

/** Null when there is none, or when what is written cannot be understood. */
export const readOwn = async (dataDir: string, name: string): Promise<OwnProgram | null> => {
  const text = await readFile(ownPath(dataDir, name), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    return OwnProgram.parse(JSON.parse(text));
  } catch {
    return null;
  }
};

export const forgetOwn = (dataDir: string, name: string): Promise<void> => rm(ownPath(dataDir, name), { force: true });

/** Errors: bundle.own_unusable. */
export const recordOwn = async (
  dataDir: string,
  name: string,
  given: { path: string; readVersion: (path: string) => Promise<string>; now: Date },
): Promise<OwnProgram> => {
  const refuse = (detail: string) => fail("bundle.own_unusable", { path: given.path, detail });
  if (!given.path.startsWith("/")) throw refuse("its path is not absolute");
  const path = await realpath(given.path).catch(() => null);
  const seen = path === null ? null : await stat(path).catch(() => null);
  if (path === null || !seen?.isFile()) throw refuse("there is no such file");
  const mayRun = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!mayRun) throw refuse("you may not run it");
  const sha256 = await hashFile(path);
  const version = /v?(\d+\.\d+\.\d+\S*)/.exec(await given.readVersion(path))?.[1];
  if (version === undefined) throw refuse("asked for its --version it names none");
  await mkdir(`${dataDir}/own`, { recursive: true, mode: 0o700 });
  const own = { path, sha256, version, at: given.now.toISOString() };
  await writeDurably(ownPath(dataDir, name), `${JSON.stringify(own, null, 2)}\n`);
  return own;
};
