// Decides from the text of resolv.conf(5) which resolvers the host itself asks.

/** glibc reads three nameserver lines and no more (MAXNS). */
const MAX_NAMESERVERS = 3;

/**
 * Addresses of the resolvers, best first. systemd-resolved's stub (127.0.0.53) stays what it is: the daemon runs on the host, where the stub
 * answers, and only the stub knows which names go to a VPN and which do not. Without any line the host asks 127.0.0.1, as resolv.conf(5) has it.
 */
export const parseResolvConf = (text: string): readonly string[] => {
  const addresses: string[] = [];
  for (const line of text.split("\n")) {
    // A comment begins in the first column, the keyword too.
    const [keyword, address] = line.split(/[\s;#]+/, 2);
    if (keyword !== "nameserver" || !address || !/^[0-9a-fA-F:.]+(%[\w.-]+)?$/.test(address)) continue;
    if (!addresses.includes(address) && addresses.length < MAX_NAMESERVERS) addresses.push(address);
  }
  return addresses.length > 0 ? addresses : ["127.0.0.1"];
};
