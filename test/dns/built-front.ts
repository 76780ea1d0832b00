// banger-dns-front as it is shipped and under sanitizers, for servers that have it in front.
import { afterAll } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDnsFront, type OpenDnsFront } from "../../src/host/dns-front.ts";
import { builtNative, sanitizerObstacle, sanitizing, shippedObstacle } from "../native.ts";

export const frontObstacle = shippedObstacle;
export { sanitizerObstacle };

export const buildFront = (kind: "shipped" | "sanitized" = "shipped"): string =>
  builtNative("dns-front", kind === "shipped" ? {} : (sanitizing() ?? {}));

/** Where the boards of its servers begin as files: there from the first that is opened until the tests of a file are over. */
export const boards = join(tmpdir(), `bgr-dns-${process.pid}`);
const makeBoards = (): void => void mkdirSync(boards, { recursive: true, mode: 0o700 });
/** To be called in each file that opens one. */
export const removeBoardsAfterAll = (): void => afterAll(() => rmSync(boards, { recursive: true, force: true }));

export const createFront = (helper: string): OpenDnsFront => {
  makeBoards();
  return createDnsFront({ helper, directory: boards });
};
export const openFront = (kind?: "shipped" | "sanitized"): OpenDnsFront => createFront(buildFront(kind));

/** Both ways in which the server answers by UDP, for tests of what must be the same in both. */
export const waysOfUdp: readonly (readonly [how: string, options: () => { front?: OpenDnsFront }])[] = [
  ["by itself", () => ({})],
  ...(frontObstacle === null ? ([["behind banger-dns-front", () => ({ front: openFront() })]] as const) : []),
];
