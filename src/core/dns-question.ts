// Decides what a person means who asks for a name: a VM's name is short, an address is asked for backwards.
import { parseDnsName, renderDnsName, reverseNameOf } from "./dns-name.ts";

export type AskedFor = { name: string; type: string };

/** The question, its name in full with the final dot; null when it can be no DNS name. */
export const planQuestion = (wish: { name: string; type: string | null; zone: string }): AskedFor | null => {
  const reverse = reverseNameOf(wish.name);
  if (reverse !== null) return { name: renderDnsName(reverse), type: wish.type ?? "PTR" };
  const isShort = !wish.name.includes(".");
  const name = parseDnsName(isShort ? `${wish.name}.${wish.zone}` : wish.name);
  return name === null ? null : { name: renderDnsName(name), type: wish.type ?? "A" };
};
