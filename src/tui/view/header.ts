// The two rows at the top: tabs and how it stands with the daemon; what of the host is used, promised and free.
import { formatMiB, formatSeconds, formatShare } from "../figures.ts";
import { blankLine, fitLine, type Line, type Span, spread } from "../line.ts";
import type { Model } from "../model.ts";
import { reservedOf } from "../select.ts";
import { bar } from "./glyphs.ts";
import { remembering } from "./remember.ts";

const tab = (title: string, isChosen: boolean): readonly Span[] => [
  { text: ` ${title} `, tone: isChosen ? "strong" : "faint", isInverse: isChosen },
  { text: " " },
];

const linkSpan = ({ link, nowMs, operations, isAway }: Model): Span => {
  if (link.state === "connecting") return { text: "looking for the daemon ", tone: "moving" };
  if (link.state === "lost") {
    return { text: `daemon away ${formatSeconds((nowMs - link.sinceMs) / 1000)}, D starts it `, tone: "bad" };
  }
  if (isAway) return { text: "elsewhere ", tone: "moving" };
  const [first] = operations;
  if (!first) return { text: `bangerd ${link.version} `, tone: "faint" };
  const text = operations.length > 1 ? `${operations.length} operations ` : `${first.verb} ${first.subject} `;
  return { text, tone: "moving" };
};

const countOf = (count: number | undefined): string => (count === undefined ? "" : ` ${count}`);

/** How many needs of this host are unmet, once it was looked at. */
const hostMark = ({ checks }: Model): string => {
  const bad = checks?.rows.filter(({ status }) => status === "error" || status === "warning").length ?? 0;
  return bad === 0 ? "" : ` ${bad}`;
};

const makeTabs = (model: Model): Line => {
  const { vms, images, size } = model;
  const left: Line = [
    { text: " banger ", tone: "strong" },
    { text: " " },
    ...tab(`VMs${countOf(vms?.size)}`, model.tab === "vms"),
    ...tab(`Images${countOf(images?.length)}`, model.tab === "images"),
    ...tab(`Host${hostMark(model)}`, model.tab === "host"),
  ];
  return spread(left, [linkSpan(model)], size.columns);
};

export const renderTabs = remembering(
  ({ vms, images, checks, tab: chosen, size, link, operations, isAway, nowMs }) => [
    vms?.size,
    images?.length,
    checks,
    chosen,
    size.columns,
    link,
    operations,
    isAway,
    link.state === "lost" ? nowMs : null,
  ],
  makeTabs,
);

type Measure = { title: string; used: number; reserved: number; long: string; middle: string };

const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0);

const measuresOf = (model: Model): readonly Measure[] => {
  const { host } = model;
  if (!host) return [];
  const reserved = reservedOf(model);
  const measures: Measure[] = [
    {
      title: "CPU",
      used: host.cpuShare,
      reserved: share(reserved.vcpus, host.cpus),
      middle: `${formatShare(host.cpuShare)} of ${host.cpus}`,
      long: `${formatShare(host.cpuShare)} of ${host.cpus}, ${reserved.vcpus} given to VMs`,
    },
    {
      title: "MEM",
      used: share(host.memoryUsedMiB, host.memoryMiB),
      reserved: share(reserved.memoryMiB, host.memoryMiB),
      middle: `${formatMiB(host.memoryUsedMiB)} of ${formatMiB(host.memoryMiB)}`,
      long: `${formatMiB(host.memoryUsedMiB)} of ${formatMiB(host.memoryMiB)}, ${formatMiB(reserved.memoryMiB)} given`,
    },
  ];
  if (host.disk) {
    const { totalMiB, usedMiB } = host.disk;
    measures.push({
      title: "DISK",
      used: share(usedMiB, totalMiB),
      reserved: 0,
      middle: `${formatMiB(totalMiB - usedMiB)} free`,
      long: `${formatMiB(totalMiB - usedMiB)} free of ${formatMiB(totalMiB)}, ${formatMiB(reserved.diskMiB)} promised`,
    });
  }
  return measures;
};

/** Bars with as many words as fit beside them. */
const makeHost = (model: Model): Line => {
  const { columns } = model.size;
  const measures = measuresOf(model);
  if (measures.length === 0) return blankLine(columns);
  const each = Math.floor(columns / measures.length);
  const line: Span[] = [];
  for (const { title, used, reserved, long, middle } of measures) {
    const room = each - title.length - 3;
    const words = [long, middle, formatShare(used)].find((text) => room - text.length >= 5) ?? formatShare(used);
    const width = Math.max(3, Math.min(room - words.length - 1, 24));
    const cell: Line = [
      { text: ` ${title} `, tone: "faint" },
      ...bar({ used, reserved, width, isPlain: model.isPlain }),
      { text: ` ${words}` },
    ];
    line.push(...fitLine(cell, each));
  }
  return fitLine(line, columns);
};

export const renderHost = remembering(({ host, vms, size, isPlain }) => [host, vms, size.columns, isPlain], makeHost);
