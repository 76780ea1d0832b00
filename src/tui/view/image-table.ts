// The tab of the images: what there is to make VMs from, how large it is and who uses it.
import { formatAgo, formatMiB } from "../figures.ts";
import { scrollTo } from "../layout.ts";
import { blankLine, fit, fitLine, invert, type Line, printable } from "../line.ts";
import type { Model } from "../model.ts";

export const renderImageTable = (model: Model, height: number): Line[] => {
  const width = model.size.columns;
  const isWide = width >= 100;
  const images = model.images ?? [];
  const top = scrollTo({ top: 0, index: model.imageCursor, height, count: images.length });
  const nameWidth = Math.min(30, Math.max(16, width - (isWide ? 70 : 44)));
  const row = (cells: {
    name: string;
    size: string;
    kernel: string;
    made: string;
    helper: string;
    usedBy: string;
  }): string =>
    [
      ` ${fit(cells.name, nameWidth)}`,
      fit(cells.size, 11, "right"),
      fit(cells.made, 12),
      ...(isWide ? [fit(cells.kernel, 20), fit(cells.helper, 8)] : []),
      cells.usedBy,
    ].join("  ");
  const titles = row({
    name: "NAME",
    size: "DISK",
    kernel: "KERNEL",
    made: "MADE",
    helper: "HELPER",
    usedBy: "USED BY",
  });
  const lines = images.slice(top, top + height).map((image, place) => {
    const line = fitLine(
      [
        {
          text: row({
            name: printable([image.name, ...image.aliases].join(" ")) + (image.isDefault ? " *" : ""),
            size: `${formatMiB(image.usedMiB)}/${formatMiB(image.sizeMiB)}`,
            kernel: printable(image.kernelRelease),
            made: formatAgo(image.createdAt, model.nowMs).replace(" ago", ""),
            helper: printable(image.helperVersion ?? "-"),
            usedBy: image.usedBy.length === 0 ? "-" : printable(image.usedBy.join(" ")),
          }),
        },
      ],
      width,
    );
    return top + place === model.imageCursor ? invert(line) : line;
  });
  if (images.length === 0 && height > 0) {
    const text = model.images === null ? "Loading …" : "There are no images yet: banger image build makes one.";
    lines.push(fitLine([{ text: `  ${text}`, tone: "faint" }], width));
  }
  while (lines.length < height) lines.push(blankLine(width));
  return [fitLine([{ text: titles, tone: "strong" }], width), ...lines];
};
