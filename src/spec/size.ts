// Sizes as people write them: always with a unit, powers of 1024.
import { z } from "zod";

const factors: Record<string, number> = { k: 1 / 1024, m: 1, g: 1024, t: 1024 * 1024 };
const pattern = /^(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?$/i;

/** Mebibytes of `text`, or null when it is no size with a unit ("2G", "512M", "1.5GiB"). */
export const parseSizeMiB = (text: string): number | null => {
  const found = pattern.exec(text.trim());
  if (!found) return null;
  const value = Number(found[1]) * (factors[(found[2] ?? "").toLowerCase()] ?? Number.NaN);
  return Number.isFinite(value) && value < Number.MAX_SAFE_INTEGER ? value : null;
};

/** The shortest exact spelling of a number of mebibytes: 4096 → "4G", 1536 → "1536M". */
export const renderSizeMiB = (sizeMiB: number): string =>
  sizeMiB >= 1024 && sizeMiB % 1024 === 0 ? `${sizeMiB / 1024}G` : `${sizeMiB}M`;

/** A size between two bounds, given with a unit; parses to whole mebibytes. A bare number is refused, since it could be two things. */
export const sizeBetween = (bounds: { minMiB: number; maxMiB: number }) =>
  z.string().transform((text, context): number => {
    if (/^\d+(\.\d+)?$/.test(text.trim())) {
      context.addIssue({
        code: "custom",
        message: `${JSON.stringify(text)} has no unit: write ${text.trim()}M (mebibytes) or ${text.trim()}G (gibibytes)`,
      });
      return z.NEVER;
    }
    const sizeMiB = parseSizeMiB(text);
    if (sizeMiB === null) {
      context.addIssue({
        code: "custom",
        message: `${JSON.stringify(text.slice(0, 40))} is no size; write for example 512M or 2G`,
      });
      return z.NEVER;
    }
    if (sizeMiB < bounds.minMiB || sizeMiB > bounds.maxMiB) {
      context.addIssue({
        code: "custom",
        message: `${text} is out of range: ${renderSizeMiB(bounds.minMiB)} to ${renderSizeMiB(bounds.maxMiB)}`,
      });
      return z.NEVER;
    }
    return Math.ceil(sizeMiB);
  });
