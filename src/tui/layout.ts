// Decides which rows of the screen belong to what, from its size and what is open; views and update agree through it.
import { wrap } from "./line.ts";
import type { Model } from "./model.ts";

/** Below this the screen only says that it is too small. */
export const SMALLEST = { columns: 40, rows: 10 };

const HEAD_ROWS = 2;
const FOOT_ROWS = 1;
/** A table's column names. */
const TITLE_ROWS = 1;
/** What is said of the check under the cursor. */
const CHECK_ROWS = 7;

export type Layout = {
  readonly isTooSmall: boolean;
  /** Rows of the notice above the keys; 0 without one. */
  readonly noticeRows: number;
  /** Rows of the body, between the header and the notice. */
  readonly bodyRows: number;
  /** Rows with VMs in them; 0 when the details have the body to themselves. */
  readonly tableRows: number;
  /** Rows of the details with their title; 0 when closed. */
  readonly detailRows: number;
  /** First row of the screen that holds a VM, counted from 0. */
  readonly firstTableRow: number;
};

/** A note is a sentence. */
export const NOTE_ROWS = 3;

/** A failure takes what it needs, up to a third of the screen. */
const noticeRowsOf = ({ notice, size }: Model): number => {
  if (notice === null) return 0;
  if (notice.kind === "note") return wrap(notice.text, size.columns - 2, NOTE_ROWS).length;
  const room = Math.max(2, Math.floor(size.rows / 3) - 2);
  const message = wrap(notice.report.message, size.columns - 2, room).length;
  return 1 + message + (notice.report.fix === null ? 0 : wrap(notice.report.fix, size.columns - 7, 2).length);
};

export const layoutOf = (model: Model): Layout => {
  const { size, isDetailed, tab } = model;
  const noticeRows = noticeRowsOf(model);
  const bodyRows = Math.max(1, size.rows - HEAD_ROWS - FOOT_ROWS - noticeRows);
  const isSplit = bodyRows >= 16;
  const details = isSplit ? Math.floor(bodyRows * 0.55) : bodyRows;
  const wished =
    tab === "host" ? Math.min(CHECK_ROWS, Math.floor(bodyRows / 2)) : isDetailed && tab === "vms" ? details : 0;
  const tableRows = Math.max(0, bodyRows - wished - TITLE_ROWS);
  return {
    isTooSmall: size.columns < SMALLEST.columns || size.rows < SMALLEST.rows,
    noticeRows,
    bodyRows,
    tableRows: wished === bodyRows ? 0 : tableRows,
    detailRows: wished,
    firstTableRow: HEAD_ROWS + TITLE_ROWS,
  };
};

/** The first row to show so that `index` is among `height` rows of `count`, moving as little as can be. */
export const scrollTo = (given: { top: number; index: number; height: number; count: number }): number => {
  const { index, height, count } = given;
  if (height <= 0) return 0;
  const highest = Math.max(0, count - height);
  const top = Math.min(given.top, highest);
  if (index < top) return index;
  return index >= top + height ? index - height + 1 : top;
};
