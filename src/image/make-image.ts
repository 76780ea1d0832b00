// Makes an image by journalled steps: it is in the records when all of them are done, or nothing of it is left.
import { runSteps, type Step } from "../engine/step.ts";
import { describeUnknown, fail } from "../spec/errors.ts";
import type { ImageRecord } from "../spec/records.ts";
import type { ImageCaller } from "./image-service.ts";
import type { ImageContext } from "./images.ts";
import { enterImage } from "./keep.ts";

/** What the making owns before the image is entered; stored with the journal, so that a crash is undone by these names. */
export type ImagePlan = { version: 1; imageId: string; workDir: string; imageDir: string };

export const planImage = ({ paths, randomHex }: Pick<ImageContext, "paths" | "randomHex">): ImagePlan => {
  const imageId = randomHex(12);
  return {
    ...{ version: 1, imageId },
    workDir: `${paths.imagesDir}/.building-${imageId}`,
    imageDir: `${paths.imagesDir}/${imageId}`,
  };
};

/**
 * Runs the steps and enters what `record` answers after the last of them. Until then it can be cancelled at any moment, so no step
 * enters it: undone, it would be a name without files. Errors: those of the steps, operation.cancelled.
 */
export const makeImage = async (
  { store, clock }: ImageContext,
  making: {
    kind: "image.build" | "image.register";
    plan: ImagePlan;
    steps: readonly Step[];
    record: () => ImageRecord | null;
    caller: ImageCaller;
  },
): Promise<ImageRecord> => {
  const { kind, plan, steps, caller } = making;
  const { requestedBy, signal, emit } = caller;
  const operation = store.journal.beginOperation({ kind, subject: plan.imageId, plan, requestedBy });
  const journal = store.journal.journalFor(operation);
  try {
    const observe: Parameters<typeof runSteps>[0]["observe"] = (event) =>
      emit({ kind: "step", operation: kind, ...event });
    await runSteps({ steps, journal, signal, clock, observe });
  } catch (error) {
    if (journal.standing().length === 0) store.journal.close(operation, "undone", describeUnknown(error));
    if (signal.aborted) throw fail("operation.cancelled", { operation: "The build" }, error);
    throw error;
  }
  const record = making.record();
  if (!record) throw fail("internal.bug", { detail: `${kind} ended without an image` });
  // Together: what is not in the records when a daemon starts is undone.
  store.transaction(() => {
    enterImage(store, record);
    store.journal.close(operation, "done");
  });
  return record;
};
