// Decides what the daemon is asked for while the model is as it is; whoever runs the effects makes it so.
import { layoutOf } from "./layout.ts";
import type { Wants } from "./message.ts";
import type { Model } from "./model.ts";
import { currentVm, rowsOf } from "./select.ts";

const loggedVm = (model: Model): string | null => {
  if (model.overlay?.kind === "logs") return model.overlay.vmId;
  const isShown = model.tab === "vms" && model.isDetailed && model.detailTab === "console";
  return isShown ? (currentVm(model)?.id ?? null) : null;
};

/** Each step of a start may be the one that opens the console. */
const wantedLog = (model: Model): Wants["log"] => {
  const vmId = loggedVm(model);
  if (vmId === null) return null;
  return { vmId, key: `${model.vms?.get(vmId)?.state} ${model.steps.get(vmId)?.step}` };
};

const wantedWaterfall = (model: Model): Wants["waterfall"] => {
  if (model.tab !== "vms" || !model.isDetailed || model.detailTab !== "start") return null;
  const vm = currentVm(model);
  return vm && { vmId: vm.id, key: `${vm.id} ${vm.startedAt} ${vm.state}` };
};

/** Of the rows on the screen alone: each costs the daemon a quarter of a second of looking. */
const wantedStats = (model: Model): readonly string[] => {
  if (model.tab !== "vms") return [];
  const shown = rowsOf(model).slice(model.top, model.top + layoutOf(model).tableRows);
  const current = model.isDetailed ? currentVm(model) : null;
  return [...new Set([...shown, ...(current ? [current] : [])])]
    .filter(({ state }) => state === "running")
    .map(({ id }) => id);
};

export const wantsOf = (model: Model): Wants => {
  const isIdle = model.link.state !== "live" || model.isAway;
  if (isIdle) return { log: null, waterfall: null, stats: [], images: false };
  return {
    log: wantedLog(model),
    waterfall: wantedWaterfall(model),
    stats: wantedStats(model),
    images: model.images === null,
  };
};
