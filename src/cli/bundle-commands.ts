// The commands on the runtime bundle, which need no daemon.
import type { CommandData } from "./command-data.ts";

const base = {
  aliases: [],
  flags: [],
  positionals: [],
  isMulti: false,
  hasEvents: false,
  isCancellable: false,
} as const;

export const bundleCommands = [
  {
    ...base,
    name: "cli.bundle-list",
    path: ["bundle", "list"],
    aliases: [["bundle", "ls"]],
    summary: "List the files of the runtime bundle: what is there, and whether it is the right one",
    examples: [{ command: "banger bundle list", shows: "each file with its version and state" }],
  },
  {
    ...base,
    name: "cli.bundle-verify",
    path: ["bundle", "verify"],
    summary: "Check the runtime bundle against its manifest",
    description:
      "Compares size and time with what was recorded, and with --deep every byte with its SHA-256. " +
      "Ends with 5 when something is missing or wrong, and says what mends it.",
    examples: [{ command: "banger bundle verify --deep", shows: "read and hash every file" }],
    flags: [{ field: "deep", kind: "boolean", description: "read and hash every file", isRequired: false }],
  },
  {
    ...base,
    name: "cli.bundle-fetch",
    path: ["bundle", "fetch"],
    summary: "Download what the runtime bundle lacks, verified by hash",
    description:
      "A download that was cut is gone on with; a file takes its place when all of it is right, and until then the old one stays. " +
      "Goes on past one that fails and tells all of them at the end. Of several at once, one downloads and the others wait.",
    examples: [
      { command: "banger bundle fetch", shows: "everything that is not optional" },
      { command: "banger bundle fetch firecracker --from ./downloads", shows: "from a directory, without a network" },
    ],
    flags: [
      {
        field: "from",
        kind: "text",
        description: "directory, or address of a mirror, that has the files by their names",
        isRequired: false,
        placeholder: "DIR|URL",
      },
    ],
    takesRest: { placeholder: "NAME", description: "which files; without any, all that are not optional" },
  },
  {
    ...base,
    name: "cli.bundle-path",
    path: ["bundle", "path"],
    summary: "Print where the runtime bundle is, and why there",
    examples: [{ command: "banger bundle path --json", shows: "the directory and what decided it" }],
  },
  {
    ...base,
    name: "cli.bundle-package",
    path: ["bundle", "package"],
    summary: "Pack the runtime bundle into one archive, the same bytes each time",
    description:
      "The archive has everything below banger/ with a MANIFEST of hashes: unpack it in the lib directory beside banger's bin directory.",
    examples: [{ command: "banger bundle package banger-runtime.tar.gz", shows: "for another machine" }],
    positionals: [
      {
        field: "file",
        kind: "text",
        description: "archive to be written, tar.gz",
        isRequired: true,
        placeholder: "FILE",
        path: "file",
      },
    ],
  },
  {
    ...base,
    name: "cli.bundle-use",
    path: ["bundle", "use"],
    summary: "Use a program of your own instead of the bundle's",
    description:
      "Its hash and version are recorded: one that changes afterwards is refused until it is recorded again. Without PATH the bundle's own is used again.",
    examples: [
      { command: "banger bundle use firecracker ~/src/firecracker", shows: "a build of your own" },
      { command: "banger bundle use firecracker", shows: "the bundle's again" },
    ],
    positionals: [
      {
        field: "program",
        kind: "text",
        description: "which program",
        isRequired: true,
        placeholder: "PROGRAM",
        choices: ["firecracker", "jailer"],
      },
      {
        field: "path",
        kind: "text",
        description: "the program to be used",
        isRequired: false,
        placeholder: "PATH",
        path: "file",
      },
    ],
  },
] as const satisfies readonly CommandData[];
