// Decides what the settings are: flag over environment over file over default, each checked, each with where it came from.
import { parse as parseToml, TomlError } from "smol-toml";
import type { z } from "zod";
import {
  type Config,
  ConfigFile,
  type ConfigSource,
  type SettingValue,
  sectionNames,
  settings,
} from "../spec/config.ts";
import { fail } from "../spec/errors.ts";
import { parseDurationMs } from "./duration.ts";
import { nearest } from "./resolve-vm.ts";
import { locateToml } from "./toml-scan.ts";

/** A table of the file as it was written: checked, without defaults. */
export type WrittenConfig = Readonly<Record<string, unknown>>;

/** Longer waits would overflow timers (2^31 ms), and nobody means them. */
const LONGEST_MS = 24 * 60 * 60 * 1000;

/** Environment variable of a setting: `vm.memory` is BANGER_VM_MEMORY. */
export const variableOf = (key: string): string => `BANGER_${key.replace(".", "_").toUpperCase()}`;

/** Reads the text of a configuration file; `path` is for the message. Errors: config.invalid with line and column of the first mistake. */
export const parseConfig = (text: string, path: string): WrittenConfig => {
  const written = parseSyntax(text, path);
  const [mistake] = mistakesIn(written)
    .map((found) => ({ ...found, at: locateToml(text, found.path) }))
    .sort((one, other) => one.at.line - other.at.line || one.at.column - other.at.column);
  if (mistake === undefined) return written;
  throw fail("config.invalid", { path, line: mistake.at.line, column: mistake.at.column, detail: mistake.detail });
};

/** TOML alone, whatever its keys mean. Errors: config.invalid. */
export const parseSyntax = (text: string, path: string): WrittenConfig => {
  try {
    // A key like __proto__ is no setting and must not become anything else either.
    return parseToml(text, { unsafeKeyBehaviour: "throw", maxDepth: 20 });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const detail = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    throw fail("config.invalid", { path, line: error.line, column: error.column, detail }, error);
  }
};

type Mistake = { path: readonly string[]; detail: string };

const mistakesIn = (written: unknown): Mistake[] => {
  const parsed = ConfigFile.safeParse(written);
  if (parsed.success)
    return tooLong(parsed.data).map(({ path, detail }) => ({ path, detail: `${path.join(".")}: ${detail}` }));
  return parsed.error.issues.flatMap((issue): Mistake[] => {
    const path = issue.path.map(String);
    if (issue.code !== "unrecognized_keys") return [{ path, detail: `${path.join(".")}: ${explain(issue)}` }];
    return issue.keys.map((key) => ({ path: [...path, key], detail: unknownKey(path, key) }));
  });
};

const unknownKey = (path: readonly string[], key: string): string => {
  const section = path[0];
  const known =
    section === undefined
      ? [...sectionNames, "version"]
      : settings.flatMap((setting) => (setting.section === section ? [setting.name] : []));
  const meant = nearest(key, known).map((name) => JSON.stringify(name));
  const place = section === undefined ? "" : ` in [${section}]`;
  return `there is no ${section === undefined ? "section or setting" : "setting"} ${JSON.stringify(key)}${place}${meant.length > 0 ? `; did you mean ${meant.join(" or ")}?` : ""}`;
};

const nouns: Record<string, string> = {
  string: 'text in quotes, like "this"',
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: 'a list, like ["this"]',
  object: "a section",
};

