// The second disk of the lab: the homes of its users, with banger as built here, an image it can boot, and Firecracker where this machine has it.
import { cpSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { openStore } from "../../src/store/store.ts";
import { findFirecracker, searchPlaces } from "../../src/vmm/firecracker/binary.ts";
import { findTemplate } from "../vm/guest-image.ts";
import { bringCheckout } from "./checkout.ts";

const root = resolve(import.meta.dir, "../..");
const HOME = "/home/dev";
/** Of the user without sudo, who runs the same programs from there. */
const PLAIN_HOME = "/home/plain";
/** Sparse: room for some disks of VMs. */
const SIZE = "16G";

/** A second name of the file where that goes, for the images are large and only read; but each user's files are that user's own. */
const bring = (from: string, to: string): void => {
  mkdirSync(dirname(to), { recursive: true });
  try {
    if (to.includes(PLAIN_HOME)) throw new Error("a copy");
    linkSync(from, to);
  } catch {
    const copied = Bun.spawnSync(["cp", "--sparse=always", "--reflink=auto", from, to]);
    if (!copied.success) throw new Error(`${from} could not be copied: ${copied.stderr}`);
  }
};

const bringTree = (from: string, to: string): void => {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) bringTree(join(from, entry.name), join(to, entry.name));
    else if (entry.isFile()) bring(join(from, entry.name), join(to, entry.name));
  }
};

/** What a checkout has when it is built; the scripts of images too, for banger looks whether it is complete. */
const bringBuild = (home: string): void => {
  const programs = readdirSync(join(root, "build")).filter((name) => /^banger[a-z-]*$/.test(name));
  const kernel = existsSync(join(root, OWN_KERNEL)) ? [OWN_KERNEL, "runtime/bundle.json"] : [];
  for (const path of [...programs.map((name) => `build/${name}`), "build/guest", "images", ...kernel]) {
    const from = join(root, path);
    cpSync(from, join(home, "banger", path), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }
};

/** The image's files, and its records with the paths they have in the lab. */
const bringImage = async (staging: string, user: string): Promise<void> => {
  const template = await findTemplate();
  const home = join(staging, user);
  const place = (dir: string): string => join(user, ".local/share/banger", basename(dirname(dir)), basename(dir));
  mkdirSync(join(home, ".local/state/banger"), { recursive: true, mode: 0o700 });
  const from = openStore({ path: join(template, "state/banger/banger.db"), readOnly: true });
  const to = openStore({ path: join(home, ".local/state/banger/banger.db") });
  try {
    for (const kernel of from.kernels.all()) {
      to.kernels.insert({ ...kernel, dir: place(kernel.dir) });
      bringTree(kernel.dir, join(staging, place(kernel.dir)));
    }
    for (const image of from.images.all()) {
      to.images.insert({ ...image, dir: place(image.dir) });
      bringTree(image.dir, join(staging, place(image.dir)));
    }
  } finally {
    from.close();
    to.close();
  }
};

/** Where `make kernel` leaves it, below the checkout. */
export const OWN_KERNEL = "runtime/kernel";

/** What the kernel is where nobody says otherwise must not depend on whether one was built. */
const CONFIG = `version = 1
[vm]
vcpus = 1
memory = "512M"
kernel = "image"
[timeouts]
ready = "300s"
stop_ask = "120s"
stop_button = "120s"
`;

export type Brought = { firecracker: string | null; firecrackerReason: string };

const bringFirecracker = async (home: string): Promise<Brought> => {
  const found = await findFirecracker(searchPlaces(process.env, homedir()));
  if ("reason" in found) return { firecracker: null, firecrackerReason: found.reason };
  const directory = join(home, ".cache/banger/bundle/bin");
  bring(found.path, join(directory, "firecracker"));
  const jailer = join(dirname(found.path), basename(found.path).replace("firecracker", "jailer"));
  if (existsSync(jailer)) bring(jailer, join(directory, "jailer"));
  return { firecracker: found.path, firecrackerReason: "found" };
};

/** Makes the disk, and says what it brings. */
export const makeHomeDisk = async (path: string): Promise<Brought> => {
  const staging = mkdtempSync(join(dirname(path), "staging."));
  const home = join(staging, HOME);
  try {
    mkdirSync(home, { recursive: true });
    bringBuild(home);
    bringCheckout(join(home, "banger"));
    const brought = await bringFirecracker(home);
    await bringFirecracker(join(staging, PLAIN_HOME));
    for (const user of [HOME, PLAIN_HOME]) {
      await bringImage(staging, user);
      mkdirSync(join(staging, user, ".config/banger"), { recursive: true });
      writeFileSync(join(staging, user, ".config/banger/config.toml"), CONFIG);
    }
    writeFileSync(path, "");
    const made = Bun.spawnSync(
      [
        "mkfs.ext4",
        "-q",
        "-F",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
        "-d",
        join(staging, "home"),
        path,
        SIZE,
      ],
      { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }, stdout: "pipe", stderr: "pipe" },
    );
    if (!made.success) throw new Error(`the lab's second disk could not be made: ${made.stderr}`);
    return brought;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
};
