// The user's own scripts that go into the making of an image: read once, hashed, and run as they were read.
import { createHash } from "node:crypto";
import type { FilePort } from "../host/host.ts";
import { fail } from "../spec/errors.ts";

/** `bytes` can be executed: what names no interpreter is for sh. `sha256` is of the file as the user has it. */
export type UserScript = { path: string; name: string; sha256: string; bytes: Uint8Array };

const SHEBANG = "#!";

/** Errors: host.file_failed for one that is not there. */
export const readScripts = (files: Pick<FilePort, "readBytes">, paths: readonly string[]): Promise<UserScript[]> =>
  Promise.all(
    paths.map(async (path) => {
      const bytes = await files.readBytes(path);
      if (bytes === null) throw fail("host.file_failed", { path, operation: "read", detail: "there is no such file" });
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const name = path.slice(path.lastIndexOf("/") + 1).replace(/[^A-Za-z0-9._-]/g, "_");
      const isExecutable = new TextDecoder().decode(bytes.subarray(0, SHEBANG.length)) === SHEBANG;
      return { path, name, sha256, bytes: isExecutable ? bytes : Buffer.concat([Buffer.from("#!/bin/sh\n"), bytes]) };
    }),
  );

/** As an image's record keeps it. */
export const provisionedOf = (scripts: readonly UserScript[]): { script: string; sha256: string }[] =>
  scripts.map(({ name, sha256 }) => ({ script: name, sha256 }));
