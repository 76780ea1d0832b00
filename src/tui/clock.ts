// Decides whether what the screen shows becomes another with the time alone: while it does not, no second has to be counted.
import { layoutOf } from "./layout.ts";
import type { Model } from "./model.ts";
import { rowsOf, uptimeSecondsOf } from "./select.ts";

const hasTimesInTable = (model: Model): boolean => {
  const { steps, top, nowMs } = model;
  const shown = rowsOf(model).slice(top, top + layoutOf(model).tableRows);
  return shown.some((vm) => uptimeSecondsOf(vm, nowMs) !== null || steps.has(vm.id));
};

const hasTimesOnTab = (model: Model): boolean => {
  switch (model.tab) {
    case "vms":
      return model.isDetailed || hasTimesInTable(model);
    case "images":
      return (model.images?.length ?? 0) > 0;
    case "host":
      return model.checks !== null;
  }
};

export const dependsOnTime = (model: Model): boolean => {
  // A note goes by itself, and the daemon's absence is counted.
  if (model.notice?.kind === "note" || model.link.state === "lost") return true;
  const isCovered = model.isAway || (model.overlay !== null && !model.overlay.kind.startsWith("confirm"));
  return !isCovered && hasTimesOnTab(model);
};
