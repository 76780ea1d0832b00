// The methods on images: the feature does the work, and every change is announced.
import { fail } from "../../spec/errors.ts";
import type { Call, Handlers, Output, ParsedInput } from "../../spec/rpc/contract.ts";
import type { Context } from "../context.ts";
import { deriveImage } from "../derive.ts";
import { CREATE_LOCK } from "../prepare-create.ts";

type ImageHandlers = Pick<
  Handlers,
  "image.build" | "image.register" | "image.list" | "image.show" | "image.delete" | "image.prune"
>;

/** Builds and deletions of images go one after the other: two builds of one name must not race for it. */
const LOCK = "images";

export const imageHandlers = (context: Context): ImageHandlers => {
  const { images, locks, bus, doctor } = context;

  const build = async (
    input: ParsedInput<"image.build">,
    call: Call<"image.build">,
  ): Promise<Output<"image.build">> => {
    if (input.from !== undefined) return deriveImage(context, requireDerivable({ ...input, from: input.from }), call);
    // What is ready in the runtime bundle needs none of the programs that build an image.
    if (!(await images.isReady(input))) await doctor.preflight(["image.build"]);
    return images.build(input, call);
  };

  return {
    "image.build": (input, call) =>
      locks.run(LOCK, async () => {
        const image = await build(input, call);
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
        const { id, name } = await locks.run(CREATE_LOCK, () => images.remove(input.image));
        bus.publish({ type: "image.deleted", image: name, id });
        return { id, name, deleted: true as const };
      }),
    "image.prune": (input) => locks.run(LOCK, () => locks.run(CREATE_LOCK, () => images.prune(input))),
  };
};

/** What is said about packages is for a build from packages: in a VM a script installs them. */
const requireDerivable = <Input extends ParsedInput<"image.build">>(input: Input): Input => {
  const misplaced = [
    input.package.length > 0 ? "package" : null,
    input.mirror === undefined ? null : "mirror",
    input.fresh ? "fresh" : null,
  ].filter((field) => field !== null);
  if (misplaced.length === 0) return input;
  const message = "goes with a build from packages; with --from, a --script installs what is wanted";
  throw fail("input.invalid", { issues: misplaced.map((path) => ({ path, message })), method: "image.build" });
};
