// How the terminal UI looks for its daemon: what is asked for while it looks is done afterwards, and only what was tried is reported.
import { expect, test } from "bun:test";
import type { DaemonClient } from "../../src/client/connect.ts";
import { fail } from "../../src/spec/errors.ts";
import { openDaemonLink } from "../../src/tui/daemon-link.ts";
import type { Message } from "../../src/tui/message.ts";

test("a start that is asked for while a daemon that hangs is still waited for comes right after, and no failure of it is told before", async () => {
  const peeking = Promise.withResolvers<void>();
  const hung = Promise.withResolvers<never>();
  const started = Promise.withResolvers<void>();
  let greetings = 0;
  const client = {
    hello: async () => {
      greetings += 1;
      // At first, when the UI is opened, the daemon cannot be started.
      if (greetings === 1) throw fail("daemon.unreachable", { socket: "/s", detail: "it ended at once" });
      started.resolve();
      return await new Promise<never>(() => {});
    },
    peek: () => {
      peeking.resolve();
      return hung.promise;
    },
  } as Partial<DaemonClient> as DaemonClient;
  const told: string[] = [];
  const dispatch = (message: Message) => void told.push(message.type);
  const link = openDaemonLink({ openClient: () => client, dispatch });
  await peeking.promise;
  expect(told.sort()).toEqual(["lost", "problem"]);
  link.startDaemon();
  hung.reject(fail("daemon.unreachable", { socket: "/s", detail: "no answer within 10 s" }));
  await started.promise;
  link.close();
  expect(told.filter((type) => type === "problem")).toEqual(["problem"]);
});
