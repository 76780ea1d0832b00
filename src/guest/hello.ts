// Reads what a guest helper says about itself, believing none of it beyond its form.
import { type Fields, parseFields } from "../spec/guest/fields.ts";
import { ENDINGS, type Ending } from "../spec/guest/protocol.ts";
import { printable } from "./printable.ts";

/** What HELLO said. */
export type Hello = { version: string; abilities: readonly string[] };
/** What READY said. */
export type Ready = { bootId: string; uptimeNs: bigint; sshd: "early" | "none" };

/** A value that has the right form, or what is wrong with it. */
export type Read<Value> = { ok: true; value: Value } | { ok: false; detail: string };

const ABILITY = /^[a-z0-9][a-z0-9_.-]{0,31}$/;
const ABILITIES_MAX = 64;
const VERSION_MAX_LENGTH = 64;
const BOOT_ID = /^[0-9a-f-]{0,64}$/;
const UPTIME_NS = /^[0-9]{1,19}$/;

const bad = (detail: string): { ok: false; detail: string } => ({ ok: false, detail });

const readFields = <Value>(payload: Uint8Array, read: (fields: Fields) => Read<Value>): Read<Value> => {
  const parsed = parseFields(payload);
  return parsed.ok ? read(parsed.fields) : parsed;
};

export const readHello = (payload: Uint8Array): Read<Hello> =>
  readFields(payload, (fields) => {
    if (!/^[1-9][0-9]{0,4}$/.test(fields.protocol ?? "")) return bad("a HELLO without a protocol number");
    const abilities = (fields.abilities ?? "").split(",").filter((ability) => ABILITY.test(ability));
    return {
      ok: true,
      value: {
        version: printable(fields.version ?? "").slice(0, VERSION_MAX_LENGTH),
        abilities: abilities.slice(0, ABILITIES_MAX),
      },
    };
  });

export const readReady = (payload: Uint8Array): Read<Ready> =>
  readFields(payload, (fields) => {
    const { boot_id: bootId = "", uptime_ns: uptimeNs = "" } = fields;
    if (!BOOT_ID.test(bootId)) return bad("a READY with a malformed boot_id");
    if (!UPTIME_NS.test(uptimeNs)) return bad("a READY with a malformed uptime_ns");
    return {
      ok: true,
      value: { bootId, uptimeNs: BigInt(uptimeNs), sshd: fields.sshd === "early" ? "early" : "none" },
    };
  });

export const readEnding = (payload: Uint8Array): Read<Ending> =>
  readFields(payload, ({ why }) => {
    const ending = ENDINGS.find((known) => known === why);
    return ending === undefined ? bad("an ENDING for no known reason") : { ok: true, value: ending };
  });
