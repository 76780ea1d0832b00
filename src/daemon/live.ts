// Holds on to a running VM: its channel, and a watch on its shim that tells of reboots and of the end.
import { followPorts } from "../guest/follow-ports.ts";
import { describeUnknown } from "../spec/errors.ts";
import type { StartPlan } from "../spec/plan.ts";
import type { EndCause } from "../spec/vm.ts";
import type { Context, LiveVm } from "./context.ts";

const FIRST_PING_MS = 10_000;

/** Opens the channel and begins to watch. What the daemon ends itself it announces by `expectEnd`, and is not told of. */
export const openLive = (context: Context, plan: StartPlan): LiveVm => {
  const { shims, openChannel, store, log } = context;
  const { id, name } = plan.vm;
  const shim = shims.connect({ path: plan.paths.shimControl, vm: name });
  const channel = openChannel(plan.channel, { vm: name });
  const release = new AbortController();
  let guestSays: EndCause | null = null;
  let isEndExpected = false;
  let hasSpoken = false;
  context.clocks.forget(id);
  const forgetReady = channel.onStateChange(({ state }) => {
    if (state !== "ready") return;
    hasSpoken = true;
    channel.ping({ timeoutMs: FIRST_PING_MS }).then(
      ({ clockSkewMs }) => context.clocks.note(id, clockSkewMs),
      // A guest that goes down again at once; what matters is said elsewhere.
      () => undefined,
    );
  });
  const forget = channel.onEnding((why) => {
    guestSays = why === "kexec" ? null : why;
  });

  const watch = async (): Promise<void> => {
    let cause: EndCause = "unknown";
    try {
      for await (const event of shim.watch({ signal: release.signal })) {
        if (event.type === "started") {
          const bootId = store.vms.get(id)?.runtime.process?.bootId;
          if (bootId)
            store.vms.updateRuntime(id, { process: { pid: event.pid, startTicks: event.startTicks, bootId } });
          guestSays = null;
        } else if (event.type === "exit") {
          // A panic on the console wins over what the helper had announced before it; where there is no power to switch off, some kernels say that they halt.
          const isVague = event.cause === "unknown" || event.cause === "halt";
          cause = isVague && guestSays !== null ? guestSays : event.cause;
        }
      }
    } catch (error) {
      if (release.signal.aborted) return;
      // One that ended just as it was asked has written down why; one that wrote nothing was killed, and its VMM with it.
      const status = await shims.readStatus(plan.paths.shimStatus);
      cause = (status?.state === "ended" ? status.cause : null) ?? "killed";
      if (cause === "killed") log.warn("the shim was lost", { vm: name, detail: describeUnknown(error) });
    }
    if (!isEndExpected) context.onGuestEnd(id, cause);
  };
  const watching = watch();
  const tellPorts = () => context.bus.publish({ type: "vm.changed", vm: name, id, fields: ["ports"] });
  const ports = followPorts(channel, {
    vm: name,
    signal: release.signal,
    onChange: () => {
      // On a bridge they are reached as they are; here they are opened or closed before anybody is told.
      if (plan.network.loopback === null) return tellPorts();
      context.ports
        .renew(id)
        .catch((error) => log.warn("ports were not published", { vm: name, detail: describeUnknown(error) }))
        .finally(tellPorts);
    },
  });
  return {
    shim,
    channel,
    ports,
    watching,
    hasSpoken: () => hasSpoken,
    isEnding: () => guestSays !== null || isEndExpected,
    expectEnd: () => {
      isEndExpected = true;
    },
    letGo: () => {
      isEndExpected = true;
      release.abort();
      forget();
      forgetReady();
      channel.close();
      shim.close();
    },
  };
};
