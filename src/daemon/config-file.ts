// The daemon's view of the configuration: read when it starts and after each change made through it.
import { findSetting, parseConfig, type ResolvedConfig, resolveConfig } from "../core/config.ts";
import { setInText } from "../core/config-edit.ts";
import { createKeyedLock } from "../engine/lock.ts";
import type { FilePort } from "../host/host.ts";
import type { Config, SettingValue } from "../spec/config.ts";

export type ConfigFileKeeper = {
  current(): Config;
  settings(): readonly SettingValue[];
  /** Errors: config.unknown_key. */
  find(key: string): SettingValue;
  /** Changes one key in the file, keeping the rest of its text, and uses it from now on. Errors: config.*, input.invalid. */
  set(key: string, value: string): Promise<SettingValue>;
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
  return {
    current: () => resolved.config,
    settings: () => resolved.settings,
    find: (key) => findSetting(resolved, key),
    set: (key, value) =>
      inTurn.run(path, async () => {
        const before = (await files.read(path)) ?? "version = 1\n";
        const after = setInText({ text: before, path, key, value });
        await files.makeDir(path.slice(0, path.lastIndexOf("/")));
        await files.writeAtomic(path, after, 0o600);
        resolved = await load();
        return findSetting(resolved, key);
      }),
    reload: () =>
      inTurn.run(path, async () => {
        resolved = await load();
      }),
  };
};
