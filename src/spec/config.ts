// The configuration file: every key, what it is for, what it may be and its default; the schema alone decides.
import { z } from "zod";
import { ImageRef, Subnet } from "./names.ts";
import { sizeBetween } from "./size.ts";
import { KernelChoice, NetworkMode, VmmName } from "./vm.ts";

/** A length of time as people write it: `90s`, `1m30s`, `500ms`; never zero. */
export const Duration = z
  .string()
  .regex(/^(?=.*[1-9])(\d{1,9}(\.\d{1,3})?(ms|s|m|h))+$/, "write a duration with its unit, for example 90s or 1m30s");

const isOrAuto = (noun: string) => ({ error: `expected "auto" or ${noun}` });

const vm = z.strictObject({
  image: ImageRef.default("debian").describe("image that new VMs are made from"),
  vcpus: z
    .union([z.literal("auto"), z.int().min(1).max(32)], isOrAuto("a whole number from 1 to 32"))
    .default("auto")
    .describe("virtual CPUs of a new VM; auto: up to 4, as the host has them"),
  memory: z
    .union([z.literal("auto"), sizeBetween({ minMiB: 128, maxMiB: 1024 * 1024 })], {
      error: 'expected "auto" or a size with its unit from 128M to 1024G, for example 2G',
    })
    .default("auto")
    .describe("memory of a new VM, with its unit; auto: 4G, at most a quarter of the host's"),
  disk: sizeBetween({ minMiB: 1024, maxMiB: 16 * 1024 * 1024 })
    .prefault("40G")
    .describe("size of a new VM's root disk, with its unit; it is sparse"),
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, "a user's name has a-z, 0-9, _ and -, at most 32 of them")
    .optional()
    .describe("name of the guest's user; without it, the name you have here"),
  ssh_keys: z
    .array(z.string().min(1))
    .optional()
    .describe("public keys, or files of public keys, that may log in; without it, those of your ~/.ssh"),
  kernel: z
    .enum(["auto", ...KernelChoice.options])
    .default("auto")
    .describe(
      "kernel of a new VM: banger's own, or the one of its image with all modules; auto: its own where the bundle has it, for images that banger built",
    ),
});

const network = z.strictObject({
  mode: z
    .enum(["auto", ...NetworkMode.options])
    .default("auto")
    .describe(
      "how new VMs are connected: by a bridge on this host, or in a network namespace without root; auto: a bridge where root is to be had",
    ),
  subnet: Subnet.optional().describe(
    "private /24 of this instance's VMs; without it, one that overlaps no route is chosen",
  ),
});

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";

const dns = z.strictObject({
  listen: z
    .union([z.ipv4(), z.ipv6()], { error: "expected an IP address" })
    .default("127.0.0.1")
    .describe("address that the name server listens on"),
  port: z.int().min(0).max(65535).default(42069).describe("port of the name server; 0: any free one"),
  zone: z
    .string()
    .max(200)
    .regex(new RegExp(`^${label}(\\.${label})*$`), "a domain name in lower case, for example vm")
    .default("vm")
    .describe("domain that VMs are found under: NAME.vm"),
});

const vmm = z.strictObject({
  prefer: z
    .enum(["auto", ...VmmName.options])
    .default("auto")
    .describe("virtual machine monitor for new VMs; auto: the best that works here"),
  jail: z
    .boolean()
    .default(false)
    .describe(
      "run VMMs that have a jailer by it, as users of their own that see their VM's files alone; takes programs that root owns",
    ),
});

const ssh = z.strictObject({
  autostart: z.boolean().default(false).describe("start a stopped VM on `banger ssh` without asking"),
  reminder: z
    .union([z.boolean(), z.literal("ask")], { error: 'expected true, false or "ask"' })
    .default(true)
    .describe("say after `banger ssh` that the VM is still running and what is left in it; ask: offer to stop it, too"),
});

const timeouts = z.strictObject({
  ready: Duration.default("120s").describe("how long a start waits for the guest to be ready"),
  stop_ask: Duration.default("30s").describe("how long a stop waits after asking the guest helper"),
  stop_button: Duration.default("15s").describe("how long it waits then, after pressing the power button"),
  stop_term: Duration.default("5s").describe("how long it waits then, after SIGTERM to the virtual machine monitor"),
  stop_kill: Duration.default("5s").describe("how long it waits at last, after SIGKILL"),
});

