// Keeps the instance's block of loopback addresses: chosen when the first VM of a namespace starts, and again only while none runs.
import { decideLoopbackBlock } from "../core/loopback-block.ts";
import type { HostSocket } from "../spec/ports.ts";
import type { Store } from "../store/store.ts";

export type LoopbackKeeper = {
  /** The block that starts use now. */
  choose(): Promise<string>;
  /** The one chosen last; null before the first. */
  known(): string | null;
};

const KEY = "network.loopback";

export const createLoopbackKeeper = (options: {
  instance: string;
  store: Store;
  listening: () => Promise<readonly HostSocket[]>;
}): LoopbackKeeper => {
  const { instance, store, listening } = options;
  return {
    known: () => store.meta.get(KEY),
    choose: async () => {
      const heard = await listening();
      const current = store.meta.get(KEY);
      const block = decideLoopbackBlock({
        instance,
        current,
        hasRunning: store.vms
          .all()
          .some(
            ({ state, spec }) => state !== "stopped" && state !== "creating" && spec.networks[0]?.mode === "namespace",
          ),
        listening: heard.map(({ address }) => address),
      });
      if (block !== current) store.meta.set(KEY, block);
      return block;
    },
  };
};
