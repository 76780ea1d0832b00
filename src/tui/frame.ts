// A frame is the rows of the screen, painted; decides what is written to make one out of the one that is shown.

export type Frame = readonly string[];

/** A terminal that knows this shows nothing between the two (the synchronized output of many, mode 2026); others ignore it. */
const together = (text: string): string => `\x1b[?2026h${text}\x1b[?2026l`;
const ERASE_SCREEN = "\x1b[2J";
/** A row is erased before it is written: after a full row the cursor is still on its last column, which erasing would take. */
const row = (index: number, text: string): string => `\x1b[${index + 1};1H\x1b[2K${text}`;

export const isSameFrame = (one: Frame, other: Frame): boolean =>
  one.length === other.length && one.every((line, index) => line === other[index]);

/** All rows that differ, each one whole, so that no half of a wide character stays; null shown: nobody knows what is there. */
export const renderChanges = (shown: Frame | null, next: Frame): string => {
  const isKnown = shown !== null && shown.length === next.length;
  let changes = isKnown ? "" : ERASE_SCREEN;
  for (let index = 0; index < next.length; index++) {
    const text = next[index] ?? "";
    if (isKnown ? text !== shown[index] : text !== "") changes += row(index, text);
  }
  return changes === "" ? "" : together(changes);
};
