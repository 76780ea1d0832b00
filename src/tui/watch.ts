// Makes it so that what the model wants of the daemon is what we ask: the console followed, the start explained, the use sampled.
import type { DaemonLink } from "./daemon-link.ts";
import { reportFailure } from "./failure.ts";
import { openLogText } from "./log-text.ts";
import type { Message, Wants } from "./message.ts";
import type { VmStats } from "./model.ts";

/** Lines of a console that are there when it is opened. */
const TAIL_LINES = 2000;
const BATCH_MS = 40;

export type Watch = {
  /** Called after each change of the model. */
  reconcile: (wants: Wants) => void;
  /** Called every few seconds. */
  sample: () => Promise<void>;
  close: () => void;
};

type Following = { vmId: string; key: string; abort: AbortController; hasEnded: boolean };

export const openWatch = (link: DaemonLink, dispatch: (message: Message) => void): Watch => {
  let following: Following | null = null;
  let explained: string | null = null;
  let stats: readonly string[] = [];
  let isSampling = false;
  let hasAskedImages = false;

  const follow = (vmId: string, key: string): void => {
    const abort = new AbortController();
    const own: Following = { vmId, key, abort, hasEnded: false };
    following = own;
    const text = openLogText();
    let timer: ReturnType<typeof setTimeout> | null = null;
    const flush = (): void => {
      timer = null;
      const lines = text.take();
      if (lines.length > 0 && following === own) dispatch({ type: "log-lines", vmId, lines });
    };
    dispatch({ type: "log-opened", vmId });
    void link
      .client()
      .call(
        "vm.logs",
        { vm: vmId, follow: true, tail: TAIL_LINES },
        {
          signal: abort.signal,
          onEvent: (event) => {
            text.add(event.text);
            timer ??= setTimeout(flush, BATCH_MS);
          },
        },
      )
      .catch(() => {
        // A daemon that went away is told elsewhere, and the console is followed again when it is back.
      })
      .finally(() => {
        if (timer !== null) clearTimeout(timer);
        flush();
        own.hasEnded = true;
        if (following === own) dispatch({ type: "log-ended", vmId });
      });
  };

  const reconcileLog = (wanted: Wants["log"]): void => {
    const isOther = following !== null && following.vmId !== wanted?.vmId;
    if (isOther) {
      following?.abort.abort();
      following = null;
    }
    if (wanted === null) return;
    const isOver = following?.hasEnded === true && following.key !== wanted.key;
    if (following === null || isOver) follow(wanted.vmId, wanted.key);
    else if (!following.hasEnded) following.key = wanted.key;
  };

  const explain = (wanted: NonNullable<Wants["waterfall"]>): void => {
    explained = wanted.key;
    void link
      .client()
      .call("vm.why-slow", { vm: wanted.vmId })
      .then((value) => dispatch({ type: "waterfall", key: wanted.key, value }))
      .catch((error) => dispatch({ type: "waterfall", key: wanted.key, value: reportFailure(error) }));
  };

  const sampleOne = async (id: string): Promise<readonly [string, VmStats] | null> => {
    try {
      return [id, await link.client().call("vm.stats", { vm: id })];
    } catch {
      return null;
    }
  };

  return {
    reconcile: (wants) => {
      reconcileLog(wants.log);
      if (wants.waterfall && wants.waterfall.key !== explained) explain(wants.waterfall);
      stats = wants.stats;
      if (wants.images && !hasAskedImages) link.refreshImages();
      hasAskedImages = wants.images;
    },
    sample: async () => {
      if (isSampling || stats.length === 0) return;
      isSampling = true;
      const answers = await Promise.all(stats.map(sampleOne));
      isSampling = false;
      const known = answers.filter((answer) => answer !== null);
      if (known.length > 0) dispatch({ type: "stats", stats: known });
    },
    close: () => following?.abort.abort(),
  };
};
