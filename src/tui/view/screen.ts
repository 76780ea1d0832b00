// The whole screen as lines: what the model looks like. Pure, and exactly as large as the terminal.
import { layoutOf, SMALLEST } from "../layout.ts";
import { fitLine, type Line } from "../line.ts";
import type { Model } from "../model.ts";
import { formFactsOf } from "../update-overlay.ts";
import { renderDetails } from "./details.ts";
import { renderFooter } from "./footer.ts";
import { renderHost, renderTabs } from "./header.ts";
import { renderHostChecks } from "./host-checks.ts";
import { renderImageTable } from "./image-table.ts";
import { renderOverlay } from "./overlays.ts";
import { renderVmTable } from "./vm-table.ts";

const tooSmall = (model: Model): Line[] => {
  const { columns, rows } = model.size;
  const text = `banger needs ${SMALLEST.columns}×${SMALLEST.rows}; this is ${columns}×${rows}`;
  return Array.from({ length: rows }, (_, row) => fitLine(row === 0 ? [{ text }] : [], columns));
};

const body = (model: Model): Line[] => {
  const { bodyRows, tableRows, detailRows } = layoutOf(model);
  if (model.tab === "images") return renderImageTable(model, bodyRows - 1);
  if (model.tab === "host") return renderHostChecks(model, { tableRows, detailRows });
  if (detailRows === bodyRows) return renderDetails(model, bodyRows);
  return [...renderVmTable(model, tableRows), ...renderDetails(model, detailRows)];
};

export const renderScreen = (model: Model): readonly Line[] => {
  if (layoutOf(model).isTooSmall) return tooSmall(model);
  const over = renderOverlay(model, formFactsOf(model));
  if (over) return over;
  return [renderTabs(model), renderHost(model), ...body(model), ...renderFooter(model)];
};
