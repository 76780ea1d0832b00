// The daemon's view of the configuration: read when it starts and after each change made through it.
import { findSetting, parseConfig, type ResolvedConfig, resolveConfig } from "../core/config.ts";
import { removeFromText, setInText } from "../core/config-edit.ts";
import { createKeyedLock } from "../engine/lock.ts";
import type { FilePort } from "../host/host.ts";
import type { Config, SettingValue } from "../spec/config.ts";
import { fail } from "../spec/errors.ts";

export type ConfigFileKeeper = {
  current(): Config;
  settings(): readonly SettingValue[];
  /** Errors: config.unknown_key. */
  find(key: string): SettingValue;
  /** Changes one key in the file, keeping the rest of its text, and uses it from now on. Errors: config.*, input.invalid. */
  set(key: string, value: string): Promise<SettingValue>;
  /** Takes one key out of the file, where it is there; `wasSet` tells. Errors: config.*. */
  unset(key: string): Promise<SettingValue & { wasSet: boolean }>;
  reload(): Promise<void>;
};

export const openConfig = async (options: {
  path: string;
  files: FilePort;
  environment: Readonly<Record<string, string | undefined>>;
}): Promise<ConfigFileKeeper> => {
  const { path, files, environment } = options;
  const load = async (): Promise<ResolvedConfig> => {
    const text = await files.read(path);
    return resolveConfig({ file: text === null ? null : parseConfig(text, path), environment });
  };
  let resolved = await load();
  /** Each change is made to what the one before it left. */
  const inTurn = createKeyedLock();
  /** Answers whether there was anything to change; no file is made for nothing. */
  const change = (edit: (text: string) => string): Promise<boolean> =>
    inTurn.run(path, async () => {
      const bytes = await files.readBytes(path);
      const { mark, text } = bytes === null ? { mark: "", text: "version = 1\n" } : readExactly(bytes, path);
      const after = edit(text);
      const isChange = after !== text;
      if (isChange) {
        await files.makeDir(path.slice(0, path.lastIndexOf("/")));
        await files.rewrite(path, mark + after, 0o600);
      }
      // Somebody else may have changed it, too, since it was read.
      resolved = await load();
      return isChange;
    });
  return {
    current: () => resolved.config,
    settings: () => resolved.settings,
    find: (key) => findSetting(resolved, key),
    set: async (key, value) => {
      await change((text) => setInText({ text, path, key, value }));
      return findSetting(resolved, key);
    },
    unset: async (key) => {
      const wasSet = await change((text) => removeFromText({ text, path, key }));
      return { ...findSetting(resolved, key), wasSet };
    },
    reload: () =>
      inTurn.run(path, async () => {
        resolved = await load();
      }),
  };
};

const BYTE_ORDER_MARK = "\u{FEFF}";

/** The text, of which no byte is lost when it is written again. Errors: config.invalid. */
const readExactly = (bytes: Uint8Array, path: string): { mark: string; text: string } => {
  const whole = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  if (!Buffer.from(whole).equals(bytes)) {
    const [before = ""] = whole.split("\u{FFFD}");
    const lines = before.split("\n");
    const place = { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
    throw fail("config.invalid", { path, ...place, detail: "what stands here is not UTF-8" });
  }
  const mark = whole.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : "";
  return { mark, text: whole.slice(mark.length) };
};
