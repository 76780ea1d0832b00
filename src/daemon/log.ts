// The daemon's own log: one JSON object a line, bounded, and readable by `banger daemon logs`.
import { appendFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { configure, getLogger, type LogRecord } from "@logtape/logtape";
import type { Log } from "./context.ts";

const MAX_BYTES = 4 * 1024 * 1024;

export type LogLevel = "trace" | "debug" | "info" | "warning" | "error" | "fatal";

/** Writes through: a daemon that is killed loses no line. One older file is kept beside it. */
export const openLog = async (options: { path: string; level: LogLevel }): Promise<Log> => {
  const { path, level } = options;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let bytes = sizeOf(path);
  const sink = (record: LogRecord) => {
    const { text: _said, ...properties } = record.properties;
    const line = `${JSON.stringify({
      at: new Date(record.timestamp).toISOString(),
      level: record.level,
      message: record.message.join(""),
      ...properties,
    })}\n`;
    if (bytes + line.length > MAX_BYTES) {
      renameSync(path, `${path}.1`);
      bytes = 0;
    }
    appendFileSync(path, line, { mode: 0o600 });
    bytes += line.length;
  };
  await configure({
    reset: true,
    sinks: { file: sink },
    loggers: [
      { category: ["bangerd"], sinks: ["file"], lowestLevel: level },
      { category: ["logtape", "meta"], sinks: ["file"], lowestLevel: "error" },
    ],
  });
  const logger = getLogger(["bangerd"]);
  // Text is passed as a value: braces in it are no placeholders.
  return {
    info: (message, fields = {}) => logger.info("{text}", { ...fields, text: message }),
    warn: (message, fields = {}) => logger.warn("{text}", { ...fields, text: message }),
    error: (message, fields = {}) => logger.error("{text}", { ...fields, text: message }),
  };
};

const sizeOf = (path: string): number => {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
};
