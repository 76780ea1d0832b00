// Fields: the `key=value` payloads of the guest channel, each ended by a NUL byte.

export type Fields = Readonly<Record<string, string>>;

const KEY = /^[a-z0-9_.]+$/;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The payload for these fields. Keys and values come from our own code; what cannot be said in fields is left out by callers. */
export const renderFields = (fields: Fields): Uint8Array =>
  encoder.encode(
    Object.entries(fields)
      .map(([key, value]) => `${key}=${value.replaceAll("\0", "")}\0`)
      .join(""),
  );

export type ParsedFields = { ok: true; fields: Fields } | { ok: false; detail: string };

/** Reads fields sent by the other side; of a key that comes twice the first counts. */
export const parseFields = (payload: Uint8Array): ParsedFields => {
  if (payload.length === 0) return { ok: true, fields: {} };
  if (payload[payload.length - 1] !== 0) return { ok: false, detail: "fields do not end in NUL" };
  let text: string;
  try {
    text = decoder.decode(payload.subarray(0, payload.length - 1));
  } catch {
    return { ok: false, detail: "fields are not UTF-8" };
  }
  const fields: Record<string, string> = Object.create(null);
  for (const field of text.split("\0")) {
    const equals = field.indexOf("=");
    const key = field.slice(0, Math.max(equals, 0));
    if (!KEY.test(key)) return { ok: false, detail: "a field has no key" };
    if (!(key in fields)) fields[key] = field.slice(equals + 1);
  }
  return { ok: true, fields };
};
