// Turns a length of time as people write it into milliseconds.
import parse from "parse-duration";
import { Duration } from "../spec/config.ts";

/** Milliseconds of `text` ("90s", "1m30s"), or null when it is no duration with a unit. */
export const parseDurationMs = (text: string): number | null => {
  // The library reads whatever it finds in any text, so the shape is checked first.
  if (!Duration.safeParse(text).success) return null;
  return parse(text, "ms");
};
