// The manifest of the runtime bundle: which files belong into it, where each comes from, and the hash that makes it the right one.
import { parse as parseToml, TomlError } from "smol-toml";
import { z } from "zod";
import { fail } from "../spec/errors.ts";

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "a SHA-256 has 64 hexadecimal digits");

/** Relative, and never out of the bundle again. */
const InnerPath = z
  .string()
  .regex(/^(?!\/)(?!.*(^|\/)\.\.?(\/|$))[\w.+@/-]+$/, "a path inside the bundle, without . and ..");

const Download = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  sha256: Sha256.describe("of what the address serves"),
  max_mib: z.int().min(1).max(8192).describe("more than this is refused, MiB"),
  size: z.int().positive().optional().describe("exact length in bytes, where it is known"),
  member: InnerPath.optional().describe("the one file taken out of the tar.gz archive"),
  member_sha256: Sha256.optional(),
});
export type Download = z.output<typeof Download>;

const architectures = ["x86_64", "aarch64"] as const;
export type Architecture = (typeof architectures)[number];

const Artifact = z
  .strictObject({
    name: z.string().regex(/^[a-z][a-z0-9-]*$/),
    summary: z.string().min(1),
    path: InnerPath,
    mode: z.enum(["644", "755"]),
    version: z.string().optional(),
    optional: z.boolean().default(false).describe("nothing is wrong while it is missing"),
    tree: z.boolean().default(false).describe("a directory with all that is in it"),
    made_by: z.string().optional().describe("the command that makes it here; absent for what is downloaded"),
    x86_64: Download.optional(),
    aarch64: Download.optional(),
  })
  .refine((artifact) => (artifact.made_by === undefined) === architectures.some((name) => artifact[name]), {
    error: "an artifact is either downloaded or made here",
  });

const Manifest = z
  .strictObject({ version: z.literal(1), artifact: z.array(Artifact).min(1) })
  .refine(({ artifact }) => new Set(artifact.map(({ name }) => name)).size === artifact.length, {
    error: "two artifacts have one name",
  })
  .refine(({ artifact }) => new Set(artifact.map(({ path }) => path)).size === artifact.length, {
    error: "two artifacts have one path",
  });

/** One file of the bundle, for one architecture. */
export type BundleArtifact = {
  name: string;
  summary: string;
  path: string;
  mode: number;
  version: string | null;
  isOptional: boolean;
  /** Null for what is made here. */
  download: Download | null;
  madeBy: string | null;
  isTree: boolean;
};

/** The SHA-256 that the file in the bundle must have; null where the manifest does not know it. */
export const pinnedHash = ({ download }: BundleArtifact): string | null =>
  download === null ? null : download.member === undefined ? download.sha256 : (download.member_sha256 ?? null);

/** Reads the manifest; `path` is for the message. Errors: bundle.bad_manifest. */
export const parseManifest = (text: string, options: { path: string; architecture: string }): BundleArtifact[] => {
  const refuse = (detail: string, cause?: unknown) =>
    fail("bundle.bad_manifest", { path: options.path, detail }, cause);
  let written: unknown;
  try {
    written = parseToml(text, { unsafeKeyBehaviour: "throw", maxDepth: 10 });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw refuse(`line ${error.line}: ${error.message.split("\n")[0]}`, error);
  }
  const parsed = Manifest.safeParse(written);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refuse(`${issue?.path.join(".")}: ${issue?.message}`);
  }
  return parsed.data.artifact.flatMap((artifact) => {
    const { name, summary, path, mode, version = null, optional, tree, made_by: madeBy = null } = artifact;
    const download = artifact[options.architecture as Architecture] ?? null;
    // What another architecture alone has is nothing that is missing here.
    if (download === null && madeBy === null) return [];
    return [
      {
        ...{ name, summary, path, version, download, madeBy },
        ...{ mode: Number.parseInt(mode, 8), isOptional: optional, isTree: tree },
      },
    ];
  });
};

/** The manifest's word for this machine's processor. */
export const hostArchitecture = (): string =>
  process.arch === "x64" ? "x86_64" : process.arch === "arm64" ? "aarch64" : process.arch;
