// How people see images.
import type { ImageOrigin, KernelForVms } from "../../spec/image.ts";
import { formatAgo, formatMiB } from "../format.ts";
import { renderFacts, renderTable } from "../table.ts";
import type { ImageMethod, ViewsOf } from "./views.ts";

/** The kernel of new VMs, and what the other would bring. */
const spellKernel = ({ release, hint }: KernelForVms): string => `${release}: ${hint}`;

const packageOf = (kernel: ImageOrigin["kernel"]): string =>
  kernel?.package ? `, ${[kernel.package, kernel.version].filter(Boolean).join(" ")}` : "";

export const imageViews: ViewsOf<ImageMethod> = {
  "image.build": (image) =>
    `${image.name} is built: ${formatMiB(image.usedMiB)} on disk, kernel ${image.kernelRelease}\nNew VMs get ${spellKernel(image.newVms)}\n`,
  "image.register": (image) => `${image.name} is registered: ${formatMiB(image.usedMiB)} on disk\n`,
  "image.list": (images, { isQuiet, paint, nowMs }) => {
    if (isQuiet) return images.map(({ name }) => `${name}\n`).join("");
    if (images.length === 0)
      return { out: "", err: "There are no images yet: banger image build makes the default one.\n" };
    return renderTable({
      header: ["NAME", "ALIASES", "SIZE", "ON DISK", "KERNEL", "USED BY", "CREATED"],
      rows: images.map((image) => [
        image.isDefault ? `${image.name} ${paint.faint("(default)")}` : image.name,
        image.aliases.join(" ") || "-",
        formatMiB(image.sizeMiB),
        formatMiB(image.usedMiB),
        image.kernelRelease,
        image.usedBy.join(" ") || "-",
        formatAgo(image.createdAt, nowMs),
      ]),
      paint,
    });
  },
  "image.show": (image, { paint, nowMs }) =>
    renderFacts(
      [
        ["Name", paint.strong(image.name)],
        ["Id", image.id],
        ["Aliases", image.aliases.join(" ")],
        ["Size", `${formatMiB(image.sizeMiB)}, ${formatMiB(image.usedMiB)} of it on disk`],
        ["Kernel", [`${image.kernelRelease} (${image.kernel})`, packageOf(image.made.kernel)].join("")],
        ["New VMs get", spellKernel(image.newVms)],
        ["Files", image.rootPath],
        ["Helper", image.helperVersion],
        ["Used by", image.usedBy.join(" ")],
        ["Created", `${formatAgo(image.createdAt, nowMs)}  ${paint.faint(image.createdAt)}`],
        ["Made", image.made.how],
        ["Suite", image.made.suite],
        ["Mirror", image.made.mirror],
        ["Source", image.made.source],
        ["Packages", image.made.packages.length > 0 ? `${image.made.packages.length}; --json lists them` : null],
        ["Scripts", Object.keys(image.made.scripts).join(" ")],
        ["From", image.made.base && `${image.made.base.name} (${image.made.base.id})`],
        ...image.made.provisioned.map(({ script, sha256 }): [string, string] => [
          "Ran",
          `${script}  ${paint.faint(`sha256 ${sha256}`)}`,
        ]),
      ],
      paint,
    ),
  "image.delete": ({ name }) => `${name} is deleted\n`,
  "image.prune": ({ removed, freedMiB }, { input }) => {
    if (removed.length === 0) return { out: "", err: "There is nothing to prune.\n" };
    const last = input.dryRun ? `would free ${formatMiB(freedMiB)}` : `freed ${formatMiB(freedMiB)}`;
    return { out: removed.map((path) => `${path}\n`).join(""), err: `${last}\n` };
  },
};
