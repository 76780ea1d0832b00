// Decides what `8080:80` means, and what has to change for a proxy to lead where it should.
import { fail } from "../spec/errors.ts";
import type { Forward } from "../spec/ports.ts";

const LOOPBACK = "127.0.0.1";

const portOf = (text: string | undefined): number | null => {
  const port = /^\d{1,5}$/.test(text ?? "") ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : null;
};

const isAddress = (text: string): boolean =>
  /^(\d{1,3}\.){3}\d{1,3}$/.test(text)
    ? text.split(".").every((octet) => Number(octet) <= 255)
    : /^[0-9a-f:.]*:[0-9a-f:.]*$/.test(text);

export const isLoopback = (address: string): boolean => /^127\./.test(address) || address === "::1";

/** `[HOST_ADDRESS:]HOST_PORT:GUEST_PORT`, or one port for both sides. Errors: input.invalid, forward.not_loopback. */
export const parseForward = (text: string, bind: string | undefined): Forward => {
  const invalid = (message: string, path = "forward") =>
    fail("input.invalid", { method: "vm.forward", issues: [{ path, message }] });
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d+):(\d+)$|^(\d+)$/.exec(text);
  const hostPort = portOf(match?.[2] ?? match?.[4]);
  const guestPort = portOf(match?.[3] ?? match?.[4]);
  if (hostPort === null || guestPort === null)
    throw invalid("write HOST_PORT:GUEST_PORT, for example 8080:80; ports go from 1 to 65535");
  const written = match?.[1]?.replace(/^\[|\]$/g, "").toLowerCase();
  const address = bind?.toLowerCase() ?? written ?? LOOPBACK;
  if (!isAddress(address)) throw invalid(`${address} is no address`, bind === undefined ? "forward" : "bind");
  if (bind !== undefined && written !== undefined && written !== bind.toLowerCase())
    throw invalid(`it says ${written}, and --bind says ${bind}`);
  if (bind === undefined && !isLoopback(address)) throw fail("forward.not_loopback", { address, hostPort, guestPort });
  return { address, hostPort, guestPort };
};

export const isSameForward = (one: Forward, other: Forward): boolean =>
  one.address === other.address && one.hostPort === other.hostPort && one.guestPort === other.guestPort;

/** Two that cannot both be published: the same port on the same address, or one of them on all. */
export const doForwardsClash = (one: Forward, other: Forward): boolean =>
  one.hostPort === other.hostPort &&
  (one.address === other.address || [one.address, other.address].some((address) => /^(0\.0\.0\.0|::)$/.test(address)));

export const spellForward = ({ address, hostPort }: Forward): string =>
  address.includes(":") ? `[${address}]:${hostPort}` : `${address}:${hostPort}`;

/** What to close and what to open, so that what is open is what is wanted; a port that leads elsewhere is both. */
export const planRoutes = <Route extends { address: string; port: number; targetAddress: string; targetPort: number }>(
  wanted: readonly Route[],
  open: readonly Route[],
): { toClose: Route[]; toOpen: Route[] } => {
  const keyOf = ({ address, port, targetAddress, targetPort }: Route) =>
    `${address} ${port} ${targetAddress} ${targetPort}`;
  const [wish, have] = [new Set(wanted.map(keyOf)), new Set(open.map(keyOf))];
  return {
    toClose: open.filter((route) => !wish.has(keyOf(route))),
    toOpen: wanted.filter((route, at) => {
      const isFirst = wanted.findIndex(({ address, port }) => address === route.address && port === route.port) === at;
      return isFirst && !have.has(keyOf(route));
    }),
  };
};
