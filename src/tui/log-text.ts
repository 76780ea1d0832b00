// Turns what a guest wrote on its console into lines that can be shown: no control sequences, tabs as spaces, the last of what was overwritten.
import { sanitize } from "../spec/sanitize.ts";

const TAB = 8;
const LONGEST = 2000;

const expandTabs = (line: string): string => {
  if (!line.includes("\t")) return line;
  let expanded = "";
  for (const character of line) expanded += character === "\t" ? " ".repeat(TAB - (expanded.length % TAB)) : character;
  return expanded;
};

/** One line as it would be left on a terminal: what a carriage return went back over is gone. */
export const cleanLine = (raw: string): string => {
  const written = raw.replace(/\r+$/, "");
  const last = written.slice(written.lastIndexOf("\r") + 1);
  return expandTabs(sanitize(last)).slice(0, LONGEST).trimEnd();
};

export type LogText = { add: (text: string) => void; take: () => readonly string[] };

/** Collects what comes until it is taken. */
export const openLogText = (): LogText => {
  let held: string[] = [];
  return {
    add: (text) => {
      for (const line of text.replace(/\n$/, "").split("\n")) held.push(cleanLine(line));
    },
    take: () => {
      const lines = held;
      held = [];
      return lines;
    },
  };
};
