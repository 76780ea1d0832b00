// Reads stored text into checked values: what is newer than this banger or damaged is told apart and never half understood.
import type { z } from "zod";
import { fail } from "../spec/errors.ts";

/** A row that is there but cannot be used; the rest of the table can. */
export type Unreadable = {
  id: string;
  name: string;
  reason: "newer" | "damaged";
  /** Version of the stored document; null when it has none. */
  documentVersion: number | null;
  detail: string;
};

export type ReadDocument<Value> =
  | { ok: true; value: Value }
  | { ok: false; reason: Unreadable["reason"]; documentVersion: number | null; detail: string };

type ReadOptions<Value> = { schema: z.ZodType<Value>; known: number };

/** The value in `text`; `known` is the newest document version that `schema` describes. */
export const readDocument = <Value>(text: string, { schema, known }: ReadOptions<Value>): ReadDocument<Value> => {
  const damaged = (documentVersion: number | null, detail: string): ReadDocument<Value> => ({
    ok: false,
    reason: "damaged",
    documentVersion,
    detail,
  });
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return damaged(null, "it is no JSON");
  }
  const version = typeof raw === "object" && raw !== null && "version" in raw ? raw.version : null;
  if (typeof version !== "number") return damaged(null, "it has no version");
  if (version > known) {
    const detail = `document version ${version}, and this banger knows ${known}`;
    return { ok: false, reason: "newer", documentVersion: version, detail };
  }
  const parsed = schema.safeParse(raw);
  return parsed.success ? { ok: true, value: parsed.data } : damaged(version, firstIssue(parsed.error));
};

/** Text of a column that holds plain JSON, checked; a row that fails is damage, since only we write them. */
export const readColumns = <Value>(
  schema: z.ZodType<Value>,
  place: { path: string; row: string },
  value: unknown,
): Value => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw fail("store.corrupt", { path: place.path, detail: `${place.row}: ${firstIssue(parsed.error)}` });
};

/** JSON in `text`, or undefined, which no schema of ours accepts. */
export const parseJson = (text: unknown): unknown => {
  try {
    return typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
};

export const firstIssue = (error: z.ZodError): string => {
  const issue = error.issues[0];
  return issue === undefined ? "it is not what was expected" : `${issue.path.join(".") || "value"}: ${issue.message}`;
};

/** Freezes a value all the way down, so that a cached one cannot be changed by whoever was given it. */
export const frozen = <Value>(value: Value): Value => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) frozen(part);
  }
  return value;
};
