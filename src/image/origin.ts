// What is told of how an image was made, out of what its record and its kernel object say.
import type { ImageOrigin } from "../spec/image.ts";
import type { ImageRecord, KernelRecord } from "../spec/records.ts";

/** Older records have `name version` as dpkg-query printed it. */
const asAssignment = (entry: string): string => entry.replace(" ", "=");

export const readOrigin = (
  { origin }: Pick<ImageRecord, "origin">,
  kernel: { record: KernelRecord; environment: ReadonlyMap<string, string> } | null,
): ImageOrigin => {
  const details = origin.details as Partial<ImageOrigin>;
  return {
    how: origin.how,
    suite: details.suite ?? null,
    mirror: details.mirror ?? null,
    packages: (details.packages ?? []).map(asAssignment).sort(),
    scripts: details.scripts ?? {},
    source: details.source ?? null,
    base: details.base ?? null,
    provisioned: details.provisioned ?? [],
    kernel: kernel && {
      id: kernel.record.id,
      release: kernel.record.release,
      package: kernel.environment.get("package") ?? null,
      version: kernel.environment.get("version") ?? null,
    },
  };
};