const daemon = z.strictObject({
  log_level: z
    .enum(["trace", "debug", "info", "warning", "error", "fatal"])
    .default("info")
    .describe("least severity that goes into the daemon's log"),
});

const bundle = z.strictObject({
  dir: z
    .string()
    .regex(/^\//, "expected an absolute path")
    .optional()
    .describe("directory of the runtime bundle; without it, the one of this installation (banger bundle path)"),
  mirror: z
    .url({ protocol: /^https?$/, error: "expected an http or https address" })
    .optional()
    .describe("address asked before the official ones for files of the bundle"),
});

/** The file as it is written (`z.input`) and with its defaults filled in (`z.output`). */
export const ConfigFile = z.strictObject({
  version: z
    .literal(1, { error: "this banger reads configuration of version 1" })
    .default(1)
    .describe("version of this file's format"),
  vm: vm.prefault({}).describe("defaults of new VMs"),
  network: network.prefault({}).describe("how VMs are connected"),
  dns: dns.prefault({}).describe("the name server for VMs' names"),
  vmm: vmm.prefault({}).describe("the virtual machine monitor"),
  ssh: ssh.prefault({}).describe("`banger ssh`"),
  timeouts: timeouts.prefault({}).describe("how long things may take"),
  daemon: daemon.prefault({}).describe("bangerd itself"),
  bundle: bundle.prefault({}).describe("the runtime bundle"),
});
export type ConfigFile = z.output<typeof ConfigFile>;

/** The settings as the daemon uses them, in base units; null where the value is to be found out (auto, or not given). */
export type Config = {
  vm: {
    image: string;
    vcpus: number | null;
    memoryMiB: number | null;
    diskMiB: number;
    /** Null: the user of this host. */
    user: string | null;
    /** Public keys or paths of files with public keys; null: those in ~/.ssh. */
    sshKeys: readonly string[] | null;
    /** Null: as it is best here. */
    kernel: KernelChoice | null;
  };
  network: { mode: NetworkMode | null; subnet: string | null };
  /** Port 0 means any free one. */
  dns: { listen: string; port: number; zone: string };
  vmm: { prefer: VmmName | null; isJailed: boolean };
  ssh: { startsStoppedVms: boolean; remindsOfRunningVms: boolean | "ask" };
  timeouts: { readyMs: number; askMs: number; buttonMs: number; termMs: number; killMs: number };
  daemon: { logLevel: ConfigFile["daemon"]["log_level"] };
  bundle: { dir: string | null; mirror: string | null };
};

export const ConfigSource = z.enum(["default", "file", "environment", "flag"]);
export type ConfigSource = z.infer<typeof ConfigSource>;

/** One setting with its value as it would be written, and where that was found. */
export type SettingValue = { key: string; value: unknown; source: ConfigSource; description: string };

type Setting = {
  key: string;
  section: string;
  name: string;
  schema: z.ZodType;
  /** As it would be written in the file; null where there is none. */
  fallback: unknown;
  description: string;
};

const sections = { vm, network, dns, vmm, ssh, timeouts, daemon, bundle };

/** Every setting as `section.key`, in the order of the file. */
export const settings: readonly Setting[] = Object.entries(sections).flatMap(([section, { shape }]) =>
  Object.entries(shape).map(([name, schema]: [string, z.ZodType]) => ({
    key: `${section}.${name}`,
    section,
    name,
    schema,
    fallback: schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.def.defaultValue : null,
    description: schema.description ?? "",
  })),
);

export const sectionNames: readonly string[] = Object.keys(sections);

/** JSON Schema of the file, for editors; `make generate` writes it to docs/config.schema.json. */
export const renderConfigSchema = (): string => {
  const schema = z.toJSONSchema(ConfigFile, { io: "input", target: "draft-2020-12" });
  const titled = { ...schema, title: "banger's config.toml" };
  return `${JSON.stringify(titled, null, 2)}\n`;
};
