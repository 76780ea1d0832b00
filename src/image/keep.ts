// Enters an image that is complete into the records: the one place that gives it its name, also when another has that already.
import { fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { Store } from "../store/store.ts";

/** The one image that `debian`, the default of `vm.image`, means. */
const DEFAULT_NAME = "debian-13";

export type NameWish = { name: string; replace: boolean };

/** Errors: image.name_taken. */
export const requireName = (store: Store, { name, replace }: NameWish): void => {
  if (store.images.byName(name)?.name === name && !replace) throw fail("image.name_taken", { name });
};

export const aliasesFor = (name: string): string[] => (name === DEFAULT_NAME ? ["debian"] : []);

/** VMs made from the image that had the name before keep it under another until they are gone. */
export const enterImage = (store: Store, record: ImageRecord): void =>
  store.transaction(() => {
    const earlier = store.images.byName(record.name);
    if (earlier?.name === record.name)
      store.images.rename(earlier.id, { name: `${earlier.name}-${earlier.id.slice(0, 6)}`, aliases: [] });
    store.images.insert(record);
  });
