// The methods on names: status, records, and questions asked of our own views and of the system's resolver.
import { planQuestion } from "../../core/dns-question.ts";
import { askSystem } from "../../dns/ask.ts";
import { fail } from "../../spec/errors.ts";
import type { Handlers } from "../../spec/rpc/contract.ts";
import type { Context } from "../context.ts";

type DnsHandlers = Pick<Handlers, "dns.status" | "dns.records" | "dns.query">;

/** getaddrinfo(3) knows addresses only. */
const asksForAddresses = (type: string): boolean => type === "A" || type === "AAAA";

export const dnsHandlers = ({ names, config }: Context): DnsHandlers => ({
  "dns.status": async () => names.details(),

  "dns.records": async (input) => [...names.records(viewFor(input.guest))],

  "dns.query": async (input) => {
    const { zone } = config().dns;
    const question = planQuestion({ name: input.name, type: input.type ?? null, zone });
    if (!question) throw fail("dns.bad_name", { name: input.name });
    const { name, type } = question;
    const [asked, system] = await Promise.all([
      names.ask({ ...question, view: viewFor(input.guest) }),
      !input.guest && asksForAddresses(type) ? askSystem(name.replace(/\.$/, "")) : null,
    ]);
    if (!asked) throw fail("dns.no_answer", { name, rcode: "SERVFAIL" });
    if (asked.rcode === "NXDOMAIN") throw fail("dns.no_such_name", { name });
    if (asked.rcode === "REFUSED" && !input.guest) throw fail("dns.refused", { name, zone });
    if (asked.rcode !== "NOERROR") throw fail("dns.no_answer", { name, rcode: asked.rcode });
    return { name, type, ...asked, system };
  },
});

const viewFor = (isGuest: boolean) => (isGuest ? "guest" : "loopback");
