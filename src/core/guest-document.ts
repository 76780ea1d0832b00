// Renders the guest document: the ustar archive on the second disk that tells a guest who it is (docs/guest.md §1).

/** Everything a guest is told; null and empty members are left out. */
export type GuestDocument = {
  hostname: string;
  fqdn: string;
  machineId: string;
  user: { name: string; uid: number; gid: number; home: string; shell: string };
  authorizedKeys: readonly string[];
  hostKey: { privateKey: string; publicKey: string };
  network: { address: string; prefixLength: number; gateway: string; mac: string; mtu: number };
  resolver: string;
  searchDomain: string;
  timezone: string | null;
  locale: string | null;
  proxy: Readonly<Record<string, string>>;
  caCertificates: readonly { name: string; pem: string }[];
  firstBoot: string | null;
};

export type TarMember = { path: string; content: string };

const BLOCK = 512;

/** The members of the document in a fixed order, without `revision`, which is a hash of them. */
export const planDocument = (document: GuestDocument): readonly TarMember[] => {
  const { user, network } = document;
  const proxy = Object.entries(document.proxy).map(([name, value]) => `${name}=${value}\n`);
  const members: (TarMember | null)[] = [
    { path: "hostname", content: `${document.hostname}\n` },
    { path: "fqdn", content: `${document.fqdn}\n` },
    { path: "machine-id", content: `${document.machineId}\n` },
    { path: "user", content: `${user.name}:${user.uid}:${user.gid}:${user.home}:${user.shell}\n` },
    { path: "authorized_keys", content: document.authorizedKeys.map((key) => `${key}\n`).join("") },
    { path: "ssh/ssh_host_ed25519_key", content: document.hostKey.privateKey },
    { path: "ssh/ssh_host_ed25519_key.pub", content: document.hostKey.publicKey },
    {
      path: "network",
      content: `address ${network.address}/${network.prefixLength}\ngateway ${network.gateway}\nmac ${network.mac}\nmtu ${network.mtu}\n`,
    },
    { path: "resolv.conf", content: `nameserver ${document.resolver}\nsearch ${document.searchDomain}\n` },
    document.timezone === null ? null : { path: "timezone", content: `${document.timezone}\n` },
    document.locale === null ? null : { path: "locale", content: `${document.locale}\n` },
    proxy.length === 0 ? null : { path: "proxy", content: proxy.join("") },
    ...document.caCertificates.map(({ name, pem }) => ({ path: `ca/${name}`, content: pem })),
    document.firstBoot === null ? null : { path: "first-boot", content: document.firstBoot },
  ];
  return members.filter((member) => member !== null);
};

const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, "0")}\0`;

/** One header block as POSIX.1-1988 ustar lays it out. */
const header = (path: string, size: number): Uint8Array => {
  const block = new Uint8Array(BLOCK);
  const text = new TextEncoder();
  const put = (offset: number, value: string) => block.set(text.encode(value), offset);
  put(0, path);
  put(100, octal(0o600, 8));
  put(108, octal(0, 8));
  put(116, octal(0, 8));
  put(124, octal(size, 12));
  put(136, octal(0, 12));
  put(148, "        ");
  put(156, "0");
  put(257, "ustar\x0000");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
};

/** A ustar archive of regular files; paths are at most 100 bytes. Times and owners are 0, so equal members give equal bytes. */
export const renderTar = (members: readonly TarMember[]): Uint8Array => {
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  for (const member of members) {
    const content = encoder.encode(member.content);
    parts.push(
      header(member.path, content.length),
      content,
      new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK),
    );
  }
  parts.push(new Uint8Array(2 * BLOCK));
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
};

/** The whole archive; `revision` is what the guest compares to see whether it was told anything new. */
export const renderDocument = (members: readonly TarMember[], revision: string): Uint8Array =>
  renderTar([{ path: "version", content: "1\n" }, { path: "revision", content: `${revision}\n` }, ...members]);
