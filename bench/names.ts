// Whether names are answered while VMs are made: questions at a steady pace by UDP, beside eight creations at once; each answer counts, and its time.
import type { Output } from "../src/spec/rpc/contract.ts";
import { ask, headerOf } from "../test/dns/asking.ts";
import type { Instance } from "../test/vm/fixture.ts";
import { type Metric, metric, percentile } from "./figures.ts";

const VMS = 8;
const EVERY_MS = 5;
/** An answer later than this is lost: clients ask again after five seconds. */
const LOST_MS = 5000;
const QUIET_MS = 3000;
const NOERROR = 0;

/** Asks for one name again and again until told to stop, with an id each, and waits for the last answers. */
const askSteadily = async (port: number, name: string) => {
  const askedMs = new Map<number, number>();
  const times: number[] = [];
  const rcodes = new Map<number, number>();
  let asked = 0;
  const socket = await Bun.udpSocket({
    connect: { hostname: "127.0.0.1", port },
    socket: {
      data: (_socket, bytes) => {
        const { id, rcode } = headerOf(new Uint8Array(bytes));
        const begunMs = askedMs.get(id);
        if (begunMs === undefined) return;
        askedMs.delete(id);
        times.push(performance.now() - begunMs);
        rcodes.set(rcode, (rcodes.get(rcode) ?? 0) + 1);
      },
      error: () => {},
    },
  });
  const query = ask(name);
  const timer = setInterval(() => {
    const id = asked++ & 0xffff;
    query[0] = id >> 8;
    query[1] = id & 0xff;
    askedMs.set(id, performance.now());
    // What the kernel of this side has no room for was never asked.
    if (!socket.send(query)) askedMs.delete(id);
  }, EVERY_MS);
  return async () => {
    clearInterval(timer);
    for (const end = performance.now() + LOST_MS; askedMs.size > 0 && performance.now() < end; ) await Bun.sleep(10);
    socket.close();
    return { asked: times.length + askedMs.size, lost: askedMs.size, times, rcodes };
  };
};

export const benchNames = async (banger: Instance): Promise<{ metrics: Metric[]; raw: unknown }> => {
  const { listeners } = await banger.json<Output<"dns.status">>(["dns", "status"]);
  const port = listeners.find(({ view }) => view === "loopback")?.port ?? 0;
  const measure = async (work: Promise<unknown>) => {
    const finish = await askSteadily(port, "ns.vm");
    await work;
    return finish();
  };
  const quiet = await measure(Bun.sleep(QUIET_MS));
  const names = Array.from({ length: VMS }, (_, index) => `named${index}`);
  const busy = await measure(Promise.all(names.map((name) => banger.create(name))));
  await banger.ok(["rm", "--force", ...names], { timeoutMs: 300_000 });
  return {
    metrics: [
      metric(`names: questions while ${VMS} VMs are made`, busy.asked, "questions"),
      metric("names: of these without an answer", busy.lost, "questions"),
      metric("names: of these with another answer", busy.times.length - (busy.rcodes.get(NOERROR) ?? 0), "questions"),
      metric("names: time to an answer, p50", percentile(busy.times, 0.5), "ms", percentile(quiet.times, 0.5)),
      metric("names: time to an answer, p99", percentile(busy.times, 0.99), "ms", percentile(quiet.times, 0.99)),
    ],
    raw: { quiet: quiet.times, busy: busy.times },
  };
};
