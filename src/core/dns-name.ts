// Domain names as the name server compares them: by label, octet for octet, and without regard to ASCII case.

/**
 * A domain name in lower-case wire form (RFC 1035 §3.1: length octet and label, ended by a zero octet), one character per octet.
 * Two names are equal exactly when these strings are, and an ancestor is exactly a suffix that starts at a label.
 */
export type DnsName = string;

export const ROOT_NAME: DnsName = "\0";

/** RFC 1035 §3.1: 255 octets or less, length octets and the final zero included. */
const MAX_NAME_BYTES = 255;
const MAX_LABEL_BYTES = 63;

/** Reads a host or zone name as people write it, with or without the final dot; null when it can be no DNS name. */
export const parseDnsName = (text: string): DnsName | null => {
  const bare = text.endsWith(".") ? text.slice(0, -1) : text;
  if (bare === "") return text === "." ? ROOT_NAME : null;
  let wire = "";
  for (const label of bare.split(".")) {
    if (!/^[\x21-\x7e]{1,63}$/.test(label)) return null;
    wire += String.fromCharCode(label.length) + label;
  }
  wire += ROOT_NAME;
  return wire.length > MAX_NAME_BYTES ? null : lowerCase(wire);
};

/** The name as people write it, with the final dot; octets that are no printable ASCII as `\DDD` (RFC 1035 §5.1). */
export const renderDnsName = (name: DnsName): string => {
  let text = "";
  for (let at = 0; name.charCodeAt(at) > 0; at += 1 + name.charCodeAt(at)) {
    const label = name.slice(at + 1, at + 1 + name.charCodeAt(at));
    text += `${label.replace(/[^\x21-\x7e]|[.\\]/g, escapeOctet)}.`;
  }
  return text || ".";
};

const escapeOctet = (octet: string): string =>
  octet === "." || octet === "\\" ? `\\${octet}` : `\\${String(octet.charCodeAt(0)).padStart(3, "0")}`;

/** The name without its first label; the root is its own parent. */
export const parentName = (name: DnsName): DnsName =>
  name.charCodeAt(0) > 0 ? name.slice(1 + name.charCodeAt(0)) : ROOT_NAME;

/**
 * RFC 4343 §3: only the ASCII letters have case; octets over 0x7f are compared as they are. Length octets are at most 63, and so are never
 * taken for a letter.
 */
export const lowerCase = (wire: string): DnsName => wire.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/**
 * Reads the uncompressed name at an offset of a message; null when it is cut short, too long or compressed. A question comes first in a
 * message, so there is no earlier name that a pointer could lead to (RFC 1035 §4.1.4).
 */
export const readName = (bytes: Uint8Array, offset: number): { name: DnsName; end: number } | null => {
  let at = offset;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > MAX_LABEL_BYTES) return null;
    at += 1 + length;
    if (at - offset > MAX_NAME_BYTES || at > bytes.length) return null;
    if (length === 0) break;
  }
  let hasUpperCase = false;
  let wire = "";
  for (let i = offset; i < at; i++) {
    const octet = bytes[i] ?? 0;
    if (octet >= 0x41 && octet <= 0x5a) hasUpperCase = true;
    wire += String.fromCharCode(octet);
  }
  return { name: hasUpperCase ? lowerCase(wire) : wire, end: at };
};

/** Where the name at an offset ends, its pointers unfollowed; null when it is cut short or malformed. */
export const skipName = (bytes: Uint8Array, offset: number): number | null => {
  let at = offset;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return null;
    if (length >= 0xc0) return at + 2 <= bytes.length ? at + 2 : null;
    if (length > MAX_LABEL_BYTES) return null;
    at += 1 + length;
    if (at - offset > MAX_NAME_BYTES || at > bytes.length) return null;
    if (length === 0) return at;
  }
};

/** Reads a name that may be compressed; pointers lead strictly backwards (RFC 1035 §4.1.4: "a prior occurrence"), so it always ends. */
export const readCompressedName = (bytes: Uint8Array, offset: number): DnsName | null => {
  let wire = "";
  let at = offset;
  let limit = offset;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return null;
    if (length >= 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) return null;
      const target = ((length & 0x3f) << 8) | low;
      if (target >= limit) return null;
      at = target;
      limit = target;
      continue;
    }
    if (length > MAX_LABEL_BYTES || at + 1 + length > bytes.length) return null;
    for (let i = at; i <= at + length; i++) wire += String.fromCharCode(bytes[i] ?? 0);
    if (wire.length > MAX_NAME_BYTES) return null;
    if (length === 0) return lowerCase(wire);
    at += 1 + length;
  }
};

const octetsOf = (address: string): number[] | null => {
  const octets = address.split(".").map(Number);
  const isValid = /^\d{1,3}(\.\d{1,3}){3}$/.test(address) && octets.every((octet) => octet <= 255);
  return isValid ? octets : null;
};

/** `9.5.77.10.in-addr.arpa.` for 10.77.5.9 (RFC 1035 §3.5); null when it is no IPv4 address. */
export const reverseNameOf = (address: string): DnsName | null => {
  const octets = octetsOf(address);
  return octets && parseDnsName(`${octets.reverse().join(".")}.in-addr.arpa`);
};

/** `5.77.10.in-addr.arpa.` for 10.77.5.0/24; null unless the prefix ends at an octet, where reverse zones are cut. */
export const reverseZoneOf = (subnet: string): DnsName | null => {
  const [address = "", length = ""] = subnet.split("/");
  const octets = octetsOf(address);
  const kept = { "8": 1, "16": 2, "24": 3 }[length];
  return octets && kept ? parseDnsName(`${octets.slice(0, kept).reverse().join(".")}.in-addr.arpa`) : null;
};
