// `banger dns setup` and `banger dns undo`: shows what would be changed on this host, asks once, and does it as root.
import { fail } from "../spec/errors.ts";
import { offerSetup } from "./run-setup.ts";
import type { Invocation, Session } from "./session.ts";

/** As the daemon would listen by its settings; the defaults where none runs, since nobody needs one for this. */
const readSettings = async (session: Session): Promise<{ zone: string; server: string }> => {
  const settings = (await session.client.peek()) ? await session.client.call("config.show", {}) : [];
  const settingOr = (key: string, otherwise: string) =>
    String(settings.find((one) => one.key === key)?.value ?? otherwise);
  const address = settingOr("dns.listen", "127.0.0.1");
  const port = settingOr("dns.port", "42069");
  return { zone: settingOr("dns.zone", "vm"), server: `${address.includes(":") ? `[${address}]` : address}:${port}` };
};

const givenText = (value: unknown): string | null => (typeof value === "string" ? value : null);

const isZone = (zone: string): boolean => /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(zone) && zone.length <= 200;
const isServer = (server: string): boolean => {
  const found = /^(?:(\d+(?:\.\d+){3})|\[([0-9a-f:]+)\]):(\d{1,5})$/.exec(server);
  return found !== null && Number(found[3]) > 0 && Number(found[3]) < 65536;
};

const run = async (session: Session, invocation: Invocation, isUndo: boolean): Promise<number> => {
  if (!session.planDns) throw fail("bundle.missing", { artifact: "the built banger", directory: "this source tree" });
  const { input } = invocation;
  const given = { zone: givenText(input.zone), server: givenText(input.server) };
  const settings = isUndo || (given.zone && given.server) ? { zone: "vm", server: "" } : await readSettings(session);
  const { zone, server } = { zone: given.zone ?? settings.zone, server: given.server ?? settings.server };
  const issues = [
    ...(isZone(zone) ? [] : [{ path: "zone", message: "write a domain in lower case, for example vm" }]),
    ...(isUndo || isServer(server)
      ? []
      : [{ path: "server", message: "write ADDRESS:PORT, for example 127.0.0.1:42069" }]),
  ];
  if (issues.length > 0) throw fail("input.invalid", { issues });
  const plan = await session.planDns({ isUndo, zone, server, kind: givenText(input.resolver) });
  return offerSetup(session, invocation, {
    plan,
    done: isUndo ? "This host's resolver knows nothing of banger." : "This host's resolver finds VMs by name already.",
  });
};

export const runDnsSetup = (session: Session, invocation: Invocation): Promise<number> =>
  run(session, invocation, false);
export const runDnsUndo = (session: Session, invocation: Invocation): Promise<number> => run(session, invocation, true);
