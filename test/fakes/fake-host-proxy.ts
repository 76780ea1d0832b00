// The proxies of a modelled machine: what each was handed, for as long as the shim lives that it is bound to.
import type { ProxyPort, ProxyRoute } from "../../src/host/proxy.ts";
import { fail } from "../../src/spec/errors.ts";
import type { Faults, Life } from "./fake-host-faults.ts";

type FakeProxy = { id: string; control: string; until: number; routes: ProxyRoute[] };

export const createFakeProxies = (faults: Faults, lives: (shimPid: number) => boolean) => {
  const launched: FakeProxy[] = [];
  const alive = () => launched.filter(({ until }) => lives(until));
  const find = (control: string) => alive().find((proxy) => proxy.control === control) ?? null;
  const isSame = (one: Pick<ProxyRoute, "address" | "port">, other: Pick<ProxyRoute, "address" | "port">) =>
    one.address === other.address && one.port === other.port;

  const createPort = (life: Life): ProxyPort => ({
    launch: ({ id, control, until }) =>
      faults.perform(life, "proxies.launch", () => {
        if (find(control)) throw fail("host.command_failed", { command: [control], exitCode: 4, stderr: "it is held" });
        launched.push({ id, control, until: until.pid, routes: [] });
      }),
    async hello({ control }) {
      faults.requireAlive(life);
      const proxy = find(control);
      if (!proxy) return null;
      const { id, routes } = proxy;
      return { id, pid: 1, startTicks: 1, bootId: "", listeners: routes.length, connections: 0 };
    },
    async list({ control }) {
      faults.requireAlive(life);
      const proxy = find(control);
      return proxy ? [...proxy.routes] : null;
    },
    open: ({ control }, routes) =>
      faults.perform(life, "proxies.open", () =>
        routes.map((route) => {
          if (alive().some((proxy) => proxy.routes.some((other) => isSame(other, route))))
            return { code: "taken", detail: "Address in use" };
          find(control)?.routes.push(route);
          return null;
        }),
      ),
    close: ({ control }, routes) =>
      faults.perform(life, "proxies.close", () => {
        const proxy = find(control);
        if (proxy) proxy.routes = proxy.routes.filter((route) => !routes.some((other) => isSame(other, route)));
      }),
    quit: ({ control }) =>
      faults.perform(life, "proxies.quit", () => {
        const at = launched.findIndex((proxy) => proxy.control === control);
        if (at >= 0) launched.splice(at, 1);
      }),
  });

  return { createPort, running: () => alive().map(({ id }) => id) };
};
