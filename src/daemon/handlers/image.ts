// The methods on images: the feature does the work, and every change is announced.
import type { Handlers } from "../../spec/rpc/contract.ts";
import type { Context } from "../context.ts";

type ImageHandlers = Pick<
  Handlers,
  "image.build" | "image.register" | "image.list" | "image.show" | "image.delete" | "image.prune"
>;

/** Builds and deletions of images go one after the other: two builds of one name must not race for it. */
const LOCK = "images";

export const imageHandlers = (context: Context): ImageHandlers => {
  const { images, locks, bus, doctor } = context;
  return {
    "image.build": (input, call) =>
      locks.run(LOCK, async () => {
        // What is ready in the runtime bundle needs none of the programs that build an image.
        if (!(await images.isReady(input))) await doctor.preflight(["image.build"]);
        const image = await images.build(input, call);
        bus.publish({ type: "image.added", image: image.name, id: image.id });
        return image;
      }),
    "image.register": (input, call) =>
      locks.run(LOCK, async () => {
        const image = await images.register(input, call);
        bus.publish({ type: "image.added", image: image.name, id: image.id });
        return image;
      }),
    "image.list": () => images.list(),
    "image.show": (input) => images.show(input.image),
    "image.delete": (input) =>
      locks.run(LOCK, async () => {
        const { id, name } = await images.remove(input.image);
        bus.publish({ type: "image.deleted", image: name, id });
        return { id, name, deleted: true as const };
      }),
    "image.prune": (input) => locks.run(LOCK, () => images.prune(input)),
  };
};