const explain = (issue: z.core.$ZodIssue): string => {
  // Of the alternatives, the one that says something of its own is about what was meant.
  const own = issue.code === "invalid_union" ? issue.errors.flat().find(({ code }) => code === "custom") : undefined;
  if (own !== undefined) return own.message;
  if (!/^(Invalid|Too) /.test(issue.message)) return issue.message;
  if (issue.code === "invalid_type") return `expected ${nouns[issue.expected] ?? issue.expected}`;
  if (issue.code === "too_small") return `at least ${issue.minimum}`;
  if (issue.code === "too_big") return `at most ${issue.maximum}`;
  if (issue.code === "invalid_value")
    return `expected ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
  return issue.message;
};

const tooLong = (config: ConfigFile): Mistake[] =>
  Object.entries(config.timeouts).flatMap(([name, text]) =>
    (parseDurationMs(text) ?? 0) > LONGEST_MS ? [{ path: ["timeouts", name], detail: "at most 24h" }] : [],
  );

export type ResolvedConfig = {
  config: Config;
  /** Every setting in the order of the file, as it would be written. */
  settings: readonly SettingValue[];
};

type Sources = {
  /** From `parseConfig`; null or left out: no file. */
  file?: WrittenConfig | null;
  environment?: Readonly<Record<string, string | undefined>>;
  /** `section.key` → text of a flag. */
  flags?: Readonly<Record<string, string | undefined>>;
};

/** Errors: input.invalid names the variable or flag that cannot be used; config.unknown_key for a flag of no setting. */
export const resolveConfig = ({ file = null, environment = {}, flags = {} }: Sources): ResolvedConfig => {
  for (const key of Object.keys(flags)) settingOf(key);
  const found = settings.map(({ key, section, name, fallback, description }): SettingValue => {
    const given = (value: unknown, source: ConfigSource) => ({ key, value, source, description });
    const flag = flags[key];
    if (flag !== undefined) return given(parseSetting(key, flag, key), "flag");
    const variable = environment[variableOf(key)];
    // An empty variable is how shells and unit files say "not set".
    if (variable !== undefined && variable !== "")
      return given(parseSetting(key, variable, variableOf(key)), "environment");
    const written = (file?.[section] as Record<string, unknown> | undefined)?.[name];
    return written === undefined ? given(fallback, "default") : given(written, "file");
  });
  return { config: settle(found), settings: found };
};

/** The value that `text` stands for in setting `key`. Errors: config.unknown_key; input.invalid, which says `place`. */
export const parseSetting = (key: string, text: string, place: string): unknown => {
  const { schema, section, name } = settingOf(key);
  // A list is written with commas; anything else is the first of text, truth and number that the schema takes.
  const candidates: unknown[] = [text];
  if (text === "true" || text === "false") candidates.push(text === "true");
  if (/^-?\d{1,15}$/.test(text)) candidates.push(Number(text));
  candidates.push(text.split(",").flatMap((part) => part.trim() || []));
  const fits = candidates.find(
    (candidate) => schema.safeParse(candidate).success && mistakesIn({ [section]: { [name]: candidate } }).length === 0,
  );
  if (fits !== undefined) return fits;
  const nearestForm = /^-?\d{1,15}$/.test(text) && !isText(schema) ? Number(text) : text;
  const [mistake] = mistakesIn({ [section]: { [name]: nearestForm } });
  const message = (mistake?.detail ?? "it cannot be used").replace(`${key}: `, "");
  throw fail("input.invalid", { issues: [{ path: place, message }] });
};

const isText = (schema: z.ZodType): boolean => schema.safeParse("").error?.issues[0]?.code !== "invalid_type";

/** Errors: config.unknown_key, with the nearest ones. */
export const settingOf = (key: string) => {
  const setting = settings.find((one) => one.key === key);
  if (setting !== undefined) return setting;
  const keys = settings.map((one) => one.key);
  const sameName = settings.flatMap((one) => (one.name === key ? [one.key] : []));
  throw fail("config.unknown_key", { key, known: sameName.length > 0 ? sameName : nearest(key, keys) });
};

/** One setting and where it comes from. Errors: config.unknown_key. */
export const findSetting = (resolved: ResolvedConfig, key: string): SettingValue => {
  settingOf(key);
  return resolved.settings.find((setting) => setting.key === key) as SettingValue;
};

const settle = (values: readonly SettingValue[]): Config => {
  const sections: Record<string, Record<string, unknown>> = {};
  for (const { key, value } of values) {
    const [section = "", name = ""] = key.split(".");
    if (value !== null) sections[section] = { ...sections[section], [name]: value };
  }
  const { vm, network, dns, vmm, ssh, timeouts, daemon, bundle } = ConfigFile.parse(sections);
  const orNull = <Value>(value: Value): Exclude<Value, "auto" | undefined> | null =>
    value === "auto" || value === undefined ? null : (value as Exclude<Value, "auto" | undefined>);
  const ms = (text: string): number => parseDurationMs(text) ?? 0;
  return {
    vm: {
      image: vm.image,
      vcpus: orNull(vm.vcpus),
      memoryMiB: orNull(vm.memory),
      diskMiB: vm.disk,
      user: orNull(vm.user),
      sshKeys: orNull(vm.ssh_keys),
      kernel: orNull(vm.kernel),
    },
    network: { mode: orNull(network.mode), subnet: orNull(network.subnet) },
    dns,
    vmm: { prefer: orNull(vmm.prefer), isJailed: vmm.jail },
    ssh: { startsStoppedVms: ssh.autostart, remindsOfRunningVms: ssh.reminder },
    timeouts: {
      readyMs: ms(timeouts.ready),
      askMs: ms(timeouts.stop_ask),
      buttonMs: ms(timeouts.stop_button),
      termMs: ms(timeouts.stop_term),
      killMs: ms(timeouts.stop_kill),
    },
    daemon: { logLevel: daemon.log_level },
    bundle: { dir: orNull(bundle.dir), mirror: orNull(bundle.mirror) },
  };
};

/** What holds where nothing is set. */
export const defaultConfig: Config = resolveConfig({}).config;
